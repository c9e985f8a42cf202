"""Images <-> scaled latents with a stock diffusers AutoencoderKL, and Difix' skips from its encoder to its decoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

FIRST_SKIP = 1e-5  # Difix: what the skips' weights begin with


def factor(vae: AutoencoderKL) -> int:
    """Image pixels along one latent."""
    return 2 ** (len(vae.config["block_out_channels"]) - 1)


def encode(
    vae: AutoencoderKL, image: Tensor, generator: torch.Generator | None = None, *, sparing: bool = False
) -> Tensor:
    """Scaled latents of images [B, 3, H, W] in [0, 1]: the posterior's mode, or a sample of it where a generator is given.

    Args:
        sparing: the backward pass makes each block's graph again when it comes to it (Chen et al. 2016), which takes two thirds of the memory.

    Returns:
        [B, C, H / f, W / f] float32.

    Raises:
        ValueError: no images of whole latents.
    """
    return encode_with_skips(vae, image, generator, sparing=sparing)[0]


def decode(vae: AutoencoderKL, latents: Tensor) -> Tensor:
    """Images [B, 3, H, W] float32 in [0, 1] of scaled latents."""
    return decode_with_skips(vae, latents, ())


def encode_with_skips(
    vae: AutoencoderKL, image: Tensor, generator: torch.Generator | None = None, *, sparing: bool = False
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """As `encode`, and the encoder's activations before each down block, finest first."""
    check_images(image, factor(vae))

    def through(layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        return checkpoint(layer, x, use_reentrant=False, preserve_rng_state=False) if sparing else layer(x)

    encoder = vae.encoder
    skips = []
    x = encoder.conv_in((2 * image - 1).to(vae.device, vae.dtype))  # from [0, 1] to [-1, 1]
    for block in encoder.down_blocks:
        skips.append(x)
        x = through(block, x)
    x = encoder.conv_out(encoder.conv_act(encoder.conv_norm_out(through(encoder.mid_block, x))))
    moments = x if vae.quant_conv is None else vae.quant_conv(x)
    return draw(posterior_of(moments), generator) * vae.config["scaling_factor"], tuple(skips)


def posterior_of(moments: Tensor) -> DiagonalGaussianDistribution:
    """The Gaussian of an encoder's moments [B, 2 C, h, w], in float32."""
    from diffusers.models.autoencoders.vae import (
        DiagonalGaussianDistribution,  # here, so that the module loads without diffusers
    )

    return DiagonalGaussianDistribution(moments.float())


def draw(posterior: DiagonalGaussianDistribution, generator: torch.Generator | None) -> Tensor:
    """The posterior's mode [B, C, h, w], or a sample whose noise is drawn on the generator's device."""
    if generator is None:
        return posterior.mean
    return posterior.mean + posterior.std * torch.randn(posterior.mean.shape, generator=generator).to(
        posterior.mean
    )


def decode_with_skips(vae: AutoencoderKL, latents: Tensor, residuals: tuple[Tensor, ...]) -> Tensor:
    """As `decode`, with `residuals[i]` on top of the decoder's activations before up block i; () for none."""
    return ((decode_signed(vae, latents, residuals) + 1) / 2).clamp(0, 1)  # from [-1, 1] to [0, 1]


def decode_signed(vae: AutoencoderKL, latents: Tensor, residuals: tuple[Tensor, ...] = ()) -> Tensor:
    """As `decode_with_skips`, as the network gives it: about [-1, 1], not clamped, so that gradients pass everywhere."""
    decoder = vae.decoder
    z = latents.to(vae.device, vae.dtype) / vae.config["scaling_factor"]
    x = decoder.mid_block(decoder.conv_in(z if vae.post_quant_conv is None else vae.post_quant_conv(z)), None)
    for i, block in enumerate(decoder.up_blocks):
        x = block(x + residuals[i] if residuals else x, None)
    return decoder.conv_out(decoder.conv_act(decoder.conv_norm_out(x))).float()


class Skips(nn.Module):
    """Difix' 1x1 convolutions from the encoder's activations, deepest first, to what is added in the decoder.

    Keys as Difix': skip_conv_1 .. skip_conv_N, no biases.

    Args:
        channels: the autoencoder's block_out_channels. gamma: scales the activations.
    """

    def __init__(self, channels: tuple[int, ...], gamma: float = 1.0, operations=nn) -> None:
        super().__init__()
        self.gamma = gamma
        taps = [*channels[-2::-1], channels[0]]  # before each down block, deepest first
        widths = [channels[-1], *channels[:0:-1]]  # before each up block
        for i, (tap, width) in enumerate(zip(taps, widths, strict=True)):
            conv = operations.Conv2d(tap, width, 1, bias=False)
            nn.init.constant_(conv.weight, FIRST_SKIP)
            self.add_module(f"skip_conv_{i + 1}", conv)

    def forward(self, skips: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Activations [B, C_i, H / 2^i, W / 2^i] as of `encode_with_skips` -> what `decode_with_skips` adds.

        Returns:
            Deepest first, each [B, C, h, w] as its up block takes it.
        """
        return tuple(
            conv(skip * self.gamma) for conv, skip in zip(self.children(), reversed(skips), strict=True)
        )


def skips_for(vae: AutoencoderKL, gamma: float = 1.0) -> Skips:
    """New skips of an autoencoder, which hardly add anything yet."""
    return Skips(tuple(vae.config["block_out_channels"]), gamma)


def check_images(image: Tensor, multiple: int) -> None:
    """Raises ValueError unless these are images [B, 3, H, W] whose sides are multiples of `multiple`."""
    if (
        image.ndim != 4
        or image.shape[1] != 3
        or 0 in image.shape
        or image.shape[2] % multiple
        or image.shape[3] % multiple
    ):
        raise ValueError(
            f"autoencoder: expected images [B, 3, H, W] with sides that are multiples of {multiple}, got {list(image.shape)}; "
            "pad or resize them"
        )
