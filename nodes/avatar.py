"""Load avatar model, generate avatar: RodinHD's cascade as nodes."""

from __future__ import annotations

from dataclasses import replace

import comfy.model_management as mm
import torch
from comfy_api.latest import io

from ..models.avatar.model import BASE_KIND, DECODER_KIND, UPSAMPLER_KIND, avatar, load_avatar
from ..models.camera import frontal
from ..models.field.volume_rendering import RenderConfig
from ..models.head import Head
from . import convert, loading
from .inversion import front_figure, whole
from .optimising import Progress, private
from .types import CATEGORY, AlignedWire, AvatarOnWire, AvatarWire, HeadWire, guidance_input, seed_input

PICTURE_SIZE = 128  # pixels of the head as it forms
PICTURE_RAYS = RenderConfig(coarse=24, fine=12)
MEMORY = 700 * 2**20  # bytes of activations of the upsampler that ships, measured on a CPU


class LoadAvatarModel(io.ComfyNode):
    """Three files -> PORTRAIT_AVATAR."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitDiffusionLoadAvatarModel",
            display_name="Load Avatar Model",
            category=CATEGORY,
            description="Loads what draws whole heads of a portrait, or of nobody (RodinHD): the decoder that all its heads share, the model "
            "that draws coarse tri-planes, and the one that makes them fine. 'embedded' ships with the pack.",
            search_aliases=["rodinhd", "rodin", "tri-plane diffusion", "avatar diffusion", "3d diffusion"],
            inputs=[
                file_input(
                    "decoder", DECODER_KIND, "that 'train avatar-decoder' wrote; the other two belong to it"
                ),
                file_input("base", BASE_KIND, "that 'train avatar-base' wrote with this decoder"),
                file_input(
                    "upsampler", UPSAMPLER_KIND, "that 'train avatar-upsampler' wrote with this decoder"
                ),
            ],
            outputs=[AvatarWire.Output(display_name="avatar", tooltip="For Generate Avatar.")],
        )

    @classmethod
    def validate_inputs(cls, decoder: str, base: str, upsampler: str):
        # named here, so that what is said of a file that is missing is ours
        for name, kind in ((decoder, DECODER_KIND), (base, BASE_KIND), (upsampler, UPSAMPLER_KIND)):
            answer = loading.is_there(name, kind)
            if answer is not True:
                return answer
        return True

    @classmethod
    def fingerprint_inputs(cls, decoder, base, upsampler):
        return loading.file_facts(*(path for path in paths(decoder, base, upsampler) if path.is_file()))

    @classmethod
    def execute(cls, decoder: str, base: str, upsampler: str) -> io.NodeOutput:
        with torch.inference_mode(False):  # so that gradients can run through its heads later
            model = load_avatar(*paths(decoder, base, upsampler))
        return io.NodeOutput(AvatarOnWire(model, base, loading.patcher(*model.modules())))


def file_input(name: str, kind: str, origin: str) -> io.Combo.Input:
    """A choice of one of the model's files."""
    return io.Combo.Input(
        name,
        options=[loading.EMBEDDED, *loading.files_of(kind)],
        default=loading.EMBEDDED,
        tooltip=f"'embedded', or a file from models/portrait_diffusion {origin}.",
    )


def paths(decoder: str, base: str, upsampler: str) -> tuple:
    """Of the three files."""
    return (
        loading.weights_path(decoder, DECODER_KIND),
        loading.weights_path(base, BASE_KIND),
        loading.weights_path(upsampler, UPSAMPLER_KIND),
    )


class GenerateAvatar(io.ComfyNode):
    """A portrait, or nobody -> PORTRAIT_HEAD."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitDiffusionGenerateAvatar",
            display_name="Generate Avatar",
            category=CATEGORY,
            description="Draws a whole head by diffusion of tri-planes (RodinHD): of a portrait, whose details it is told at several scales, "
            "or without one of somebody new. Another seed draws another guess at what the portrait does not show.",
            search_aliases=["rodinhd", "rodin", "random head", "new person", "tri-plane diffusion", "avatar"],
            inputs=[
                AvatarWire.Input("avatar", tooltip="From Load Avatar Model."),
                seed_input("noise", "head"),
                io.Int.Input(
                    "steps",
                    default=10,
                    min=1,
                    max=100,
                    tooltip="Denoising steps of the coarse planes, and again of the fine ones. The paper takes 10.",
                ),
                guidance_input(
                    optional=False,
                    tooltip="How strongly the portrait counts; 1 halves the time of the coarse planes, -1 is from the model. Without a "
                    "portrait it changes nothing.",
                ),
                AlignedWire.Input(
                    "aligned",
                    optional=True,
                    tooltip="From Align Portrait; a list makes one head of each. Without it, somebody new.",
                ),
            ],
            outputs=[
                HeadWire.Output(display_name="head", tooltip="For Render Views, Head to Mesh and Save Head."),
                io.Image.Output(
                    display_name="formation",
                    tooltip="The head after each step, of the coarse planes, then of the fine ones.",
                ),
            ],
        )

    @classmethod
    def execute(cls, avatar, seed: int, steps: int, guidance: float, aligned=None) -> io.NodeOutput:
        mm.load_models_gpu([avatar.patcher], memory_required=MEMORY)
        device = avatar.patcher.load_device
        head, formation = formed(
            avatar, seed, steps, guidance, None if aligned is None else aligned.to(device)
        )
        with torch.inference_mode(False):  # so that later stages can optimise it
            own = private(replace(head, reference=aligned))
        wire = loading.wire_head(own)
        words = "somebody new, of no portrait" if aligned is None else front_figure(wire)
        return io.NodeOutput(whole(wire), convert.to_image(formation), ui={"text": [words]})


def formed(wire: AvatarOnWire, seed: int, steps: int, guidance: float, portrait) -> tuple[Head, torch.Tensor]:
    """A head, and a picture of it after each step [2 steps, 3, S, S]; shown as they come, and interrupted between them."""
    config = wire.model.cascade.config
    progress = Progress(steps + min(steps, config.upsampler_schedule.count))
    camera = frontal() if portrait is None else portrait.camera
    pictures = []

    def after_step(done: int, total: int, head: Head) -> None:
        progress.update(done)  # notices an interrupt before a picture is drawn
        view = head.render(camera[None].to(head.planes.device), PICTURE_SIZE, PICTURE_RAYS, normals=False).rgb
        pictures.append(view[0].cpu())
        progress.update(done, convert.to_pil(view[0]))

    head = avatar(
        wire.model,
        portrait,
        torch.Generator().manual_seed(seed),
        steps=steps,
        guidance_scale=None if guidance < 0 else guidance,
        callback=after_step,
    )
    return head, torch.stack(pictures)
