"""Camera nodes: orbits, and from and to LOAD3D_CAMERA."""

from __future__ import annotations

from comfy_api.latest import io

from . import convert
from .types import CATEGORY, CamerasOnWire, CamerasWire

STEEPEST = 89.0  # degrees
SIZE_TOOLTIP = "Pixels of the square images."


class CameraOrbit(io.ComfyNode):
    """Cameras on a circle around the head."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitDiffusionCameraOrbit",
            display_name="Camera Orbit",
            category=CATEGORY,
            description="Cameras on a circle around the head. Yaw 0 is in front; positive yaw moves to the subject's left.",
            search_aliases=["turntable cameras", "orbit", "views", "camera path"],
            inputs=[
                io.Int.Input("count", default=8, min=1, max=360, tooltip="How many cameras."),
                io.Float.Input(
                    "yaw_degrees",
                    default=0.0,
                    min=-360.0,
                    max=360.0,
                    step=1.0,
                    tooltip="Yaw of the first camera, degrees.",
                ),
                io.Float.Input(
                    "yaw_step_degrees",
                    default=45.0,
                    min=-360.0,
                    max=360.0,
                    step=0.5,
                    tooltip="From one camera to the next, degrees; 360 / count for a full turn.",
                ),
                io.Float.Input(
                    "pitch_degrees",
                    default=0.0,
                    min=-89.0,
                    max=89.0,
                    step=1.0,
                    tooltip="Elevation above the eyes, degrees.",
                ),
                io.Int.Input("size", default=128, min=16, max=1024, step=16, tooltip=SIZE_TOOLTIP),
                io.Float.Input(
                    "radius",
                    default=2.7,
                    min=0.05,
                    max=20.0,
                    step=0.05,
                    advanced=True,
                    tooltip="Distance to the head's centre, scene units (about 0.7 m each).",
                ),
                io.Float.Input(
                    "focal",
                    default=4.2647,
                    min=0.1,
                    max=20.0,
                    step=0.0001,
                    advanced=True,
                    tooltip="Focal length in image widths; 4.2647 is the portraits' own lens.",
                ),
                io.Float.Input(
                    "pitch_step_degrees",
                    default=0.0,
                    min=-180.0,
                    max=180.0,
                    step=0.5,
                    optional=True,  # graphs of before have none
                    advanced=True,
                    tooltip="From one camera to the next, degrees, for a spiral that sees the head from above and below, too.",
                ),
            ],
            outputs=[CamerasWire.Output(display_name="cameras", tooltip="For Render Views.")],
        )

    @classmethod
    def execute(
        cls,
        count: int,
        yaw_degrees: float,
        yaw_step_degrees: float,
        pitch_degrees: float,
        size: int,
        radius: float = 2.7,
        focal: float = 4.2647,
        pitch_step_degrees: float = 0.0,
    ) -> io.NodeOutput:
        yaws = [yaw_degrees + i * yaw_step_degrees for i in range(count)]
        pitches = [pitch_degrees + i * pitch_step_degrees for i in range(count)]
        if max(map(abs, pitches)) > STEEPEST:
            raise ValueError(
                f"pitch_step_degrees: expected a spiral between -{STEEPEST:g} and {STEEPEST:g} degrees, got {pitches[0]:g} to {pitches[-1]:g}; "
                "choose a smaller step or fewer cameras"
            )
        return io.NodeOutput(convert.orbit_cameras(yaws, pitches, size, radius=radius, focal=focal))


class CameraFromLoad3D(io.ComfyNode):
    """The viewer's camera as ours."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitDiffusionCameraFromLoad3D",
            display_name="Camera from 3D Viewer",
            category=CATEGORY,
            description="Turns the camera of a 3D viewer or of Create Camera Info into one that Render Views takes.",
            search_aliases=["load3d camera", "viewer camera", "camera info"],
            inputs=[
                io.Load3DCamera.Input(
                    "camera_info", tooltip="From Load 3D, Preview 3D or Create Camera Info."
                ),
                io.Int.Input("size", default=256, min=16, max=1024, step=16, tooltip=SIZE_TOOLTIP),
                io.Boolean.Input(
                    "portrait_distance",
                    default=True,
                    tooltip="On: only the direction of view is taken, at the portraits' distance and lens (the viewer shows models "
                    "at a size of its own). Off: position and field of view are taken as they are, in metres.",
                ),
            ],
            outputs=[CamerasWire.Output(display_name="cameras", tooltip="One camera, for Render Views.")],
        )

    @classmethod
    def execute(cls, camera_info: dict, size: int, portrait_distance: bool) -> io.NodeOutput:
        return io.NodeOutput(
            CamerasOnWire(convert.from_load3d(camera_info, portrait=portrait_distance), size)
        )


class CameraToLoad3D(io.ComfyNode):
    """One of our cameras for core's 3D nodes."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitDiffusionCameraToLoad3D",
            display_name="Camera to 3D Viewer",
            category=CATEGORY,
            description="One camera of an orbit as camera info for core's 3D viewers, in metres.",
            search_aliases=["load3d camera", "viewer camera", "camera info"],
            inputs=[
                CamerasWire.Input("cameras", tooltip="From Camera Orbit."),
                io.Int.Input("index", default=0, min=0, max=359, tooltip="Which of the cameras, from 0."),
            ],
            outputs=[
                io.Load3DCamera.Output(display_name="camera_info", tooltip="For Preview 3D and others.")
            ],
        )

    @classmethod
    def execute(cls, cameras, index: int) -> io.NodeOutput:
        count = cameras.cameras.shape[0]
        if index >= count:
            raise ValueError(
                f"index: expected 0 to {count - 1} for {count} cameras, got {index}; choose a smaller index"
            )
        return io.NodeOutput(convert.to_load3d(cameras.cameras[index]))
