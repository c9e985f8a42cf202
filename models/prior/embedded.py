"""The embedded head prior: identity code -> tri-grid, small enough to ship and to run on a CPU.

A style-modulated convolutional generator in the manner of StyleGAN2 (Karras et al. 2020) that writes the feature planes of
EG3D (Chan et al. 2022) with the axes and the depth of PanoHead's tri-grids (An et al. 2023), learnt from the factory's heads.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..field.triplane import Decoder, FieldConfig


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """Size of a generator.

    Attributes:
        z_dim: length of an identity code. w_dim: of a style.
        channels: feature channels at 4, 8, 16, ... pixels; the last is the planes' resolution.
        field: what the planes are.
    """

    z_dim: int = 32
    w_dim: int = 128
    channels: tuple[int, ...] = (128, 128, 96, 64, 48, 32)
    field: FieldConfig = field(default_factory=FieldConfig)

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        if 4 * 2 ** (len(self.channels) - 1) != self.field.resolution:
            raise ValueError(
                f"GeneratorConfig: {len(self.channels)} channel counts reach {4 * 2 ** (len(self.channels) - 1)} pixels, "
                f"but the planes have {self.field.resolution}; give one count per doubling from 4"
            )

    @property
    def num_ws(self) -> int:
        """Styles that the synthesis takes: two per resolution (one at 4 pixels) and one for the planes."""
        return 2 * len(self.channels)


class ModulatedConv(nn.Module):
    """Convolution whose input channels are scaled by a style, outputs renormalised (StyleGAN2, equations 1 and 3)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, w_dim: int, *, demodulate: bool = True, operations=torch.nn) -> None:
        super().__init__()
        self.style = operations.Linear(w_dim, inputs)
        nn.init.normal_(self.style.weight, std=w_dim**-0.5)
        nn.init.ones_(self.style.bias)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel) * (inputs * kernel**2) ** -0.5)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.demodulate = demodulate

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """x [B, inputs, H, W], w [B, w_dim] -> [B, outputs, H, W]."""
        style = self.style(w)
        y = F.conv2d(x * style[:, :, None, None], self.weight, padding=self.weight.shape[-1] // 2)
        if self.demodulate:
            energy = style.square() @ self.weight.square().sum((2, 3)).mT  # [B, outputs]
            y = y * torch.rsqrt(energy + 1e-8)[:, :, None, None]
        return y + self.bias[:, None, None]


class EmbeddedGenerator(nn.Module):
    """Identity code -> styles -> tri-grid, and the decoder that reads it."""

    def __init__(self, config: GeneratorConfig, *, operations=torch.nn) -> None:
        super().__init__()
        self.config = config
        self.map_in = operations.Linear(config.z_dim, config.w_dim)
        self.map_out = operations.Linear(config.w_dim, config.w_dim)
        self.const = nn.Parameter(torch.randn(config.channels[0], 4, 4))
        convs = []
        for i, c in enumerate(config.channels):
            before = config.channels[max(i - 1, 0)]
            pair = [] if i == 0 else [(before, c)]
            convs += [ModulatedConv(a, b, 3, config.w_dim, operations=operations) for a, b in [*pair, (c, c)]]
        self.convs = nn.ModuleList(convs)
        outputs = 3 * config.field.channels * max(config.field.depth, 1)
        self.to_planes = ModulatedConv(config.channels[-1], outputs, 1, config.w_dim, demodulate=False, operations=operations)
        self.decoder = Decoder(config.field, operations=operations)
        # Heads share one frame, so what most have in one place (eyes, lips, hairline) is learnt there, not through 4 x 4 pixels:
        places = [(c, 4 * 2**i) for i, c in enumerate(config.channels)][-2:]
        self.places = nn.ParameterList(nn.Parameter(torch.zeros(c, size, size)) for c, size in places)
        self.mean_planes = nn.Parameter(torch.zeros(outputs, config.field.resolution, config.field.resolution))
        self.register_buffer("w_mean", torch.zeros(config.w_dim))

    def mapping(self, z: Tensor) -> Tensor:
        """Identity codes z [B, z_dim] (about -1 .. 1 each) -> latents [B, num_ws, w_dim], the same style in every row."""
        w = self.map_out(F.leaky_relu(self.map_in(z), 0.2))
        return w[:, None].expand(-1, self.config.num_ws, -1)

    def synthesis(self, latents: Tensor) -> Tensor:
        """Latents [B, num_ws, w_dim] -> planes [B, 3, C, (D,) H, W]."""
        if latents.shape[1:] != (self.config.num_ws, self.config.w_dim):
            raise ValueError(f"synthesis: expected latents [B, {self.config.num_ws}, {self.config.w_dim}], got {list(latents.shape)}")
        x = self.const.expand(latents.shape[0], -1, -1, -1)
        first_place = len(self.config.channels) - len(self.places)
        for i, (conv, w) in enumerate(zip(self.convs, latents.unbind(1), strict=False)):
            if i % 2 == 1:  # the first of each pair
                x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = F.leaky_relu(conv(x, w), 0.2) * 2**0.5
            if i % 2 == 1 and (level := (i + 1) // 2 - first_place) >= 0:
                x = x + self.places[level]
        planes = self.to_planes(x, latents[:, -1]) + self.mean_planes
        return planes.unflatten(1, self.config.field.planes_shape[:-2])

    def forward(self, z: Tensor) -> Tensor:
        """Identity codes [B, z_dim] -> planes [B, 3, C, (D,) H, W]."""
        return self.synthesis(self.mapping(z))
