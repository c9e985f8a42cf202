"""Brows: strands upright at the nose, lying outward, drawn together at the ends."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..parts import Body, Hair
from ..shape import smoothstep
from ..streams import Draws
from .on_skin import kept, lying, on_skin
from .roots import scatter
from .skull import Skull

BROW_LINE = (
    (1.2, 5.35),
    (2.2, 5.95),
    (3.6, 6.3),
    (4.9, 6.1),
    (6.0, 5.35),
)  # cm aside and up: a brow's middle, of the mean face
BROW_HALF = (0.42, 0.5, 0.44, 0.32, 0.12)  # cm: half its height there


@dataclass(frozen=True, kw_only=True)
class Brows:
    """Of one person. Attributes: height: factor on a brow's. rise: cm. arch: cm at the outer third. density: 0 to 1.2."""

    height: float
    rise: float
    arch: float
    density: float

    def cover(self, rest: Tensor) -> Tensor:
        """[P] in [0, 1]: how much hair there is, at rest coordinates [P, 3]."""
        aside = rest[:, 0].abs()
        middle, half = _along(aside, BROW_LINE), _along(aside, tuple(zip(_columns(), BROW_HALF, strict=True)))
        middle = middle + self.rise + self.arch * torch.exp(-(((aside - 4.4) / 1.1) ** 2))
        away = (rest[:, 1] - middle).abs() / (half * self.height)
        ends = smoothstep(aside, 0.9, 1.5) * smoothstep(6.2 - aside, 0.0, 0.7)
        return (
            (1 - smoothstep(away, 0.55, 1.1))
            * ends
            * smoothstep(rest[:, 2], 4.0, 6.0)
            * min(1.0, self.density)
        )


def draw_brows(body: Body, draws: Draws) -> Brows:
    """Fuller and lower for men."""
    grown = 1 - 0.35 * body.child
    return Brows(
        height=draws.uniform(0.78, 1.18) * (1.12 if body.male else 0.85) * grown,
        rise=draws.normal(-0.05 if body.male else 0.08, 0.12),
        arch=draws.normal(0.0 if body.male else 0.14, 0.1),
        density=draws.uniform(0.65, 1.1) * (1.1 if body.male else 0.9),
    )


def brow_hairs(skull: Skull, body: Body, brows: Brows, shade: Tensor, draws: Draws) -> Hair:
    """Strands of both brows: upright at the nose, lying outward, drawn together at the ends."""
    roots = kept(scatter(body, skull, _near_brows(body.rest), 4600, draws), brows.cover)
    side = roots.rest[:, 0].sign()
    aside = roots.rest[:, 0].abs()
    outward = smoothstep(aside, 1.0, 2.6)
    above = roots.rest[:, 1] - _along(aside, BROW_LINE) - brows.rise
    turn = (
        1.1
        - 1.15 * outward
        - 0.5 * smoothstep(aside, 4.0, 5.8)
        - 1.3 * above * outward
        + 0.5 * (roots.other - 0.5)
    )
    away = torch.stack([side * turn.cos(), turn.sin(), -0.25 * outward], 1)
    length = (0.5 + 0.35 * roots.chance) * (0.7 + 0.3 * brows.height)
    strands = lying(roots, away, length * body.scale, 0.16, 4)
    return on_skin(strands, roots, shade, 0.24, 0.04 * body.scale, draws, "brows")


def _columns() -> tuple[float, ...]:
    return tuple(point[0] for point in BROW_LINE)


def _along(x: Tensor, line: tuple[tuple[float, float], ...]) -> Tensor:
    """[P] height of a polyline at x [P]."""
    at, height = x.new_tensor(line).T.contiguous()
    after = torch.searchsorted(at, x.contiguous()).clamp(1, len(line) - 1)
    share = ((x - at[after - 1]) / (at[after] - at[after - 1])).clamp(0, 1)
    return torch.lerp(height[after - 1], height[after], share)


def _near_brows(rest: Tensor) -> Tensor:
    x, y, z = rest.unbind(-1)
    return ((x.abs() > 0.6) & (x.abs() < 6.8) & (y > 4.3) & (y < 7.6) & (z > 4.0)).float()
