"""Project view: what one picture of a head shows, as other cameras would see it."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from ..models.camera import Camera
from ..models.diffusion.view_priors import DrivingView, projected_view
from ..models.projection import ProjectionConfig
from . import convert, loading
from .optimising import Progress
from .types import CATEGORY, CamerasOnWire, CamerasWire, HeadWire


class ProjectView(io.ComfyNode):
    """IMAGE + depth + cameras -> IMAGE + void."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitDiffusionProjectView",
            display_name="Project View",
            category=CATEGORY,
            description="Shows what one picture knows of other views: its pixels moved by their depth, and a mask of what it does not "
            "know. The depth is a head's, or a depth picture with its mask.",
            search_aliases=["reproject", "warp", "depth warp", "splat", "inpaint mask", "novel view"],
            inputs=[
                io.Image.Input("image", tooltip="One square picture, such as the aligned portrait."),
                CamerasWire.Input("cameras", tooltip="The views to project it to."),
                CamerasWire.Input(
                    "source",
                    optional=True,
                    tooltip="The one camera that took it; without it, that of the head's photo.",
                ),
                HeadWire.Input(
                    "head",
                    optional=True,
                    tooltip="Its depth and mask are used; then depth and mask are not needed.",
                ),
                io.Image.Input(
                    "depth", optional=True, tooltip="Depth picture of the image: white at near, black at far."
                ),
                io.Mask.Input(
                    "mask", optional=True, tooltip="1 where the depth is a surface; needed with depth."
                ),
                io.Float.Input(
                    "near",
                    default=round(convert.NEAR, 2),
                    min=0.01,
                    max=64.0,
                    step=0.01,
                    tooltip="Distance of white in the depth picture, scene units.",
                ),
                io.Float.Input(
                    "far",
                    default=round(convert.FAR, 2),
                    min=0.01,
                    max=64.0,
                    step=0.01,
                    tooltip="Distance of black in the depth picture, scene units.",
                ),
                io.Float.Input(
                    "grazing_degrees",
                    default=80.0,
                    min=1.0,
                    max=90.0,
                    step=1.0,
                    advanced=True,
                    tooltip="Surfaces that the picture sees at more than this angle are left out.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="images", tooltip="One picture per camera, black where nothing is known."
                ),
                io.Mask.Output(display_name="void", tooltip="1 where nothing is known: a mask to inpaint."),
            ],
        )

    @classmethod
    def execute(
        cls,
        image,
        cameras,
        near: float,
        far: float,
        grazing_degrees: float,
        source=None,
        head=None,
        depth=None,
        mask=None,
    ) -> io.NodeOutput:
        config = ProjectionConfig(grazing=torch.tensor(grazing_degrees).deg2rad().item())
        if head is not None:
            driver = driving(image, source, head)
        else:
            driver = from_picture(image, source, depth, mask, near, far)
        progress = Progress(len(cameras.cameras.cam2world))
        views = []
        for i in range(len(cameras.cameras.cam2world)):
            target = cameras.cameras[i].to(driver.image.device)
            views.append(projected_view(driver, driver.to(target, config)))
            progress.update(i + 1, convert.to_pil(views[-1].image))
        images, explained = (
            torch.stack([getattr(view, name) for view in views]) for name in ("image", "known")
        )
        return io.NodeOutput(convert.to_image(images), convert.to_mask(1 - explained))


def one_camera(source: CamerasOnWire | None, head=None) -> Camera:
    """The only camera of a wire, or that of a head's photo, unbatched.

    Raises:
        ValueError: several, or none.
    """
    if source is None:
        if head is None or head.head.reference is None:
            raise ValueError(
                "source: expected the camera that took the image, got none; wire a Camera Orbit with count 1"
            )
        return head.head.reference.camera
    if len(source.cameras.cam2world) != 1:
        raise ValueError(
            f"source: expected the one camera that took the image, got {len(source.cameras.cam2world)}; set Camera Orbit's count to 1"
        )
    return source.cameras[0]


def one_image(image) -> torch.Tensor:
    """The only square picture [3, S, S] of an IMAGE.

    Raises:
        ValueError: several, or not square.
    """
    pictures = convert.from_image(image)
    if len(pictures) != 1 or pictures.shape[-1] != pictures.shape[-2]:
        raise ValueError(
            f"image: expected one square picture, got {list(image.shape[:3])} (batch, height, width); wire the aligned portrait"
        )
    return pictures[0]


def driving(image, source: CamerasOnWire | None, head) -> DrivingView:
    """A picture with a head's depth and mask, on the head's device."""
    picture, camera = one_image(image), one_camera(source, head)
    ready = loading.ready(head)
    picture = picture.to(ready.planes.device)
    rendering = ready.render(camera[None].to(picture.device), picture.shape[-1], normals=False)
    return DrivingView(picture, rendering.depth[0, 0], rendering.opacity[0, 0], camera.to(picture.device))


def from_picture(image, source: CamerasOnWire | None, depth, mask, near: float, far: float) -> DrivingView:
    """A picture with a depth picture and a mask.

    Raises:
        ValueError: one is missing or of another size, or near is not before far.
    """
    picture, camera = one_image(image), one_camera(source)
    if depth is None or mask is None:
        half = "depth alone" if depth is not None else "a mask alone" if mask is not None else "neither"
        raise ValueError(
            f"project view: expected a head, or depth and mask together, got {half}; wire Invert Portrait's head, or both of Render Views"
        )
    if len(depth) != 1 or len(mask.reshape(-1, *mask.shape[-2:])) != 1:
        raise ValueError(
            f"project view: expected one depth picture and one mask, got {len(depth)} and {len(mask)}; render the image's view alone"
        )
    if not near < far:
        raise ValueError(f"project view: expected near before far, got {near} and {far}; white is near")
    device = picture.device
    levels, solid = (
        convert.from_image(depth)[0].mean(0).to(device),
        mask.reshape(mask.shape[-2:]).float().to(device),
    )
    if levels.shape != picture.shape[1:] or solid.shape != picture.shape[1:]:
        raise ValueError(
            f"project view: expected depth and mask of the image's size {list(picture.shape[1:])}, got {list(levels.shape)} and "
            f"{list(solid.shape)}; resize them, without smoothing the depth"
        )
    return DrivingView(picture, convert.from_depth_picture(levels, near, far), solid, camera.to(device))
