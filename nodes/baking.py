"""Bake views into a head: PORTRAIT_HEAD + IMAGE + PORTRAIT_CAMERAS -> PORTRAIT_HEAD."""

from __future__ import annotations

import comfy.model_management as mm
import torch
from comfy_api.latest import io

from ..models.fitting.baking import BakeConfig, bake, with_reference
from . import convert, loading
from .inversion import MEMORY, picture
from .optimising import fingerprint, optimise, private
from .types import CATEGORY, CamerasWire, HeadWire, seed_input


class BakeViews(io.ComfyNode):
    """Fit a head to views of it."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitDiffusionBakeViews",
            display_name="Bake Views into Head",
            category=CATEGORY,
            description="Fits a head to refined views of it, nearest to the front first, so that views never refined and the mesh are "
            "better, too. An interrupted run goes on where it stopped when you run it again.",
            search_aliases=["distill views", "views to 3d", "refit head", "bake"],
            inputs=[
                HeadWire.Input("head", tooltip="The head that the views were rendered from."),
                io.Image.Input("images", tooltip="Refined views on white, square, one per camera."),
                CamerasWire.Input(
                    "cameras", tooltip="The cameras that the views were rendered from, in their order."
                ),
                io.Int.Input(
                    "steps",
                    default=160,
                    min=1,
                    max=5000,
                    tooltip="Steps of the fit; more follows the views more closely.",
                ),
                seed_input("drawn rays", "head"),
                io.Boolean.Input(
                    "with_photo", default=True, tooltip="Bake the photo that the head was made from, too."
                ),
            ],
            outputs=[
                HeadWire.Output(display_name="head", tooltip="For Render Views, Head to Mesh and Save Head.")
            ],
        )

    @classmethod
    def execute(cls, head, images, cameras, steps: int, seed: int, with_photo: bool) -> io.NodeOutput:
        config, views = BakeConfig(steps=steps), convert.from_image(images)
        mm.load_models_gpu([head.patcher], memory_required=MEMORY)
        device = head.patcher.load_device

        def run(state, callback):
            own = private(loading.ready(head))
            draws = torch.Generator().manual_seed(seed)
            pair = private(views).to(device), private(cameras.cameras).to(device)
            pictures, viewpoints = with_reference(own, *pair) if with_photo else pair
            return bake(own, pictures, viewpoints, config, generator=draws, state=state, callback=callback)

        original = head.head
        key = fingerprint(
            "bake",
            original.planes,
            original.decoder,
            original.latents,
            original.reference,
            views,
            cameras.cameras,
            config,
            seed,
            with_photo,
        )
        return io.NodeOutput(loading.wire_head(optimise(run, key, picture, steps)))
