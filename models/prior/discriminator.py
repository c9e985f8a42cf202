"""The prior's critic: is this picture a photo of a head from this camera, and does its raw render agree with it?

EG3D (Chan et al. 2022), section 4.3: dual discrimination (the final picture and the raw render enlarged to its size, six channels) and
the camera as a condition; otherwise a small residual discriminator of StyleGAN2 (Karras et al. 2020).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..bounds import integer_tuple, integers
from ..checkpoint import shipped_network
from ..equalised import FullyConnected, normalize


@dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig:
    """Size of a discriminator.

    Attributes:
        resolution: of the final picture. raw_resolution: of the raw render.
        c_dim: length of the camera label. widths: channels at the resolution, half of it, ... down to 4 pixels times its last.
        embedding: length of the camera's projection.
    """

    resolution: int = 256
    raw_resolution: int = 128
    c_dim: int = 25
    widths: tuple[int, ...] = (16, 24, 48, 96, 128, 128)
    embedding: int = 64

    def __post_init__(self) -> None:
        integers(self, resolution=(1, 4096), raw_resolution=(1, 4096), c_dim=(1, 1024), embedding=(1, 8192))
        integer_tuple(self, "widths", count=(1, 12), each=(1, 4096))
        if self.resolution % 2 ** (len(self.widths) - 1):
            raise ValueError(
                f"DiscriminatorConfig: {self.resolution} pixels do not halve {len(self.widths) - 1} times; give fewer widths"
            )


class EqualisedConv(nn.Module):
    """Convolution with equalised learning rate, without or with a leaky ReLU and its gain."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, activate: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.gain, self.activate = (inputs * kernel**2) ** -0.5, activate

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H, W]."""
        y = F.conv2d(
            x, self.weight.to(x.dtype) * self.gain, self.bias.to(x.dtype), padding=self.weight.shape[-1] // 2
        )
        return F.leaky_relu(y, 0.2) * math.sqrt(2) if self.activate else y


class Discriminator(nn.Module):
    """Picture, raw render and camera label -> logit."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        self.from_rgb = EqualisedConv(6, widths[0], 1)
        pairs = list(zip(widths, widths[1:], strict=False))
        self.convs = nn.ModuleList(EqualisedConv(a, b, 3) for a, b in pairs)
        self.skips = nn.ModuleList(EqualisedConv(a, b, 1, activate=False) for a, b in pairs)
        self.last = EqualisedConv(widths[-1] + 1, widths[-1], 3)
        self.label = FullyConnected(config.c_dim, config.embedding)
        self.label_out = FullyConnected(config.embedding, config.embedding)
        self.out = FullyConnected(widths[-1] * 16, config.embedding)

    def features(self, image: Tensor, raw: Tensor) -> list[Tensor]:
        """Activations after each halving, finest first; shapes as `forward`, or pieces of such pictures that halve as often.

        Returns:
            [B, widths[i + 1], S / 2^(i + 1), S / 2^(i + 1)] each.

        Raises:
            ValueError: other channels than three, or a side that does not halve so often.
        """
        size, least = image.shape[-1], 2 ** len(self.convs)
        if size % least or image.shape[1] != 3 or raw.shape[1] != 3:
            raise ValueError(
                f"discriminator: expected pictures [B, 3, S, S] with S a multiple of {least} and raw renders [B, 3, r, r], "
                f"got {list(image.shape)} and {list(raw.shape)}; resize them"
            )
        raw_at_size = F.interpolate(raw, size=(size, size), mode="bilinear", align_corners=False)
        x = self.from_rgb(torch.cat([image, raw_at_size], 1))
        levels = []
        for conv, skip in zip(self.convs, self.skips, strict=True):
            x = (F.avg_pool2d(conv(x), 2) + skip(F.avg_pool2d(x, 2))) * 0.5**0.5
            levels.append(x)
        return levels

    def forward(self, image: Tensor, raw: Tensor, label: Tensor) -> Tensor:
        """Logits [B]; larger is more real.

        Args:
            image: [B, 3, S, S]. raw: [B, 3, r, r], both in [-1, 1]. label: [B, 25], cam2world and intrinsics, row-major.

        Raises:
            ValueError: as `features`; or pictures of another size than the config's.
        """
        if image.shape[-1] != self.config.resolution:
            raise ValueError(
                f"discriminator: expected pictures of {self.config.resolution} pixels, got {image.shape[-1]}; resize them"
            )
        x = self.features(image, raw)[-1]
        x = F.adaptive_avg_pool2d(x, 4)
        spread = x.var(0, correction=0).clamp(min=1e-8).sqrt().mean() if x.shape[0] > 1 else x.new_zeros(())
        x = self.last(torch.cat([x, spread.expand(x.shape[0], 1, 4, 4)], 1))
        condition = normalize(self.label_out(F.leaky_relu(self.label(label), 0.2)))
        return (self.out(x.flatten(1)) * condition).mean(1) * self.config.embedding**0.5


def shipped_critic() -> Discriminator:
    """The discriminator that comes with the pack, frozen, on the CPU."""
    return shipped_network("discriminator", DiscriminatorConfig, Discriminator)
