"""What lies between the strands: roots and stubble that darken the skin, so that no patch of it shines through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..parts import Paint
from ..shape import smoothstep
from .beard import Beard
from .brows import Brows
from .roots import Hairline


@dataclass(frozen=True, kw_only=True)
class Undercoat:
    """A `Surface.paint`: skin, darkened where hair grows.

    Attributes:
        skin: the paint below. hairline, brows, beard: where hair grows; None where none does.
        scalp_cover, beard_cover: how much of the skin roots hide, 0 to 1.
        shade, brow_shade, beard_shade: [3] linear colours.
    """

    skin: Callable[[Tensor], Paint]
    hairline: Hairline | None
    brows: Brows
    beard: Beard | None
    scalp_cover: float
    beard_cover: float
    shade: Tensor
    brow_shade: Tensor
    beard_shade: Tensor

    def __call__(self, rest: Tensor) -> Paint:
        """The paint of points [P, 3]."""
        paint = self.skin(rest)
        albedo = paint.albedo
        covers = [(0.42 * self.brows.cover(rest), self.brow_shade)]
        if self.hairline is not None:
            covers.append((self.scalp_cover * self.hairline(rest), self.shade))
        if self.beard is not None:
            covers.append((self.beard_cover * smoothstep(self.beard.cover(rest), 0.1, 0.9), self.beard_shade))
        total = torch.zeros(len(rest))
        for cover, shade in covers:
            albedo = torch.lerp(albedo, shade.expand_as(albedo), cover[:, None])
            total = torch.maximum(total, cover)
        rough = torch.lerp(paint.roughness, torch.full_like(paint.roughness, 0.7), total)
        return replace(
            paint,
            albedo=albedo,
            roughness=rough,
            specular=paint.specular * (1 - 0.5 * total),
            scatter=paint.scatter * (1 - 0.6 * total[:, None]),
        )
