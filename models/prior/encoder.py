"""Photo -> identity code and pose: the feed-forward start of an inversion."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..bounds import integer_tuple, integers
from ..checkpoint import shipped_network
from ..synthetic.codes import lift
from .contract import HeadGenerator


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """Size of an encoder.

    Attributes:
        size: pixels of the square input. z_dim: length of the identity code. channels: per halving. hidden: width before the code.
    """

    size: int = 128
    z_dim: int = 71
    channels: tuple[int, ...] = (24, 48, 80, 112, 144)
    hidden: int = 224

    def __post_init__(self) -> None:
        integers(self, size=(1, 1024), z_dim=(2, 8192), hidden=(1, 8192))
        integer_tuple(self, "channels", count=(1, 8), each=(1, 4096))
        if any(width % 8 for width in self.channels):
            raise ValueError(
                f"EncoderConfig: expected channels in eights, got {self.channels}; round them up"
            )
        if self.size % 2 ** len(self.channels):
            raise ValueError(
                f"EncoderConfig: size {self.size} does not halve {len(self.channels)} times; choose a multiple"
            )


class PortraitEncoder(nn.Module):
    """An aligned portrait on white -> identity code of the embedded prior, and the camera's yaw and pitch."""

    def __init__(self, config: EncoderConfig, *, operations=torch.nn) -> None:
        super().__init__()
        self.config = config
        widths = (3, *config.channels)
        self.convs = nn.ModuleList(
            operations.Conv2d(a, b, 3, stride=2, padding=1) for a, b in zip(widths, widths[1:], strict=False)
        )
        self.more = nn.ModuleList(operations.Conv2d(b, b, 3, padding=1) for b in widths[1:])
        self.norms = nn.ModuleList(operations.GroupNorm(8, b) for b in widths[1:])
        side = config.size // 2 ** len(config.channels)
        self.hidden = operations.Linear(widths[-1] * side**2, config.hidden)
        self.out = operations.Linear(config.hidden, config.z_dim - 1 + 2)

    def amounts(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """image [B, 3, S, S] sRGB in [0, 1], any S -> the code without its last coordinate [B, z_dim - 1], (yaw, pitch) [B, 2]."""
        if image.shape[-1] != self.config.size:
            image = F.interpolate(
                image, size=(self.config.size, self.config.size), mode="bilinear", antialias=True
            )
        x = image * 2 - 1  # from [0, 1] to [-1, 1]
        for down, more, norm in zip(self.convs, self.more, self.norms, strict=True):
            x = F.silu(norm(down(x)))
            x = x + F.silu(more(x))
        code, pose = self.out(F.silu(self.hidden(x.flatten(1)))).split([self.config.z_dim - 1, 2], dim=-1)
        return code, pose

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """image [B, 3, S, S] sRGB in [0, 1], any S -> identity code [B, z_dim] of mean square 1, (yaw, pitch) [B, 2] radians."""
        amounts, pose = self.amounts(image)
        return lift(amounts), pose


def shipped_encoder() -> PortraitEncoder:
    """The encoder that comes with the pack, frozen, on the CPU."""
    return shipped_network("encoder", EncoderConfig, PortraitEncoder)


def encodes(encoder: PortraitEncoder, generator: HeadGenerator) -> bool:
    """Whether an encoder's codes can be a generator's: of one length, and imagined from nowhere in particular."""
    return encoder.config.z_dim == generator.config.z_dim and not generator.config.c_dim
