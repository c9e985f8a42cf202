"""Paint of hard things: metal, horn, stones, lenses."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..parts import Paint


@dataclass(frozen=True, kw_only=True)
class Metal:
    """Paint of a hard, shining thing. Attributes: colour: [3] linear, second: [3] in spots; rough; shine: specular factor."""

    colour: Tensor
    rough: float = 0.22
    shine: float = 1.6
    second: Tensor | None = None

    def __call__(self, rest: Tensor) -> Paint:
        """What rest points [P, 3] look like."""
        size = len(rest)
        albedo = self.colour.expand(size, 3)
        if self.second is not None:  # tortoise shell
            x, y, z = rest.unbind(-1)
            spots = torch.sin(3.1 * x + 2 * torch.sin(2.3 * y + z)) * torch.sin(2.7 * y + 1.9 * z + x)
            albedo = torch.lerp(albedo, self.second.expand(size, 3), torch.sigmoid(6 * spots)[:, None])
        return Paint(
            albedo=albedo,
            roughness=rest.new_full((size,), self.rough),
            specular=rest.new_full((size,), self.shine),
            scatter=rest.new_zeros(size, 3),
            bump=rest.new_zeros(size, 3),
            opacity=rest.new_ones(size),
        )


@dataclass(frozen=True, kw_only=True)
class Glass:
    """Paint of lenses. Attributes: tint: [3] linear; dark: opacity at the upper and the lower edge (1.5 cm about `middle`, cm)."""

    tint: Tensor
    dark: tuple[float, float]
    middle: float

    def __call__(self, rest: Tensor) -> Paint:
        """What rest points [P, 3] look like."""
        size = len(rest)
        share = ((self.middle + 1.5 - rest[:, 1]) / 3.0).clamp(0, 1)
        return Paint(
            albedo=self.tint.expand(size, 3),
            roughness=rest.new_full((size,), 0.1),
            specular=rest.new_full((size,), 0.25),
            scatter=rest.new_zeros(size, 3),
            bump=rest.new_zeros(size, 3),
            opacity=self.dark[0] + share * (self.dark[1] - self.dark[0]),
        )
