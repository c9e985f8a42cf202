"""Render views: PORTRAIT_HEAD + PORTRAIT_CAMERAS -> pictures."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from ..models.camera import Camera
from ..models.field.casting import Rendering
from ..models.field.volume_rendering import RenderConfig
from ..models.portrait import contact_sheet, normals_picture
from . import convert, loading
from .optimising import Progress
from .types import CATEGORY, CamerasWire, HeadWire


class RenderViews(io.ComfyNode):
    """Volume rendering of a head."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitDiffusionRenderViews",
            display_name="Render Views",
            category=CATEGORY,
            description="Renders a head from every camera: colours, mask, depth and normals, and a contact sheet of colours over normals.",
            search_aliases=["volume render", "novel views", "depth", "normals", "multi-view"],
            inputs=[
                HeadWire.Input("head", tooltip="From Invert Portrait or Load Head."),
                CamerasWire.Input("cameras", tooltip="From Camera Orbit."),
                io.Color.Input("background", default="#ffffff", tooltip="Colour behind the head."),
                io.Int.Input(
                    "samples",
                    default=32,
                    min=4,
                    max=192,
                    advanced=True,
                    tooltip="Samples per ray in each of the two passes; more is finer and slower.",
                ),
                io.Int.Input(
                    "memory_mb",
                    default=256,
                    min=16,
                    max=16384,
                    advanced=True,
                    tooltip="Memory that one chunk of rays may take, in MB; changes speed, not pictures.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="images", tooltip="One picture per camera."),
                io.Mask.Output(display_name="masks", tooltip="1 where the head is."),
                io.Image.Output(
                    display_name="depth",
                    tooltip="White is half a scene unit before the middle, black as far behind it or empty; Project View reads it.",
                ),
                io.Image.Output(
                    display_name="normals",
                    tooltip="Camera space: red right, green up, blue towards the camera; white where empty.",
                ),
                io.Image.Output(display_name="sheet", tooltip="One picture: colours above, normals below."),
            ],
        )

    @classmethod
    def execute(
        cls, head, cameras, background: str, samples: int = 32, memory_mb: int = 256
    ) -> io.NodeOutput:
        config = RenderConfig(coarse=samples, fine=samples, chunk_bytes=memory_mb * 2**20)
        backdrop = convert.color(background)
        ready = loading.ready(head, memory=2 * config.chunk_bytes)
        views, size = cameras.cameras.shape[0], cameras.size
        progress = Progress(views * size * size)
        parts = []
        for i in range(views):  # view by view: the progress bar shows each
            before = i * size * size
            parts.append(
                ready.render(
                    cameras.cameras[i : i + 1].to(ready.planes.device),
                    size,
                    config,
                    background=backdrop,
                    callback=lambda done, total, before=before: progress.update(
                        before + done * size * size // total
                    ),
                )
            )
            progress.update((i + 1) * size * size, convert.to_pil(parts[-1].rgb[0]))
        rgb, depth, opacity, normal = (
            torch.cat([getattr(part, name) for part in parts])
            for name in ("rgb", "depth", "opacity", "normal")
        )
        views = Rendering(rgb, depth, opacity, normal)
        return io.NodeOutput(
            convert.to_image(rgb),
            convert.to_mask(opacity),
            convert.to_image(convert.depth_picture(depth, opacity, *depth_range(cameras.cameras))),
            convert.to_image(normals_picture(normal)),
            convert.to_image(contact_sheet(views)[None]),
        )


def depth_range(cameras: Camera) -> tuple[float, float]:
    """The distances, in scene units, that are white and black in all of these cameras' pictures: NEAR and FAR for the portraits'."""
    distance = cameras.position.norm(dim=-1)
    return max(0.01, float(distance.min()) - convert.AROUND), float(distance.max()) + convert.AROUND
