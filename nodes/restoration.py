"""Restore geometry: PORTRAIT_HEAD -> PORTRAIT_HEAD whose sides and back a diffusion model has looked at."""

from __future__ import annotations

from dataclasses import replace

import comfy.model_management as mm
import torch
from comfy_api.latest import io

from ..models.checkpoint import shipped
from ..models.diffusion.embedded_zero123 import shipped_zero123
from ..models.distillation.restoration import Guides, RestorationConfig, restore_geometry
from ..models.prior.detail_block import learnt_block
from . import loading
from .diffusion import model_facts
from .inversion import MEMORY, turned
from .optimising import fingerprint, optimise, private
from .types import CATEGORY, DiffusionWire, HeadWire, guidance_input, seed_input, size_input

STANDARD = RestorationConfig()


class RestoreGeometry(io.ComfyNode):
    """Score distillation into a Detail Preservation Block."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitDiffusionRestoreGeometry",
            display_name="Restore Geometry",
            category=CATEGORY,
            description="Repairs what the prior guessed wrongly: hollow or doubled backs, dents. A diffusion model looks at the head from all "
            "sides, told from where (with Perp-Neg against second faces) and what the photo shows; only a small block behind the generator "
            "learns, and the photo holds the front. An interrupted run goes on where it stopped.",
            search_aliases=[
                "sds",
                "score distillation",
                "janus",
                "zero123",
                "perp-neg",
                "dreamfusion",
                "portrait diffusion",
            ],
            inputs=[
                HeadWire.Input("head", tooltip="From Invert Portrait."),
                DiffusionWire.Input("diffusion", tooltip="From Load View Diffusion."),
                io.Int.Input(
                    "steps", default=STANDARD.steps, min=1, max=20000, tooltip="Steps, each from one camera."
                ),
                seed_input("cameras, timesteps and noise", "head"),
                io.Boolean.Input(
                    "learnt",
                    default=True,
                    advanced=True,
                    tooltip="Begin with the block that ships, which has learnt from many heads; it fits the embedded prior's heads alone.",
                ),
                io.Float.Input(
                    "text",
                    default=STANDARD.text,
                    min=0.0,
                    max=10.0,
                    step=0.01,
                    advanced=True,
                    tooltip="Weight of the diffusion model prompted by view.",
                ),
                io.Float.Input(
                    "picture_weight",
                    default=STANDARD.picture,
                    min=0.0,
                    max=10.0,
                    step=0.01,
                    advanced=True,
                    tooltip="Weight of the Zero-123, told of the photo; with the embedded model only.",
                ),
                io.Float.Input(
                    "reference",
                    default=STANDARD.reference,
                    min=0.0,
                    max=10000.0,
                    step=1.0,
                    advanced=True,
                    tooltip="Weight of the photo, which holds the front.",
                ),
                size_input(),
                guidance_input(),
            ],
            outputs=[
                HeadWire.Output(
                    display_name="head", tooltip="For Refine Head, Render Views and Head to Mesh."
                )
            ],
        )

    @classmethod
    def execute(
        cls,
        head,
        diffusion,
        steps: int,
        seed: int,
        learnt: bool,
        text: float,
        picture_weight: float,
        reference: float,
        size: int = 0,
        guidance: float = -1.0,
    ) -> io.NodeOutput:
        if learnt and head.head.generator is None:
            raise ValueError(
                "restoration: expected a head with its generator, behind which the learnt block fits, got one without; "
                "wire Invert Portrait's or Feed-Forward Head's, or turn learnt off"
            )
        config = RestorationConfig(steps=steps, text=text, picture=picture_weight, reference=reference)
        config = config.for_model(diffusion.model.usage, size=size, guidance=guidance)
        with_photo = diffusion.name == loading.EMBEDDED and picture_weight > 0
        with torch.inference_mode(False):
            zero123 = shipped_zero123() if with_photo else None
            block = learnt_block(head.head.config) if learnt else None
        patchers = [diffusion.patcher] + ([] if zero123 is None else [loading.patcher(zero123)])

        def run(state, callback):
            own = private(loading.ready(head, *patchers, memory=2 * MEMORY))
            guides = Guides(private(diffusion.model), private(zero123))
            draws = torch.Generator().manual_seed(seed)
            (result,), _ = restore_geometry(
                [own],
                guides,
                config,
                generator=draws,
                block=block,
                state=state,
                callback=callback,
                after_call=mm.throw_exception_if_processing_interrupted,
            )
            return result

        original = head.head
        parts = *original.stacks, original.decoder, original.latents, original.reference
        ours = loading.file_facts(shipped("zero123"), shipped("restoration"))
        key = fingerprint("restore", *parts, config, seed, learnt, *model_facts(diffusion), ours)
        result = optimise(run, key, turned, steps, every=5)
        return io.NodeOutput(loading.wire_head(replace(result, reference=original.reference)))
