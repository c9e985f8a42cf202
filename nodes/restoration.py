"""Restore geometry: PORTRAIT_HEAD -> PORTRAIT_HEAD whose sides and back a diffusion model has looked at."""

from __future__ import annotations

import logging
from dataclasses import replace

import comfy.model_management as mm
import torch
from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io

from ..models.checkpoint import shipped
from ..models.diffusion.embedded_zero123 import shipped_zero123
from ..models.diffusion.zero123 import PublicZero123
from ..models.distillation.restoration import Guides, RestorationConfig, restore_geometry
from ..models.prior.detail_block import learnt_block
from . import loading
from .denoising import ComfyDenoiser
from .diffusion import model_facts
from .inversion import MEMORY, turned
from .optimising import fingerprint, frozen, optimise, private
from .turbo import CORE_MEMORY
from .types import (
    CATEGORY,
    DiffusionOnWire,
    DiffusionWire,
    HeadWire,
    Zero123Wire,
    guidance_input,
    seed_input,
    size_input,
)
from .zero123 import with_photo, zero123_facts

STANDARD = RestorationConfig()
PERP_NEG_ROWS = 4  # of the UNet's: towards, without, and two away
GRAPH = 1.4  # an encoder's graph by what core reckons with for a decoder: 3,035 numbers a pixel, counted by `live_memory`, by 2,178


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
        guide = None if zero123 is None else zero123.guide
        patchers = [diffusion.patcher] if zero123 is None else [diffusion.patcher, zero123.patcher]
        with torch.inference_mode(False):
            if zero123 is not None:
                config = replace(config, picture_guidance=zero123.guidance)
            elif diffusion.name == loading.EMBEDDED and picture_weight > 0:
                guide = shipped_zero123()
                patchers.append(loading.patcher(guide))
            block = learnt_block(head.head.config) if learnt else None
        report = Guides(diffusion.model, guide).report(config)
        level = logging.WARNING if guide is None and picture_weight > 0 else logging.INFO
        logging.getLogger(__name__).log(level, "restoration: %s", report)

        def run(state, callback):
            known = guide
            if isinstance(guide, PublicZero123) and head.head.reference is not None and config.picture:
                known = with_photo(guide, private(head.head.reference))
            guides, others = resident(Guides(diffusion.model, known))
            memory = memory_for(diffusion, guides, config)
            own = private(loading.ready(head, *patchers, *others, memory=memory))
            draws = torch.Generator().manual_seed(seed)
            (result,), _ = restore_geometry(
                [own],
                frozen(guides),
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


def resident(guides: Guides) -> tuple[Guides, list[ModelPatcher]]:
    """Guides whose MODELs their caller loads, and the patchers to load: once, before the loop."""
    patchers = []
    model, zero123 = guides.model, guides.zero123
    if isinstance(model.denoiser, ComfyDenoiser):
        patchers += model.denoiser.patchers
        model = replace(model, denoiser=model.denoiser.loaded())
    if isinstance(zero123, PublicZero123) and isinstance(zero123.network, ComfyDenoiser):
        patchers += zero123.network.patchers
        zero123 = replace(zero123, network=zero123.network.loaded())
    return replace(guides, model=model, zero123=zero123), patchers


def memory_for(diffusion: DiffusionOnWire, guides: Guides, config: RestorationConfig) -> int:
    """Bytes that a step needs beside all weights: the rays' graph, the autoencoders' and, meanwhile, the larger of the UNets' calls."""
    denoiser, zero123 = guides.model.denoiser, guides.zero123
    pixel = diffusion.memory_per_pixel * GRAPH
    own, calls = 2 * MEMORY, [0]
    if isinstance(denoiser, ComfyDenoiser):
        own = int(MEMORY + config.graph_bytes + pixel * config.seen**2)
        calls.append(denoiser.memory(PERP_NEG_ROWS, config.seen))
    if isinstance(zero123, PublicZero123) and isinstance(zero123.network, ComfyDenoiser):
        own += int(CORE_MEMORY * mm.dtype_size(zero123.vae.dtype) * GRAPH * zero123.size**2)
        calls.append(zero123.network.memory(2, zero123.size))
    return own + max(calls)
