"""What restoration and refinement take at most beside what, by settings for cards of 8, 12 and 24 GiB: counted on networks without memory.

Attention is counted as accelerators compute it, without its table of weights. Not counted: what kernels need for themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..diffusion.autoencoder import decode, encode, factor
from ..diffusion.brushnet import BranchConfig
from ..diffusion.hpdm import Hpdm, HpdmConfig, Priors, Warp
from .live_memory import live_bytes
from .public_sizes import SD_15, SD_VAE, random_networks

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

GIB = 2**30
PERP_NEG_ROWS = 4  # of the UNet's in a step of the restoration
RESERVE = 1.1  # of what is counted: allocators keep some, kernels need some


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is done at once on a card. Attributes: gib: of the card. views: denoised at once. graph_bytes: of a piece of rays."""

    gib: int
    views: int
    graph_bytes: int

    @property
    def name(self) -> str:
        """For a table."""
        return f"{self.gib} GiB, {self.views} views at once, {self.graph_bytes / GIB:g} GiB of rays' graph"


SETTINGS = (
    Setting(gib=8, views=1, graph_bytes=GIB // 2),
    Setting(gib=12, views=4, graph_bytes=GIB),
    Setting(gib=24, views=10, graph_bytes=2 * GIB),
)


class _Fused(torch.autograd.Function):
    """Of attention only what is there at once: result, and what the backward pass needs."""

    @staticmethod
    def forward(ctx, query, key, value):
        ctx.save_for_backward(query, key, value)
        return query.new_empty(*query.shape[:-1], value.shape[-1])

    @staticmethod
    def backward(ctx, *gradients):
        return tuple(torch.empty_like(tensor) for tensor in ctx.saved_tensors)


@contextmanager
def fused_attention() -> Iterator[None]:
    """Inside, attention makes no table of weights, as accelerators' kernels do; its numbers mean nothing."""
    own = nn.functional.scaled_dot_product_attention

    def fused(query, key, value, *rest, **named):
        return _Fused.apply(query, key, value)

    nn.functional.scaled_dot_product_attention = fused
    try:
        yield
    finally:
        nn.functional.scaled_dot_product_attention = own


@dataclass(frozen=True)
class Networks:
    """Of a family, on the meta device."""

    unet: UNet2DConditionModel
    vae: AutoencoderKL
    branches: Hpdm

    @property
    def weights(self) -> dict[str, int]:
        """Bytes of each."""
        parts = {"UNet": self.unet, "autoencoder": self.vae, "branches": self.branches}
        return {
            name: sum(p.numel() * p.element_size() for p in part.parameters()) for name, part in parts.items()
        }


def outlines(
    unet: Mapping[str, Any] = SD_15, vae: Mapping[str, Any] = SD_VAE, dtype: torch.dtype = torch.bfloat16
) -> Networks:
    """Networks of such sizes, by the names of diffusers' constructors, without memory."""
    meta = torch.device("meta")
    network, autoencoder = random_networks(unet, vae, meta, dtype)
    with meta:
        branch = BranchConfig(
            channels=tuple(network.config["block_out_channels"]), layers=network.config["layers_per_block"]
        )
        branches = Hpdm(HpdmConfig(branch=branch)).to(dtype).requires_grad_(False).eval()
    return Networks(network, autoencoder, branches)


def refinement_bytes(networks: Networks, views: int, size: int) -> int:
    """The most bytes beside the weights while views of size x size are denoised at once, with a prompt and without, and decoded."""
    unet, vae = networks.unet, networks.vae
    side, dtype = size // factor(vae), unet.dtype
    z = torch.empty(views, 4, side, side, device="meta", dtype=dtype)
    t = torch.zeros(views, device="meta", dtype=torch.int64)
    tokens = torch.empty(2 * views, 77, unet.config["cross_attention_dim"], device="meta", dtype=dtype)
    levels = len(unet.config["block_out_channels"])
    sides = [side >> level for level in range(levels)]
    index = {(s, s): torch.zeros(views, s, s, device="meta", dtype=torch.int64) for s in sides}
    priors = Priors(z, z[:, :1], torch.cat([z, z], 1), z, Warp(indices=index))

    def call() -> None:
        features = [feature.repeat(2, 1, 1, 1) for feature in networks.branches(z, t, priors)]
        unet(torch.cat([z, z]), torch.cat([t, t]), tokens)
        del features

    def pictures() -> None:
        decode(vae, z)

    with torch.no_grad(), fused_attention():
        return max(live_bytes(call), live_bytes(pictures))


def restoration_bytes(networks: Networks, size: int, graph_bytes: int) -> int:
    """The most bytes beside the weights in a step of the restoration at size x size: rays' graph, encoder's graph, the UNet's call."""
    unet, vae = networks.unet, networks.vae
    rows = PERP_NEG_ROWS
    side = size // factor(vae)
    tokens = torch.empty(rows, 77, unet.config["cross_attention_dim"], device="meta", dtype=unet.dtype)

    def step() -> None:
        image = torch.empty(1, 3, size, size, device="meta", requires_grad=True)
        z = encode(vae, image, sparing=True)
        with torch.no_grad():
            noisy = torch.empty(rows, 4, side, side, device="meta", dtype=unet.dtype)
            unet(noisy, torch.zeros(rows, device="meta", dtype=torch.int64), tokens)
        torch.autograd.grad(z.sum(), image)

    with fused_attention():
        return graph_bytes + live_bytes(step)


def estimate(networks: Networks, setting: Setting, size: int) -> dict[str, float]:
    """GiB of a setting's weights and peaks, by name; of each stage's peak with the weights that it needs, and a reserve."""
    weights = networks.weights
    both = weights["UNet"] + weights["autoencoder"]
    restoration = both + restoration_bytes(networks, size, setting.graph_bytes)
    refinement = both + weights["branches"] + refinement_bytes(networks, setting.views, size)
    return {
        "weights": sum(weights.values()) / GIB,
        "restoration, estimated peak": RESERVE * restoration / GIB,
        "refinement, estimated peak": RESERVE * refinement / GIB,
    }
