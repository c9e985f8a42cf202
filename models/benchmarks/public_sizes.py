"""Public models' sizes, with random weights: what a user's own model has to run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from ..devices import placed
from ..diffusion.embedded import library

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

# Public facts of the UNets of Stable Diffusion 1.5 and SD-Turbo, and of the latter's autoencoder (Stable Diffusion 2.1's).
SD_15: Mapping[str, Any] = {"cross_attention_dim": 768, "attention_head_dim": 8, "sample_size": 64}
SD_TURBO: Mapping[str, Any] = {
    "cross_attention_dim": 1024,
    "attention_head_dim": (5, 10, 20, 20),
    "use_linear_projection": True,
    "sample_size": 64,
}
SD_VAE: Mapping[str, Any] = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "scaling_factor": 0.18215,
}


def random_networks(
    unet: Mapping[str, Any], vae: Mapping[str, Any], device: torch.device, dtype: torch.dtype
) -> tuple[UNet2DConditionModel, AutoencoderKL]:
    """A UNet and an autoencoder, frozen.

    Args:
        unet, vae: their sizes, by the names of diffusers' constructors.
    """
    with torch.device(device):
        networks = library().UNet2DConditionModel(**unet), library().AutoencoderKL(**vae)
    for network in networks:
        placed(network, device, dtype).requires_grad_(False).eval()
    return networks
