"""Hair drawn tightly over the head to one place: a ponytail or a bun there."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..streams import Draws
from .growth import LOWEST, Growth, cut, cut_below, grow
from .locks import gather, nearest_lock, rumpled, waved
from .roots import Roots
from .skull import Skull
from .vectors import cross, unit

CENTRE = (0.0, 4.5, 0.0)  # cm: around which hair is drawn
PLACES = {  # cm: where hair is tied
    "top": (0.0, 14.6, -3.2),
    "high": (0.0, 11.6, -8.4),
    "middle": (0.0, 6.5, -10.2),
    "low": (0.0, -0.5, -9.0),
}
PONYTAILS = {"high": 0.4, "middle": 0.35, "low": 0.25}
BUNS = {"top": 0.35, "high": 0.25, "middle": 0.15, "low": 0.25}
TAIL_STRANDS, TAIL_POINTS = 1700, 18


def drawn_back(
    skull: Skull, roots: Roots, place: str, draws: Draws, points: int = 14
) -> tuple[Tensor, Tensor]:
    """Strands [N, K, 3] from every root over the head to a name in `PLACES`, and the leader [N] of each one's lock."""
    centre, goal = torch.tensor(CENTRE), torch.tensor(PLACES[place])
    start, end = roots.rest - centre, goal - centre
    first, last = unit(start), unit(end).expand_as(start)
    angle = (first * last).sum(1).clamp(-0.999, 0.999).acos()[:, None, None]
    along = torch.linspace(0, 1, points)[None, :, None]
    ways = ((1 - along) * angle).sin() * first[:, None] + (along * angle).sin() * last[:, None]
    ways = ways / angle.sin()
    reach = torch.lerp(start.norm(dim=1)[:, None, None], end.norm() * torch.ones(len(roots), 1, 1), along)
    strands = centre + ways * reach
    loose = draws.uniform(0.3, 1.1)
    height = 0.12 + (0.2 + loose * (along * math.pi).sin()[..., 0]) * (0.25 + 0.75 * roots.other[:, None])
    height = height * (along[..., 0] * 6).clamp_max(1)
    tied = ((along - 0.8) / 0.2).clamp(0, 1)
    for _ in range(3):
        distance, gradient = skull(strands)
        strands = strands + gradient * ((height - distance) * (1 - tied[..., 0]))[..., None]
    thickness = 0.9 * torch.from_numpy(draws.generator.standard_normal((len(roots), 1, 3))).float()
    strands = torch.lerp(strands, goal + 0.45 * thickness.clamp(-1.5, 1.5), tied.square())
    beside = (roots.rest[:, 1] < 4.6) & (
        roots.rest[:, 2] > -1.5
    )  # what grows before the ears is too short to be drawn over them
    strands = cut(strands, torch.where(beside, 0.1 + 0.1 * roots.chance, 1.0))
    lock = nearest_lock(roots, 320, 9.0 * beside[:, None])
    strands = gather(strands, lock, draws.uniform(0.2, 0.6) * (roots.chance < 0.96))
    return rumpled(strands, 0.6 * roots.other**8, draws), lock


def ponytail(skull: Skull, place: str, wavy: bool, draws: Draws) -> tuple[Tensor, Tensor]:
    """Strands [N, K, 3] of the tail from where hair is tied, and the leader [N] of each one's lock."""
    goal = torch.tensor(PLACES[place])
    out = unit(goal - torch.tensor(CENTRE))
    spread = torch.from_numpy(draws.generator.standard_normal((TAIL_STRANDS, 3))).float().clamp(-2, 2) * 0.36
    length = draws.uniform(16.0, 34.0)
    roots = _roots(goal + spread, unit(out + 0.35 * spread), draws)
    plan = Growth(
        length=length * (0.7 + 0.35 * roots.chance),
        layer=0.4 + 2.2 * roots.other,
        lift=0.8 * torch.ones(TAIL_STRANDS),
        comb=lambda at, reached: torch.tensor([0.0, -1.0, -0.2]).expand_as(at),
        reach=4.0,
        gravity=0.6,
        oval=torch.ones(TAIL_STRANDS),
        fall=-torch.ones(TAIL_STRANDS),
    )
    strands = grow(skull, roots, plan, TAIL_POINTS)
    lock = nearest_lock(roots, 40)
    strands = gather(strands, lock, 0.55)
    if wavy:
        own = torch.from_numpy(draws.generator.uniform(-1, 1, len(lock))).float()
        sizes = draws.uniform(0.4, 0.9) * torch.ones(len(lock))
        strands = waved(strands, out.expand(len(lock), 1, 3), 1.5 * own[lock], sizes, (6 + own)[lock], 0.4)
    strands = rumpled(strands, 0.3 + 1.2 * roots.other**4, draws)
    return cut_below(strands, torch.full((len(lock),), LOWEST)), lock


def bun(place: str, draws: Draws, size: float) -> tuple[Tensor, Tensor]:
    """Strands [N, K, 3] wound into a knot on the place where hair is tied, and the leader [N] of each one's lock.

    Args:
        size: radius, centimetres.
    """
    goal = torch.tensor(PLACES[place])
    out = unit(goal - torch.tensor(CENTRE))
    right = unit(cross(out, torch.tensor([0.0, 0.6, 0.8])))
    up = cross(right, out)
    count, winds = 1500, 9
    wind = torch.arange(count) % winds
    own, other = torch.from_numpy(draws.generator.uniform(-1, 1, (2, count))).float()
    along = torch.linspace(-1, 1, 14)[None]
    tilt = torch.from_numpy(draws.generator.uniform(-0.45, 0.45, winds)).float()[wind, None]
    begin = torch.from_numpy(draws.generator.uniform(0, 2 * math.pi, winds)).float()[wind, None]
    around = begin + 1.9 * along + 0.25 * other[:, None]
    height = ((wind[:, None] + 0.5) / winds * 2 - 1) + 0.16 * own[:, None] + tilt * along.square()
    height = height.clamp(-0.98, 0.98)
    reach = (1 - height.square()).sqrt() * (1 + 0.05 * other[:, None]) + 0.12 * (
        1 - (own.abs()[:, None] * 1.6).clamp_max(1)
    )
    centre = goal + out * 0.55 * size
    strands = centre + size * (
        (reach * around.cos())[..., None] * right
        + (reach * around.sin())[..., None] * up
        + (0.72 * height)[..., None] * out
    )
    return rumpled(strands, 0.5 * (own.abs() > 0.97).float() + 0.04, draws), wind


def band(place: str, draws: Draws) -> Tensor:
    """Strands [N, K, 3] of the elastic around a ponytail."""
    goal = torch.tensor(PLACES[place])
    out = unit(goal - torch.tensor(CENTRE))
    right = unit(cross(out, torch.tensor([0.0, 0.6, 0.8])))
    up = cross(right, out)
    place_on = torch.from_numpy(draws.generator.uniform(-0.35, 0.35, (40, 1, 1))).float()
    angle = torch.linspace(0, 2 * math.pi, 17)[None, :, None]
    return goal + 1.2 * (angle.cos() * right + angle.sin() * up) + place_on * out


def _roots(rest: Tensor, normal: Tensor, draws: Draws) -> Roots:
    """Roots that lie on no skin."""
    chance, other = torch.from_numpy(draws.generator.random((2, len(rest)))).float()
    return Roots(
        rest=rest,
        place=rest,
        normal=normal,
        up=normal,
        chance=chance,
        other=other,
        density=torch.ones(len(rest)),
    )
