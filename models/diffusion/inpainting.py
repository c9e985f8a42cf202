"""Inpainting models: UNets that are told, beside the noisy latents, where a picture is void and what is around that.

Nine input channels of Stable Diffusion's: latents, a mask that is 1 where something is to be painted, and the latents of the picture
with the void grey (Rombach et al. 2022, as released).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .autoencoder import encode
from .denoiser import Conditioning, InjectedDenoiser

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

GREY = 0.5  # of the void; 0 inside the network


def inpaints(denoiser: InjectedDenoiser) -> bool:
    """Whether a denoiser takes a mask and latents beside its own."""
    return denoiser.extra_channels == denoiser.latent_channels + 1


def around_void(vae: AutoencoderKL, images: Tensor, known: Tensor) -> Tensor:
    """[B, C, h, w] scaled latents of pictures [B, 3, S, S] with the void grey. Args: known: [B, 1, S, S], 1 where a picture is known."""
    return encode(vae, torch.where(known > 0.5, images, torch.full_like(images, GREY)))


def with_void(conditioning: Conditioning, known: Tensor, masked: Tensor | None) -> Conditioning:
    """A conditioning of B rows, told where views are void; as it is where the denoiser does not inpaint.

    Args:
        known: [B, 1, h, w], 1 on known cells. masked: [B, C, h, w] of `around_void`, None for a denoiser that does not inpaint.

    Raises:
        ValueError: neither one row nor as many.
    """
    if masked is None:
        return conditioning
    beside = torch.cat([1 - known.to(masked), masked], 1)
    return Conditioning(conditioning.repeated(len(beside)).tokens, beside)


def all_void(conditioning: Conditioning, vae: AutoencoderKL, size: int) -> Conditioning:
    """A conditioning of B rows for pictures [B, 3, size, size] of which nothing is known."""
    like = conditioning.tokens
    grey = like.new_full((1, 3, size, size), GREY)
    masked = encode(vae, grey).to(like).expand(len(conditioning), -1, -1, -1)
    return with_void(conditioning, torch.zeros_like(masked[:, :1]), masked)
