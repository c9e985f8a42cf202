"""Render mesh views: MESH + PORTRAIT_CAMERAS -> pictures."""

from __future__ import annotations

import math

import comfy.model_management as mm
import torch
from comfy_api.latest import io

from ..models.mesh.mesh import is_watertight
from ..models.mesh.placing import into_frame, turned
from ..models.mesh.rasterize import render_mesh
from ..models.portrait import normals_picture
from . import convert
from .optimising import Progress
from .types import CATEGORY, CamerasWire
from .views import depth_range

AS_IT_IS, INTO_FRAME = "as it is", "into the frame"


class RenderMeshViews(io.ComfyNode):
    """Rasterisation of a mesh."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitDiffusionRenderMeshViews",
            display_name="Render Mesh Views",
            category=CATEGORY,
            description="Renders a mesh of any node from every camera: its own colours, unlit, mask, depth and normals. With Fit Head from "
            "Views it becomes a head. Takes the first of a batch.",
            search_aliases=["render mesh", "mesh to image", "multi-view", "rasterize", "depth"],
            inputs=[
                io.Mesh.Input("mesh", tooltip="In metres, y up, the face along +z."),
                CamerasWire.Input("cameras", tooltip="From Camera Orbit."),
                io.Combo.Input(
                    "placement",
                    options=[AS_IT_IS, INTO_FRAME],
                    default=AS_IT_IS,
                    tooltip="as it is: in metres around the origin, as Head to Mesh makes it. into the frame: of another node, whatever "
                    "its size and place; it is moved to the middle and scaled until it fills the portraits' frame.",
                ),
                io.Float.Input(
                    "turn_degrees",
                    default=0.0,
                    min=-180.0,
                    max=180.0,
                    step=1.0,
                    tooltip="Turns the mesh about its upright axis, degrees, until the first view from the front shows the face.",
                ),
                io.Color.Input("background", default="#ffffff", tooltip="Colour behind the mesh."),
                io.Int.Input(
                    "samples",
                    default=3,
                    min=1,
                    max=8,
                    advanced=True,
                    tooltip="Samples along each side of a pixel, averaged: smoother edges for more time.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="images", tooltip="One picture per camera."),
                io.Mask.Output(display_name="masks", tooltip="1 where the mesh is."),
                io.Image.Output(
                    display_name="depth", tooltip="White near, black far or empty, as of Render Views."
                ),
                io.Image.Output(
                    display_name="normals",
                    tooltip="Camera space: red right, green up, blue towards the camera; white where empty.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls, mesh, cameras, placement: str, turn_degrees: float, background: str, samples: int = 3
    ) -> io.NodeOutput:
        model = turned(convert.from_mesh(mesh)[0].to(mm.get_torch_device()), math.radians(turn_degrees))
        model = into_frame(model) if placement == INTO_FRAME else model
        watertight, backdrop = is_watertight(model), convert.color(background)
        views, count = [], cameras.cameras.shape[0]
        progress = Progress(count)
        for i in range(count):
            camera = cameras.cameras[i].to(model.vertices)
            view = render_mesh(
                model,
                camera,
                cameras.size,
                background=backdrop,
                supersampling=samples,
                back_faces=not watertight,
            )
            views.append(view)
            progress.update(i + 1, convert.to_pil(view.rgb))
        rgb, mask, distance, normal = (
            torch.stack([getattr(view, name) for view in views])
            for name in ("rgb", "mask", "ray_distance", "normal")
        )
        depth = convert.depth_picture(distance, mask, *depth_range(cameras.cameras))
        return io.NodeOutput(
            convert.to_image(rgb),
            convert.to_mask(mask),
            convert.to_image(depth),
            convert.to_image(normals_picture(normal)),
        )
