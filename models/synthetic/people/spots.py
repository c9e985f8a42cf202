"""Freckles, moles and spots of age."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .grain import Grain
from .nature import Nature
from .shape import smoothstep
from .streams import Draws


@dataclass(frozen=True, kw_only=True)
class Spots:
    """Of one person.

    Attributes:
        freckles, ages: strengths, 0 for none. flecks: the grain that both are cut out of.
        moles: [M, 3] places on the mean head (x, y and radius, centimetres).
    """

    freckles: float
    ages: float
    flecks: Grain
    moles: Tensor

    def darkness(self, rest: Tensor, mirrored: Tensor, grain: Tensor) -> Tensor:
        """[P] amount of brown at points.

        Args:
            rest, mirrored: [P, 3], the latter with x >= 0. grain: [P, 4] of the skin, to fray edges.
        """
        x, y, z = mirrored.unbind(-1)
        dark = torch.zeros(len(rest))
        if self.freckles > 0:
            face = torch.exp(-(((x - 2.6) / 3.6) ** 2 + ((y - 0.9) / 2.2) ** 2)) + 0.25 * smoothstep(
                z, 3.0, 8.0
            )
            dark = dark + self.freckles * face * smoothstep(self.flecks(rest, 0.3), 0.75, 1.7)
        if self.ages > 0:
            edge = torch.maximum(x / 7.0, (y - 4.0).clamp_min(0) / 9.0)
            dark = dark + self.ages * edge * smoothstep(self.flecks(rest + 7.7, 0.75), 1.1, 1.6)
        frayed = 0.02 * grain[:, 1]
        for place_x, place_y, radius in self.moles.tolist():
            away = torch.hypot(rest[:, 0] - place_x, rest[:, 1] - place_y) + frayed
            dark = dark + 1.1 * smoothstep(radius - away, -0.4 * radius, 0.5 * radius) * (z > 2)
        return dark


def draw_spots(who: Nature, draws: Draws) -> Spots:
    """Freckles on light skin, a few moles, spots on old skin."""
    freckled = draws.chance(0.35 if who.tone < 1.2 else 0.1 if who.tone < 3 else 0.0)
    count = int(draws.generator.integers(0, 7)) if who.child == 0 else int(draws.generator.integers(0, 3))
    places = draws.generator.uniform([-7, -9, 0.05], [7, 9, 0.13], (count, 3))
    return Spots(
        freckles=draws.uniform(0.15, 0.75) if freckled else 0.0,
        ages=draws.uniform(0.0, 0.6) * max(0.0, who.age - 0.5) * 2,
        flecks=Grain(draws),
        moles=torch.from_numpy(places).float().reshape(-1, 3),
    )
