"""The embedded Zero-123: the UNet that ships, told of one picture, by a LoRA, four more input channels and `cc_projection`.

Its file holds what it adds to the UNet, which it is bound to. In CLIP's place: the identity network's embedding, projected.
"""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ..checkpoint import json_entry, kind_of, load_into, read_tensors, save_tensors, shipped
from ..metrics.identity import IdentityNetwork, head_crop, shipped_identity
from .denoiser import Conditioning, DiffusersDenoiser
from .embedded import SIZE, EmbeddedUNet, shipped_unet
from .lora import (
    UNET_TARGETS,
    check_base,
    fingerprint,
    fingerprint_from,
    inject,
    lora_of,
    merge_,
    packed,
    target_names,
    unpacked,
)
from .schedule import stable_diffusion_schedule
from .zero123 import Pose, ViewConditioning, camera_vector

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

KIND = "zero123"
RANK = 16
TOLD = "told."  # where a file keeps what is no LoRA


def widened(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """A copy whose input convolution takes a picture's latent beside the noisy one; it does nothing with it yet."""
    copy = deepcopy(unet)
    conv = copy.conv_in
    conv.weight = nn.Parameter(torch.cat([conv.weight.detach(), torch.zeros_like(conv.weight)], 1))
    conv.in_channels *= 2
    copy.register_to_config(in_channels=conv.in_channels)
    return copy.requires_grad_(False)


class Told(nn.Module):
    """What a UNet is told with: the picture's way into the first convolution, its embedding's into the token.

    Args:
        width: of the token. channels: of the first features. latents: channels of a latent.
    """

    def __init__(self, embedding: int, width: int, channels: int, latents: int) -> None:
        super().__init__()
        self.visual = nn.Linear(embedding, width, bias=False)
        self.conditioning = ViewConditioning(width)
        self.picture = nn.Parameter(torch.zeros(channels, latents, 3, 3))


class Zero123(nn.Module):
    """An embedded UNet, widened, with its LoRA beside it: for training, and for merging; a `PictureGuide`.

    Attributes:
        unet: widened. told: what else is learnt. base: of the UNet that it was made from.
        vae: none of its own: it shares the latents of the UNet that it was made from.
    """

    name = "the embedded Zero-123"
    size = SIZE
    vae: AutoencoderKL | None = None

    def __init__(self, base: EmbeddedUNet, identity: IdentityNetwork) -> None:
        super().__init__()
        size = base.config
        self.base = fingerprint(base.unet)
        self.unet = widened(base.unet)
        self.told = Told(identity.config.dimensions, size.context, size.channels[0], size.latent_channels)
        self.identity = identity.requires_grad_(False)

    def denoiser(self) -> DiffusersDenoiser:
        """Behind the contract."""
        return DiffusersDenoiser(self.unet, stable_diffusion_schedule())

    def embedding(self, pictures: Tensor) -> Tensor:
        """Canonical frames [B, 3, S, S] on white -> [B, 1, D], what stands in the image tower's place."""
        with torch.no_grad():
            identity = self.identity(head_crop(pictures))
        return self.told.visual(identity)[:, None]

    def conditioning(self, embedding: Tensor, latent: Tensor, source: Pose, target: Pose) -> Conditioning:
        """Of targets [B], from pictures with such embeddings [1 or B, 1, D] and unscaled latents [1 or B, C, h, w]."""
        return self.told.conditioning(embedding, camera_vector(target, source), latent)


def trainable(network: Zero123, draws: torch.Generator) -> list[nn.Parameter]:
    """Factors, the picture's channels and the projections, ready to be learnt."""
    names = [name for name in target_names(network.unet, UNET_TARGETS) if name != "conv_in"]
    factors = inject(network.unet, names, rank=RANK, generator=draws)
    conv = network.unet.conv_in
    parametrize.register_parametrization(conv, "weight", _Beside(network.told.picture), unsafe=True)
    return [*factors, *network.told.parameters()]


class _Beside(nn.Module):
    """The first convolution's weight with the picture's channels put in."""

    def __init__(self, picture: nn.Parameter) -> None:
        super().__init__()
        self.picture = picture

    def forward(self, weight: Tensor) -> Tensor:
        """A weight [C_out, C_in, 3, 3] -> the same, its last input channels the picture's."""
        own = weight[:, : weight.shape[1] - self.picture.shape[1]]
        return torch.cat([own, self.picture.to(own)], 1)


def save_zero123(path: Path, network: Zero123, **facts: str) -> None:
    """Write what is learnt, in half precision, bound to the base."""
    tensors, scales = packed(lora_of(network.unet))
    tensors |= {TOLD + key: value for key, value in network.told.state_dict().items()}
    base = json.dumps([network.base.layout, network.base.samples])
    metadata = {
        "kind": KIND,
        "config": json.dumps({"rank": RANK}),
        "scales": json.dumps(scales),
        "base": base,
    }
    save_tensors(
        path,
        {key: value.detach().cpu().half().contiguous() for key, value in tensors.items()},
        metadata | facts,
    )


def shipped_zero123(path: Path | None = None, base: EmbeddedUNet | None = None) -> Zero123:
    """The Zero-123 that comes with the pack, or one of its kind, merged and frozen, on the CPU.

    Raises:
        ValueError: as `read_tensors` and `load_into`; another kind of file; or made on another UNet.
    """
    path = path or shipped(KIND)
    base = base or shipped_unet()
    state, metadata = read_tensors(path, "zero123 weights")
    if metadata.get("kind") != KIND:
        raise ValueError(
            f"zero123 weights: expected a file of kind {KIND}, but {Path(path).name} holds {kind_of(metadata)}; "
            "choose one that `train zero123` wrote"
        )
    what = f"zero123 weights: {Path(path).name}"
    own_base = fingerprint_from(json_entry(metadata, "base", what), what)
    scales = json_entry(metadata, "scales", what)
    network = Zero123(base, shipped_identity())
    check_base(own_base, network.base, Path(path).name)
    load_into(
        network.told,
        {key.removeprefix(TOLD): value.float() for key, value in state.items() if key.startswith(TOLD)},
        "zero123",
    )
    merge_(network.unet, unpacked(state, scales))
    with torch.no_grad():
        network.unet.conv_in.weight[:, -network.told.picture.shape[1] :] = network.told.picture
    return network.requires_grad_(False).eval()
