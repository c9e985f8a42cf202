"""The embedded diffusion model: a small latent diffusion of diffusers' own classes that ships with the pack and runs on a CPU.

Same classes, keys and call as Stable Diffusion's; only the numbers in the configs are smaller, and five learned prompts stand in CLIP's place.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from ..bounds import integer_tuple, integers, numbers
from ..checkpoint import shipped_network
from .denoiser import Conditioning, DiffusersDenoiser
from .schedule import stable_diffusion_schedule

if TYPE_CHECKING:
    from diffusers.models.autoencoders import autoencoder_kl
    from diffusers.models.unets import unet_2d_condition

PROMPTS = (
    "side",
    "front",
    "back",
    "overhead",
    "empty",
)  # threestudio's order of views; "empty" is what guidance leaves out
SIZE = 256  # pixels of the images that the embedded weights were trained on


@dataclass(frozen=True, kw_only=True)
class AutoencoderConfig:
    """An AutoencoderKL. Attributes: channels: per level, finest first. layers: ResNets per level. groups: of its norms.
    scaling_factor: makes latents of unit variance; known after training."""

    channels: tuple[int, ...] = (16, 32, 64, 96)
    layers: int = 1
    groups: int = 8
    latent_channels: int = 4
    scaling_factor: float = 1.0

    def __post_init__(self) -> None:
        integers(self, layers=(1, 4), groups=(1, 256), latent_channels=(1, 64))
        integer_tuple(self, "channels", count=(1, 6), each=(1, 4096))
        numbers(self, scaling_factor=(1e-6, 1e6))
        if any(width % self.groups for width in self.channels):
            raise ValueError(
                f"AutoencoderConfig: expected channels that are multiples of groups {self.groups}, got {self.channels}"
            )


@dataclass(frozen=True, kw_only=True)
class UNetConfig:
    """A UNet2DConditionModel and its prompts. Attributes: channels: per level. heads: of attention, per level. layers: ResNets per level.
    groups: of its norms. in_channels: more than the latents' where others go beside them. context: width of a prompt's tokens.
    tokens: of a prompt."""

    channels: tuple[int, ...] = (40, 64, 88)
    heads: tuple[int, ...] = (1, 4, 4)
    layers: int = 1
    groups: int = 8
    in_channels: int = 4
    latent_channels: int = 4
    context: int = 48
    tokens: int = 4

    def __post_init__(self) -> None:
        integers(
            self,
            layers=(1, 4),
            groups=(1, 256),
            in_channels=(1, 256),
            latent_channels=(1, 64),
            context=(1, 8192),
            tokens=(1, 4096),
        )
        integer_tuple(self, "channels", count=(2, 6), each=(1, 4096))
        integer_tuple(self, "heads", count=(1, 6), each=(1, 256))
        if len(self.channels) != len(self.heads) or any(
            c % self.groups or c % h for c, h in zip(self.channels, self.heads, strict=False)
        ):
            raise ValueError(
                f"UNetConfig: expected as many channels as heads, multiples of groups {self.groups} and heads, got {self.channels} and {self.heads}"
            )


class Library(NamedTuple):
    """Classes of the package diffusers, by its names."""

    AutoencoderKL: type[autoencoder_kl.AutoencoderKL]
    UNet2DConditionModel: type[unet_2d_condition.UNet2DConditionModel]


def library() -> Library:
    """What is used of the package diffusers, imported when first used: it takes seconds.

    Raises:
        ImportError: it is not installed.
    """
    try:
        from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
        from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    except ImportError as error:
        raise ImportError(
            "diffusion models need the package diffusers; install it with pip install diffusers"
        ) from error
    return Library(AutoencoderKL, UNet2DConditionModel)


def autoencoder(config: AutoencoderConfig) -> autoencoder_kl.AutoencoderKL:
    """A stock AutoencoderKL with random weights."""
    levels = len(config.channels)
    return library().AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * levels,  # pyright: ignore[reportArgumentType] stub
        up_block_types=("UpDecoderBlock2D",) * levels,  # pyright: ignore[reportArgumentType] stub
        block_out_channels=config.channels,  # pyright: ignore[reportArgumentType] stub
        layers_per_block=config.layers,
        latent_channels=config.latent_channels,
        norm_num_groups=config.groups,
        sample_size=SIZE,
        scaling_factor=config.scaling_factor,
    )


def unet(config: UNetConfig) -> unet_2d_condition.UNet2DConditionModel:
    """A stock UNet2DConditionModel with random weights.

    Attention on the levels between, in the middle, and on the finest one only on the way up, where what is seen there is used: the
    finest level's attention is most of the cost of a small UNet.
    """
    between = len(config.channels) - 2
    return library().UNet2DConditionModel(
        sample_size=SIZE // 8,
        in_channels=config.in_channels,
        out_channels=config.latent_channels,
        block_out_channels=config.channels,
        layers_per_block=config.layers,
        norm_num_groups=config.groups,
        cross_attention_dim=config.context,
        attention_head_dim=config.heads,  # pyright: ignore[reportArgumentType] stub
        use_linear_projection=True,
        down_block_types=("DownBlock2D",) + ("CrossAttnDownBlock2D",) * between + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * (between + 1),
    )


class ViewPrompts(nn.Module):
    """A learned token sequence per view, in CLIP's place. Its one weight, `tokens`, is [5, L, D] in the order of PROMPTS."""

    def __init__(self, config: UNetConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.tokens = nn.Parameter(
            torch.randn(len(PROMPTS), config.tokens, config.context, generator=generator)
        )

    def forward(self, index: Tensor) -> Conditioning:
        """index [B] into PROMPTS -> one row each."""
        return Conditioning(self.tokens[index])

    def named(self, *names: str) -> Conditioning:
        """One row for each name.

        Raises:
            ValueError: a name that is none of PROMPTS.
        """
        unknown = [name for name in names if name not in PROMPTS]
        if unknown:
            raise ValueError(f"view prompts: expected some of {', '.join(PROMPTS)}, got {unknown[0]}")
        return self(torch.tensor([PROMPTS.index(name) for name in names], device=self.tokens.device))


def prompt_index(
    yaw: Tensor,
    pitch: Tensor,
    *,
    front: float = math.radians(45),
    back: float = math.radians(45),
    overhead: float = math.radians(60),
) -> Tensor:
    """Which of PROMPTS a camera gets (threestudio): within `front` of the front, within `back` of the back, above `overhead`, else side.

    Args:
        yaw, pitch: [...] radians; yaw may be beyond half a turn.

    Returns:
        int64 [...].
    """
    azimuth = (yaw + math.pi) % (2 * math.pi) - math.pi
    index = torch.zeros_like(azimuth, dtype=torch.int64)
    index = torch.where(azimuth.abs() < front, PROMPTS.index("front"), index)
    index = torch.where(azimuth.abs() > math.pi - back, PROMPTS.index("back"), index)
    return torch.where(pitch > overhead, PROMPTS.index("overhead"), index)


class EmbeddedUNet(nn.Module):
    """UNet and prompts under one state dict, as the weights file holds them."""

    def __init__(self, config: UNetConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        self.unet = unet(config)
        self.prompts = ViewPrompts(config, generator)

    def denoiser(self) -> DiffusersDenoiser:
        """Behind the contract."""
        return DiffusersDenoiser(self.unet, stable_diffusion_schedule())


def shipped_autoencoder(path: Path | None = None) -> autoencoder_kl.AutoencoderKL:
    """The autoencoder that comes with the pack, or one of its kind, frozen, on the CPU.

    Raises:
        ValueError: as `checkpoint.shipped_network`.
    """
    return shipped_network("autoencoder", AutoencoderConfig, autoencoder, path)


def shipped_unet(path: Path | None = None) -> EmbeddedUNet:
    """The UNet and prompts that come with the pack, or some of their kind, frozen, on the CPU.

    Raises:
        ValueError: as `checkpoint.shipped_network`.
    """
    return shipped_network("diffusion", UNetConfig, EmbeddedUNet, path)
