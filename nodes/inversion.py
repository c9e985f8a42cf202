"""Invert portrait: PORTRAIT_ALIGNED -> PORTRAIT_HEAD."""

from __future__ import annotations

import math
from dataclasses import replace

import comfy.model_management as mm
import torch
from comfy_api.latest import io

from ..models.camera import orbit
from ..models.field.volume_rendering import RenderConfig
from ..models.fitting.alike import STEPS as APPROACH
from ..models.fitting.completion import completed
from ..models.fitting.feed_forward import feed_forward_head
from ..models.fitting.inversion import invert
from ..models.fitting.inversion_config import PRESETS, inversion_config
from ..models.fitting.perceptual import eyes_for
from ..models.fitting.run import Progress
from ..models.metrics.identity import shipped_identity
from ..models.metrics.image import masked_psnr
from ..models.metrics.likeness import likeness
from ..models.photo.reframing import reframed
from ..models.presence import present
from ..models.prior.frames import Frame, frame_of
from . import convert, loading
from .optimising import Progress as Steps
from .optimising import fingerprint, normally, optimise, private
from .types import CATEGORY, AlignedWire, HeadOnWire, HeadWire, PriorWire, seed_input

PREVIEW_SIZE = 96
MEMORY = 600 * 2**20  # bytes of activations of one step, measured by `bench pipeline` on a CPU
PUBLIC = (
    3200 * 2**20
)  # the same of a whole picture of 512 pixels by SphereHead's, the largest; measured on a CPU


class InvertPortrait(io.ComfyNode):
    """Fit the prior to a portrait."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitDiffusionInvertPortrait",
            display_name="Invert Portrait",
            category=CATEGORY,
            description="Finds the head in the prior that looks like the portrait, then tunes a copy of the generator to it. "
            "Shows a turning head while it works; an interrupted run goes on where it stopped when you run it again. "
            "Pictures are compared in the features of the prior's discriminator, or of your VGG16 (in models/portrait_diffusion). "
            "A prior without an encoder is begun at the mean of its heads; EG3D's, PanoHead's and SphereHead's own files are inverted as their users do.",
            search_aliases=["gan inversion", "pivotal tuning", "pti", "photo to 3d", "portrait to head"],
            inputs=[
                PriorWire.Input("prior", tooltip="From Load Head Prior."),
                AlignedWire.Input("aligned", tooltip="From Align Portrait."),
                io.Combo.Input(
                    "preset",
                    options=list(PRESETS),
                    default="quick",
                    tooltip="quick: 270 steps, the fast start. full: 720 steps on twice the rays, closer to the photo, about four times as long. EG3D's, PanoHead's and SphereHead's own files: full takes the published steps (450 or 500 of latents, 350 of the generator), quick a fifth.",
                ),
                seed_input("drawn rays", "head"),
                io.Int.Input(
                    "latent_steps",
                    default=-1,
                    min=-1,
                    max=5000,
                    advanced=True,
                    tooltip="Steps of the first stage (latents); -1 takes the preset's.",
                ),
                io.Int.Input(
                    "tuning_steps",
                    default=-1,
                    min=-1,
                    max=5000,
                    advanced=True,
                    tooltip="Steps of the second stage (generator) and of the third (planes), each; the last stage (specks) takes no more. -1 takes the preset's.",
                ),
                HeadWire.Input(
                    "start",
                    optional=True,
                    tooltip="A head to begin with, as from Generate Avatar: latents are first made alike it from all sides. Without it, the "
                    "encoder's guess.",
                ),
            ],
            outputs=[
                HeadWire.Output(display_name="head", tooltip="For Render Views, Head to Mesh and Save Head.")
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, **inputs):
        return loading.file_facts(loading.vgg_file())  # a VGG16 that came, went or changed makes other heads

    @classmethod
    def execute(
        cls,
        prior,
        aligned,
        preset: str,
        seed: int,
        latent_steps: int = -1,
        tuning_steps: int = -1,
        start=None,
    ) -> io.NodeOutput:
        config = inversion_config(prior.generator, prior.encoder, preset)
        frame = frame_of(prior.generator)
        if frame != Frame():
            if start is not None:
                raise ValueError(
                    "inversion: expected a prior that sees heads as this pack does, for a head to start from, got one whose photos are cropped "
                    "closer; unplug start"
                )
            size = max(prior.generator.resolution, aligned.image.shape[-1])
            aligned = reframed(aligned, frame.scale, frame.offset, size)
        if latent_steps >= 0:
            config = replace(config, latent_steps=latent_steps)
        if tuning_steps >= 0:
            config = replace(
                config,
                tuning_steps=tuning_steps,
                detail_steps=tuning_steps if config.detail_steps else 0,
                sweep_steps=min(config.sweep_steps, tuning_steps),
            )
        vgg = loading.vgg_file()
        judge = None if vgg is None else loading.load_vgg_patcher(vgg)
        patchers = [prior.patcher] if judge is None else [prior.patcher, judge]
        memory = PUBLIC if config.projected else MEMORY
        known = None
        if start is None:
            mm.load_models_gpu(patchers, memory_required=memory)
        else:
            known = loading.ready(start, *patchers, memory=memory)
        device = prior.patcher.load_device

        def run(state, callback):
            reference = private(aligned).to(device)
            draws = torch.Generator().manual_seed(seed)
            networks = private(prior.generator), private(prior.encoder)
            eyes = eyes_for(
                networks[0], private(prior.critic), None if judge is None else private(judge.model)
            ).distance
            return invert(
                *networks,
                reference,
                config,
                generator=draws,
                perceptual=eyes,
                begin=private(known),
                approach=None if known is None else Steps(APPROACH).update,  # a bar of its own
                state=state,
                callback=callback,
            )

        key = fingerprint(
            aligned,
            config,
            seed,
            prior.generator,
            prior.encoder,
            prior.critic if judge is None else judge.model,
            known,
        )
        head = optimise(run, key, picture, config.steps)
        camera = present(head.reference, "a head with its portrait", "invert it again").camera  # as fitted
        reference = replace(aligned, camera=camera.to(aligned.image.device))
        wire = loading.wire_head(replace(head, reference=reference))
        judged_by = eyes_for(
            prior.generator,
            prior.critic,
            None if judge is None else judge.model,
            "" if vgg is None else vgg.name,
        ).name
        begun_at = (
            ""
            if prior.encoder is not None
            else "; begun at the mean of the prior's heads, for want of an encoder"
        )
        if frame != Frame():
            begun_at += ", and cropped closer, as its photos were"
        return io.NodeOutput(
            whole(wire),
            ui={
                "text": [
                    f"{front_figure(wire)}; pictures compared by {judged_by}{begun_at}",
                    *likeness_notes(wire),
                ]
            },
        )


class FeedForwardHead(io.ComfyNode):
    """A portrait's head in one look."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitDiffusionFeedForwardHead",
            display_name="Feed-Forward Head",
            category=CATEGORY,
            description="The head that the prior's encoder sees in a portrait, at once and without optimisation: the avatar stage of "
            "TurboPortrait3D. Coarser than Invert Portrait; Refine Views works on its renders.",
            search_aliases=["avatar", "turboportrait3d", "encoder", "instant head", "one shot"],
            inputs=[
                PriorWire.Input("prior", tooltip="From Load Head Prior."),
                AlignedWire.Input("aligned", tooltip="From Align Portrait; a list makes one head of each."),
            ],
            outputs=[
                HeadWire.Output(display_name="head", tooltip="For Render Views, Head to Mesh and Save Head.")
            ],
        )

    @classmethod
    def execute(cls, prior, aligned) -> io.NodeOutput:
        mm.load_models_gpu([prior.patcher], memory_required=MEMORY)
        head = feed_forward_head(prior.generator, prior.encoder, aligned.to(prior.patcher.load_device))
        with torch.inference_mode(False):  # so that later stages can optimise it
            own = private(replace(head, reference=aligned))
        wire = loading.wire_head(own)
        return io.NodeOutput(whole(wire), ui={"text": [front_figure(wire)]})


