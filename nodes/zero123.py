"""Load Zero-123: core's MODEL, CLIP_VISION and VAE of such a checkpoint -> PORTRAIT_ZERO123, eq. 2's second guide."""

from __future__ import annotations

from dataclasses import replace

import torch
from comfy_api.latest import io

from ..models.diffusion.usage import FROM_MODEL
from ..models.diffusion.zero123 import PublicZero123, ViewConditioning
from ..models.photo.alignment import AlignedPortrait
from ..models.public_models import ZERO123, where_to_get
from . import loading
from .denoising import ComfyDenoiser, autoencoder, described, file_name, weights_facts
from .types import CATEGORY, Zero123OnWire, Zero123Wire

STABLE, ORIGINAL = "Stable-Zero123", "Zero123-XL"
KINDS = (STABLE, ORIGINAL)
GUIDANCE = {STABLE: 5.0, ORIGINAL: 3.0}  # threestudio's and DreamCraft3D's


class LoadZero123(io.ComfyNode):
    """What ImageOnlyCheckpointLoader gives -> PORTRAIT_ZERO123."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitDiffusionLoadZero123",
            display_name="Load Zero-123",
            category=CATEGORY,
            description="Makes a Zero-123 the second guide of Restore Geometry, which is told of the photo and of how the camera moves away "
            "from it. Wire the three outputs of core's Image Only Checkpoint Loader.",
            search_aliases=[
                "stable zero123",
                "zero123-xl",
                "novel view",
                "image guidance",
                "portrait diffusion",
            ],
            inputs=[
                io.Model.Input("model", tooltip="Of Stable-Zero123 or Zero123-XL: eight input channels."),
                io.ClipVision.Input("clip_vision", tooltip="The same checkpoint's."),
                io.Vae.Input("vae", tooltip="The same checkpoint's."),
                io.Combo.Input(
                    "kind",
                    options=[FROM_MODEL, *KINDS],
                    default=FROM_MODEL,
                    tooltip="What the camera's fourth number means: the photo's polar angle (Stable-Zero123), or how much farther the camera "
                    "stands (Zero123-XL and the first one). Their weights look alike: from the model is by its file's name.",
                ),
            ],
            outputs=[Zero123Wire.Output(display_name="zero123", tooltip="For Restore Geometry.")],
        )

    @classmethod
    def execute(cls, model, clip_vision, vae, kind: str) -> io.NodeOutput:
        layer = getattr(model.model, "cc_projection", None)
        if layer is None:
            raise ValueError(
                f"zero123: expected the MODEL of a Stable-Zero123 or Zero123-XL checkpoint, got {described(model)}; choose such a file in "
                f"Image Only Checkpoint Loader. {where_to_get(ZERO123)}"
            )
        if not hasattr(clip_vision, "encode_image"):
            raise ValueError(
                "zero123: expected the CLIP_VISION of the same checkpoint, got none; wire that of Image Only Checkpoint Loader"
            )
        kind = kind_of_file(file_name(model)) if kind == FROM_MODEL else kind
        with torch.inference_mode(False):
            guide = PublicZero123(
                name=kind,
                network=ComfyDenoiser(model),
                image_tower=ImageTower(clip_vision),
                projection=projection_of(layer),
                vae=autoencoder(vae),
                stable=kind == STABLE,
            )
            patcher = loading.patcher(guide.vae, guide.projection)
        return io.NodeOutput(Zero123OnWire(guide, GUIDANCE[kind], model, patcher))


class ImageTower:
    """A CLIP_VISION as `PublicZero123.image_tower`."""

    def __init__(self, clip_vision) -> None:
        self.clip_vision = clip_vision

    @torch.no_grad()  # core's weights are of inference mode, and ask for gradients
    def __call__(self, pictures: torch.Tensor) -> torch.Tensor:
        """Pictures [B, 3, S, S] in [0, 1] -> [B, 1, D], not normalised, on their device."""
        embeds = self.clip_vision.encode_image(pictures.movedim(1, -1))["image_embeds"]
        return embeds.detach().clone().to(pictures)[:, None]


def with_photo(guide: PublicZero123, photo: AlignedPortrait) -> PublicZero123:
    """A guide that already knows what its image tower sees of a photo: asking that later would load it beside everything else."""
    embedding = guide.embedding(photo.on_white_at(guide.size)[None])
    return replace(guide, image_tower=lambda pictures: embedding.to(pictures))


def kind_of_file(name: str) -> str:
    """Which Zero-123 a file is by its name; Stable-Zero123 where that says nothing, as core takes all of them."""
    name = name.lower()
    return ORIGINAL if "stable" not in name and ("zero123" in name or "zero-123" in name) else STABLE


def projection_of(layer: torch.nn.Linear) -> ViewConditioning:
    """`cc_projection` of a MODEL, [D, D + 4], as ours, in float32.

    Raises:
        ValueError: of another shape.
    """
    width, inputs = layer.weight.shape
    if inputs != width + 4:
        raise ValueError(
            f"zero123: expected a cc_projection from an embedding and four numbers, got [{width}, {inputs}]; choose Stable-Zero123 or "
            "Zero123-XL"
        )
    projection = ViewConditioning(width)
    own = projection.cc_projection
    with torch.no_grad():
        own.weight.copy_(layer.weight.detach().float())
        own.bias.copy_(layer.bias.detach().float())
    return projection.requires_grad_(False)


def zero123_facts(wire: Zero123OnWire) -> tuple:
    """What changes when a Zero-123 does, for a fingerprint."""
    guide = wire.guide
    return guide.name, weights_facts(wire.model), guide.vae, guide.projection
