"""Refine head: PORTRAIT_HEAD + PORTRAIT_HPDM -> PORTRAIT_HEAD with detail that agrees from all sides (MV-NRS)."""

from __future__ import annotations

from dataclasses import replace

import comfy.model_management as mm
import torch
from comfy_api.latest import io

from ..models.distillation.noise_resampling import STRATEGIES
from ..models.distillation.refinement import PRESETS, for_model, refine
from ..models.distillation.score_picture import score_picture
from . import convert, loading
from .diffusion import model_facts
from .inversion import MEMORY, turned
from .new_views import prepared
from .optimising import fingerprint, optimise, private
from .types import (
    CATEGORY,
    AlignedWire,
    CamerasWire,
    HeadWire,
    HpdmWire,
    guidance_input,
    seed_input,
    size_input,
)


class RefineHead(io.ComfyNode):
    """The refinement loop of Portrait Diffusion."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitDiffusionRefineHead",
            display_name="Refine Head (MV-NRS)",
            category=CATEGORY,
            description="Gives a head the detail that a diffusion model sees in its views: every view is denoised under what its neighbour "
            "shows, from noise that is kept only where it agrees with the neighbour's. Shows a turning head while it works; an interrupted run "
            "goes on where it stopped.",
            search_aliases=[
                "portrait diffusion",
                "mv-nrs",
                "sds",
                "texture refinement",
                "distillation",
                "noise resampling",
            ],
            inputs=[
                HeadWire.Input(
                    "head", tooltip="From Invert Portrait or Restore Geometry; it holds the photo."
                ),
                HpdmWire.Input(
                    "hpdm", tooltip="From Load HPDM; with the diffusion model that it was loaded for."
                ),
                AlignedWire.Input(
                    "aligned",
                    optional=True,
                    tooltip="From Align Portrait: the photo that is kept; the head's own where absent.",
                ),
                CamerasWire.Input(
                    "cameras",
                    optional=True,
                    tooltip="From Camera Orbit: where to look from beside the photo's camera; their size counts nothing. A ring of eight (detail: "
                    "twelve), one above and one below where absent.",
                ),
                io.Combo.Input(
                    "preset",
                    options=list(PRESETS),
                    default="fast",
                    tooltip="fast: minutes. detail: finer planes, more denoising, longer.",
                ),
                seed_input("noise and rays", "head"),
                io.Int.Input(
                    "iterations",
                    default=-1,
                    min=-1,
                    max=10000,
                    advanced=True,
                    tooltip="Of all views; -1 takes the preset's.",
                ),
                io.Combo.Input(
                    "strategy",
                    options=list(STRATEGIES),
                    default="mvnrs",
                    advanced=True,
                    tooltip="How a view's noise is chosen; the others are for comparison.",
                ),
                io.Float.Input(
                    "sigma",
                    default=-1.0,
                    min=-1.0,
                    max=0.99,
                    step=0.01,
                    advanced=True,
                    tooltip="How far noise is resampled from its anchor; -1 takes the preset's.",
                ),
                io.Float.Input(
                    "multi_step",
                    default=0.0,
                    min=0.0,
                    max=10.0,
                    step=0.05,
                    advanced=True,
                    tooltip="Weight of the paper's additional loss, one view an iteration denoised in eight steps; it takes longer.",
                ),
                size_input(),
                guidance_input(),
            ],
            outputs=[
                HeadWire.Output(display_name="head", tooltip="For Render Views, Head to Mesh and Save Head."),
                io.Image.Output(display_name="targets", tooltip="What the views were last pulled to."),
                io.Image.Output(
                    display_name="scores",
                    tooltip="Cosines of new and old noise with the neighbour's gradient, by iteration.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        head,
        hpdm,
        preset: str,
        seed: int,
        iterations: int,
        strategy: str,
        sigma: float,
        multi_step: float,
        aligned=None,
        cameras=None,
        size: int = 0,
        guidance: float = -1.0,
    ) -> io.NodeOutput:
        config = replace(PRESETS[preset], strategy=strategy, multi_step=multi_step)
        config = for_model(config, hpdm.diffusion.model.usage, size=size, guidance=guidance)
        config = config if iterations < 0 else replace(config, iterations=max(iterations, 1))
        config = config if sigma < 0 else replace(config, sigma=sigma)
        original = head.head if aligned is None else replace(head.head, reference=aligned)
        around = None if cameras is None else cameras.cameras

        def run(state, callback):
            own = private(loading.ready(replace(head, head=original), memory=MEMORY))
            model, network = prepared(hpdm, config.size)

            return refine(
                own,
                model,
                network,
                config,
                generator=torch.Generator().manual_seed(seed),
                cameras=private(around),
                state=state,
                callback=callback,
                after_call=mm.throw_exception_if_processing_interrupted,
            )

        parts = *original.stacks, original.decoder, original.latents, original.reference
        key = fingerprint("refine", *parts, around, config, seed, hpdm.network, *model_facts(hpdm.diffusion))
        result = optimise(run, key, turned, config.iterations, every=1)
        wire = loading.wire_head(replace(result.head, reference=original.reference))
        return io.NodeOutput(
            wire, convert.to_image(result.targets), convert.to_image(score_picture(result.scores)[None])
        )
