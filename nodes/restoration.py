"""Restore geometry: PORTRAIT_HEAD -> PORTRAIT_HEAD whose sides and back a diffusion model has looked at."""

from __future__ import annotations

import logging
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
from .optimising import fingerprint, frozen, optimise, private
from .types import CATEGORY, DiffusionWire, HeadWire, Zero123Wire, guidance_input, seed_input, size_input
from .zero123 import zero123_facts

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
                    tooltip="Weight of the Zero-123, told of the photo: the one wired, or the embedded one with the embedded model.",
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
                Zero123Wire.Input(
                    "zero123",
                    optional=True,
                    tooltip="From Load Zero-123: told of the photo. Absent, it is the one that ships with the diffusion model that ships, and none "
                    "with another.",
                ),
            ],
            outputs=[
                HeadWire.Output(
                    display_name="head", tooltip="For Refine Head, Render Views and Head to Mesh."
                ),
                io.String.Output(
                    display_name="report",
                    tooltip="Which guides were asked, at which weight, guidance and size.",
                ),
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
        zero123=None,
    ) -> io.NodeOutput:
        if learnt and head.head.generator is None:
            raise ValueError(
                "restoration: expected a head with its generator, behind which the learnt block fits, got one without; "
                "wire Invert Portrait's or Feed-Forward Head's, or turn learnt off"
            )
        config = RestorationConfig(steps=steps, text=text, picture=picture_weight, reference=reference)
        config = config.for_model(diffusion.model.usage, size=size, guidance=guidance)
        guide, patchers = None, [diffusion.patcher]
        with torch.inference_mode(False):
            if zero123 is not None:
                guide, config = zero123.guide, replace(config, picture_guidance=zero123.guidance)
                patchers.append(zero123.patcher)
            elif diffusion.name == loading.EMBEDDED and picture_weight > 0:
                guide = shipped_zero123()
                patchers.append(loading.patcher(guide))
            block = learnt_block(head.head.config) if learnt else None
        report = Guides(diffusion.model, guide).report(config)
        logging.getLogger(__name__).info("restoration: %s", report)

        def run(state, callback):
            own = private(loading.ready(head, *patchers, memory=2 * MEMORY))
            guides = Guides(frozen(diffusion.model), frozen(guide))
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
        facts = () if zero123 is None else zero123_facts(zero123)
        key = fingerprint("restore", *parts, config, seed, learnt, *model_facts(diffusion), ours, *facts)
        result = optimise(run, key, turned, steps, every=5)
        return io.NodeOutput(loading.wire_head(replace(result, reference=original.reference)), report)
