"""Cloth: colours, patterns, weaves and folds, painted in rest coordinates (centimetres)."""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...noise import noise
from ..parts import Paint
from ..streams import Draws
from .patterns import PATTERNS, head_plane, pattern_plane
from .weaves import WEAVES

Field = Callable[[Tensor], Tensor]  # [P, 3] centimetres -> [P]
COLOURS = {  # sRGB of clothes as shops sell them, and how often
    (0.93, 0.93, 0.91): 1.5,
    (0.10, 0.10, 0.11): 1.7,
    (0.24, 0.25, 0.27): 1.1,
    (0.58, 0.58, 0.58): 1.0,
    (0.11, 0.15, 0.27): 1.7,
    (0.22, 0.33, 0.52): 1.0,
    (0.55, 0.68, 0.80): 0.8,
    (0.77, 0.70, 0.58): 0.8,
    (0.52, 0.41, 0.30): 0.5,
    (0.34, 0.36, 0.22): 0.7,
    (0.20, 0.35, 0.27): 0.5,
    (0.42, 0.12, 0.16): 0.7,
    (0.73, 0.16, 0.16): 0.6,
    (0.86, 0.62, 0.64): 0.5,
    (0.78, 0.58, 0.20): 0.4,
    (0.20, 0.48, 0.50): 0.5,
    (0.46, 0.36, 0.54): 0.3,
    (0.90, 0.48, 0.26): 0.25,
}


@dataclass(frozen=True, kw_only=True)
class Fabric:
    """One cloth.

    Attributes:
        colours: three, linear RGB. pattern: a name in `PATTERNS`; size: its repeat in centimetres.
        weave: "plain", "knit", "rib", "twill", "fleece", "satin" or "leather". folds: slope of the folds, 0 = none.
        seed: of its noise. wound: whether patterns run round the head instead of across the chest.
    """

    colours: tuple[Tensor, Tensor, Tensor]
    pattern: str = "plain"
    size: float = 2.0
    weave: str = "plain"
    folds: float = 0.25
    seed: int = 0
    wound: bool = False

    def paint(self, rest: Tensor) -> Paint:
        """What rest points [P, 3] look like."""
        first, second, third = (colour.to(rest) for colour in self.colours)
        plane = head_plane(rest) if self.wound else pattern_plane(rest)
        one, two = PATTERNS[self.pattern](plane, self.size, self.seed)
        if self.pattern == "motif":
            one = one * (rest[:, 2] > 0)
        albedo = torch.lerp(first.expand(len(rest), 3), second, one[:, None])
        albedo = torch.lerp(albedo, third, two[:, None])
        tone, fibre = self._tone(rest)
        albedo = (albedo * torch.exp(tone[:, None] + fibre[:, None])).clamp(0.004, 0.9)
        rough, shine, wrap = SURFACES[self.weave]
        size = len(rest)
        return Paint(
            albedo=albedo,
            roughness=rest.new_full((size,), rough),
            specular=rest.new_full((size,), shine),
            scatter=rest.new_full((size, 3), wrap),
            bump=self.bump(rest),
            opacity=rest.new_ones(size),
        )

    def _tone(self, rest: Tensor) -> tuple[Tensor, Tensor]:
        """Log-brightness [P] that varies slowly, and from thread to thread."""
        slow = 0.05 * noise(tuple((rest * 0.25).unbind(-1)), self.seed)
        strength = {"knit": 0.12, "twill": 0.1, "fleece": 0.1}.get(self.weave, 0.05)
        return slow, strength * noise(tuple((rest * 5.0).unbind(-1)), self.seed + 1) + WEAVES[self.weave](
            rest, 1
        )

    def bump(self, rest: Tensor) -> Tensor:
        """[P, 3] gradient of folds and weave."""
        total = gradient(lambda p: WEAVES[self.weave](p, 0), rest, 0.03)
        if self.folds > 0:
            total = total + self.folds * gradient(self._fold_height, rest, 0.12)
        return total

    def _fold_height(self, rest: Tensor) -> Tensor:
        """[P] centimetres: folds that hang, bent by a slow noise, and creases between them."""
        x, y, z = rest.unbind(-1)
        bend = 1.6 * noise((0.16 * x, 0.16 * y, 0.16 * z), self.seed + 2)
        pull = 0.35 * (x.abs() - 6.0)  # they run down and towards the arms
        long = noise((0.45 * x + bend, 0.13 * (y + pull), 0.45 * z + bend), self.seed + 3)
        crease = 1 - noise((0.3 * x + bend, 0.4 * (y + pull), 0.3 * z), self.seed + 4).abs()
        return 0.8 * long + 0.55 * crease.square()


def gradient(height: Field, rest: Tensor, step: float) -> Tensor:
    """[P, 3] of a height in centimetres, by forward differences of `step` centimetres."""
    moves = torch.eye(3, dtype=rest.dtype, device=rest.device) * step
    probes = torch.cat([rest, *(rest + move for move in moves)])
    middle, *ahead = height(probes).chunk(4)
    return (torch.stack(ahead, -1) - middle[:, None]) / step


SURFACES = {  # roughness, specular, wrap
    "plain": (0.85, 0.3, 0.06),
    "satin": (0.42, 0.8, 0.05),
    "knit": (0.95, 0.2, 0.14),
    "rib": (0.92, 0.25, 0.1),
    "twill": (0.85, 0.3, 0.05),
    "fleece": (0.98, 0.15, 0.18),
    "leather": (0.38, 1.0, 0.0),
}


def draw_colour(draws: Draws) -> Tensor:
    """[3] linear RGB of some cloth, near one in `COLOURS`."""
    number = draws.choice({str(k): weight for k, weight in enumerate(COLOURS.values())})
    hue, light, saturation = colorsys.rgb_to_hls(*list(COLOURS)[int(number)])
    light = min(0.95, max(0.04, light * draws.uniform(0.85, 1.12)))
    shade = colorsys.hls_to_rgb(hue + draws.normal(0, 0.015), light, saturation * draws.uniform(0.75, 1.15))
    return torch.tensor(shade, dtype=torch.float32).clamp(0, 1) ** 2.2
