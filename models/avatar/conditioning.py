"""What the cascade is told of a portrait: an autoencoder's latent and its encoder's features at several scales (RodinHD, eq. 7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..bounds import flags, integer_tuple, integers, shown
from ..diffusion.autoencoder import check_images, draw, factor, posterior_of
from ..photo.alignment import AlignedPortrait

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

LOBES = 3  # of the Lanczos kernel, as Pillow's


@dataclass(frozen=True)
class Conditions:
    """Attributes: latent: [B, C, h, w], not scaled. maps: features [B, C_i, H_i, W_i], finest first."""

    latent: Tensor
    maps: tuple[Tensor, ...] = ()

    def __post_init__(self) -> None:
        if self.latent.ndim != 4 or any(x.ndim != 4 or len(x) != len(self.latent) for x in self.maps):
            raise ValueError(
                "Conditions: expected a latent [B, C, h, w] and maps of as many rows, got "
                f"{list(self.latent.shape)} and {[list(x.shape) for x in self.maps]}; tell one row of each per portrait"
            )

    def __len__(self) -> int:
        return len(self.latent)

    def __getitem__(self, rows: slice | Tensor) -> Conditions:
        return Conditions(self.latent[rows], tuple(x[rows] for x in self.maps))

    def to(self, *args) -> Conditions:
        """As `Tensor.to`."""
        return Conditions(self.latent.to(*args), tuple(x.to(*args) for x in self.maps))

    def null(self) -> Conditions:
        """What stands for no portrait: ones everywhere, as the reference's networks learnt it."""
        return Conditions(torch.ones_like(self.latent), tuple(map(torch.ones_like, self.maps)))

    def beside(self, other: Conditions) -> Conditions:
        """The rows of both, one after the other."""
        return Conditions(
            torch.cat([self.latent, other.latent]),
            tuple(torch.cat(pair) for pair in zip(self.maps, other.maps, strict=True)),
        )

    def repeated(self, count: int) -> Conditions:
        """Each row `count` times in a row."""
        return Conditions(
            self.latent.repeat_interleave(count, 0), tuple(x.repeat_interleave(count, 0) for x in self.maps)
        )

    def dropped(self, generator: torch.Generator, chance: float = 0.2) -> Conditions:
        """Rows left out by chance, each whole: what classifier-free guidance is trained with (RodinHD, section 4.2).

        Raises:
            ValueError: no chance.
        """
        if not 0 <= chance <= 1:
            raise ValueError(f"Conditions.dropped: expected a chance from 0 to 1, got {chance}; take 0.2")
        empty = torch.rand(len(self), generator=generator, device=generator.device) < chance
        empty = empty.to(self.latent.device)[:, None, None, None]
        null = self.null()
        return Conditions(
            torch.where(empty, null.latent, self.latent),
            tuple(torch.where(empty, none, x) for none, x in zip(null.maps, self.maps, strict=True)),
        )


@dataclass(frozen=True, kw_only=True)
class PortraitConfig:
    """How a portrait becomes conditions.

    Attributes:
        size: pixels of the portrait that the encoder sees.
        blocks: of the encoder's down blocks, those whose outputs are told, finest first; each has its own downsampler behind it.
        quantised: whether the latent is read behind the autoencoder's last 1x1 convolution of the encoder, as diffusion models do, or
            before it, as RodinHD's weights want.
        uniform: whether noise of a latent that is drawn is uniform in 0 .. 1, as RodinHD's weights learnt it, instead of normal.
    """

    size: int = 256
    blocks: tuple[int, ...] = (0, 1, 2)
    quantised: bool = False
    uniform: bool = False

    def __post_init__(self) -> None:
        integers(self, size=(8, 1024))
        integer_tuple(self, "blocks", count=(0, 8), each=(0, 7))
        flags(self, "quantised", "uniform")


def portrait_conditions(
    vae: AutoencoderKL, image: Tensor, config: PortraitConfig, generator: torch.Generator | None = None
) -> Conditions:
    """Eq. 7: latent and features of portraits.

    Args:
        image: [B, 3, S, S] in [0, 1], S the config's, on white.
        generator: draws the latent from its posterior; None for the posterior's mean.

    Returns:
        Conditions in float32: latent [B, C, S / f, S / f], and a map for each of the config's blocks.

    Raises:
        ValueError: images of another size, or a block that the encoder lacks.
    """
    check_images(image, factor(vae))
    encoder, count = vae.encoder, len(vae.encoder.down_blocks)
    if tuple(image.shape[-2:]) != (config.size,) * 2 or any(i >= count for i in config.blocks):
        raise ValueError(
            f"portrait conditions: expected images [B, 3, {config.size}, {config.size}] and an encoder with blocks "
            f"{shown(config.blocks)}, got {list(image.shape)} and {count} blocks; resize the portrait or take the model's own autoencoder"
        )
    features = []
    x = encoder.conv_in((2 * image - 1).to(vae.device, vae.dtype))  # from [0, 1] to [-1, 1]
    for block in encoder.down_blocks:
        x = block(x)
        features.append(x)
    x = encoder.conv_out(encoder.conv_act(encoder.conv_norm_out(encoder.mid_block(x))))
    moments = vae.quant_conv(x) if config.quantised and vae.quant_conv is not None else x
    posterior = posterior_of(moments)
    if generator is not None and config.uniform:
        noise = torch.rand(posterior.mean.shape, generator=generator, device=generator.device)
        latent = posterior.mean + posterior.std * noise.to(posterior.mean)
    else:
        latent = draw(posterior, generator)
    return Conditions(latent, tuple(features[i].float() for i in config.blocks))


def portrait_image(portrait: AlignedPortrait, size: int) -> Tensor:
    """The person on white [1, 3, size, size] in [0, 1], as the encoder is to see them."""
    return lanczos(portrait.on_white()[None], size).clamp(0, 1)


def lanczos(image: Tensor, size: int) -> Tensor:
    """Images [B, C, H, W] at [B, C, size, size] by Pillow's Lanczos filter, antialiased; the weights' overshoot is not cut off.

    Raises:
        ValueError: no such images or size.
    """
    if image.ndim != 4 or 0 in image.shape or size < 1:
        raise ValueError(
            f"lanczos: expected images [B, C, H, W] and a positive size, got {list(image.shape)} and {size}; give it a batch"
        )
    rows, columns = (_lanczos_weights(side, size).to(image) for side in image.shape[-2:])
    return rows @ image @ columns.T


def _lanczos_weights(source: int, target: int) -> Tensor:
    """[target, source] float64, rows of sum 1: how much of each source pixel a target pixel is."""
    scale = source / target
    stretch = max(scale, 1.0)
    centre = (torch.arange(target, dtype=torch.float64) + 0.5) * scale
    x = (torch.arange(source, dtype=torch.float64) + 0.5 - centre[:, None]) / stretch
    weights = torch.sinc(x) * torch.sinc(x / LOBES) * (x.abs() < LOBES)
    return weights / weights.sum(1, keepdim=True)