def picture(now: Progress):
    """The head as it stands, a little further round with every preview."""
    return seen_from(now, 0.8 * math.sin(now.step * 0.05))


def turned(now: Progress):
    """The head as it stands, once around in the course of a run: for stages that work on its back."""
    return seen_from(now, 2 * math.pi * now.step / now.steps)


def seen_from(now: Progress, yaw: float):
    """A picture of the head as it stands, from a yaw."""
    camera = orbit(torch.tensor([yaw]), 0.0)
    head = now.head()
    view = head.render(
        camera.to(head.planes.device), PREVIEW_SIZE, RenderConfig(coarse=24, fine=12), normals=False
    )
    return convert.to_pil(view.rgb[0])


def whole(wire: HeadOnWire) -> HeadOnWire:
    """A head whose portrait is the head's own view where the photo tells nothing, for later stages that repaint it from its portrait."""
    if wire.head.reference is None or wire.head.reference.unknown is None:
        return wire
    with normally():
        reference = completed(loading.ready(wire)).reference
    return replace(wire, head=replace(wire.head, reference=reference))


def likeness_notes(wire: HeadOnWire) -> list[str]:
    """A warning, or none, about a head that is hardly its portrait's."""
    head = loading.ready(wire)
    if head.reference is None:
        return []
    sentence = likeness(head, head.reference, shipped_identity()).doubt()
    return [] if sentence is None else [sentence]


def front_figure(wire) -> str:
    """How close the head's view through the portrait's camera is to the portrait, in words."""
    head = loading.ready(wire)
    if head.reference is None:
        raise ValueError(
            "portrait's own view: expected a head with its portrait, got one without; use an inverted head"
        )
    reference = head.reference.to(head.planes.device)
    view = head.render(reference.camera[None], 128, normals=False)
    return f"portrait's own view: {masked_psnr(view.rgb, reference.on_white()[None], reference.mask[None]):.1f} dB inside the mask"
