"""Lines that age and expression draw into a face: creases as dark, bent skin."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .nature import Nature
from .shape import smoothstep
from .streams import Draws

CREASES = {  # (x, y) of the mean head's right half, mirrored, centimetres: places, width, depth
    "nose to mouth": (((1.95, -0.3), (2.55, -1.5), (3.1, -2.7), (3.35, -3.9)), 0.30, 1.0),
    "mouth to chin": (((2.85, -4.0), (3.15, -5.0), (3.1, -5.9)), 0.26, 0.6),
    "under the eye": (((2.2, 2.55), (2.9, 1.75), (3.9, 1.6), (4.7, 2.0)), 0.28, 0.8),
    "lid": (((2.1, 4.0), (2.8, 4.62), (3.7, 4.62), (4.5, 3.95)), 0.13, 0.5),
    "crow's foot, up": (((4.95, 3.7), (5.8, 4.1)), 0.12, 0.5),
    "crow's foot, out": (((5.0, 3.3), (6.0, 3.1)), 0.12, 0.5),
    "crow's foot, down": (((4.9, 2.8), (5.7, 2.2)), 0.12, 0.45),
    "frown": (((0.55, 4.6), (0.7, 5.9)), 0.16, 0.6),
}


@dataclass(frozen=True, kw_only=True)
class Lines:
    """One person's.

    Attributes:
        depths: of each of `CREASES`, 0 for none. forehead: depth of lines across it. throat: of rings about the neck.
        places: of each crease, [K, 2].
    """

    depths: tuple[float, ...]
    forehead: float
    throat: float
    places: tuple[Tensor, ...]

    def __call__(self, mirrored: Tensor, patches: Tensor) -> tuple[Tensor, Tensor]:
        """How dark the lines are [P], and the slope of the skin at them [P, 3].

        Args:
            mirrored: [P, 3] rest coordinates with x >= 0. patches: [P] smooth noise that bends straight lines.
        """
        dark, slope = torch.zeros(len(mirrored)), torch.zeros_like(mirrored)
        front = smoothstep(mirrored[:, 2], 4.5, 7.0)
        for depth, places, (_, width, _) in zip(self.depths, self.places, CREASES.values(), strict=True):
            if depth < 0.02:
                continue
            near = (mirrored[:, :2] - places.mean(0)).abs().amax(1) < 3.0
            index = (near & (front > 0)).nonzero()[:, 0]
            away, along = _from_polyline(mirrored[index, :2], places)
            fall = torch.exp(-away.square().sum(1) / width**2) * (4 * along * (1 - along)).clamp(0, 1).sqrt()
            strength = depth * fall * front[index]
            dark[index] += 1.4 * strength
            slope[index, :2] += (2.0 / width) * strength[:, None] * away
        self._waves(mirrored, patches, dark, slope, front)
        return dark.clamp(0, 1), slope

    def _waves(self, mirrored: Tensor, patches: Tensor, dark: Tensor, slope: Tensor, front: Tensor) -> None:
        """Lines across the forehead and the throat, added in place."""
        x, y, _ = mirrored.unbind(-1)
        brow = torch.exp(-(((y - 8.2) / 1.5) ** 2) - (x / 5.0) ** 2) * front
        ring = torch.exp(-(((y + 12.0) / 2.2) ** 2)) * front.new_ones(len(front))
        for depth, area, often in ((self.forehead, brow, 5.4), (self.throat, ring, 2.9)):
            if depth > 0.02:
                phase = often * y + 1.1 * patches + 0.05 * often * x.square() * 0.1
                dark += 0.8 * depth * area * torch.exp(-4 * (1 - phase.cos()))
                slope[:, 1] += 0.9 * depth * area * phase.sin() * torch.exp(-1.5 * (1 - phase.cos()))


def draw_lines(who: Nature, draws: Draws) -> Lines:
    """Faint from the start between nose and mouth and above the eye, deep with age."""
    worn = max(0.0, who.age - 0.2) / 0.8
    first = {"nose to mouth": 0.12, "lid": 0.35, "under the eye": 0.1}
    depths = [
        (first.get(name, 0.0) + 1.2 * worn) * depth * draws.uniform(0.5, 1.25) * (1 - 0.8 * who.child)
        for name, (_, _, depth) in CREASES.items()
    ]
    return Lines(
        depths=tuple(depths),
        forehead=worn * draws.uniform(0.2, 1.0),
        throat=(0.1 + worn) * draws.uniform(0.1, 0.6),
        places=tuple(torch.tensor(places) for places, _, _ in CREASES.values()),
    )


def _from_polyline(points: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """From the nearest point of a polyline [K, 2] to points [P, 2]: the way [P, 2], and how far along it is [P], 0 to 1."""
    start, way = places[:-1], places.diff(dim=0)
    from_start = points[:, None] - start
    share = ((from_start * way).sum(-1) / way.square().sum(-1)).clamp(0, 1)
    away = from_start - share[..., None] * way
    nearest = away.square().sum(-1).argmin(1)
    rows = torch.arange(len(points))
    return away[rows, nearest], (nearest + share[rows, nearest]) / len(way)
