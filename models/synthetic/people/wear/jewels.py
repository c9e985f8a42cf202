"""Earrings and necklaces."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..parts import Body, Surface
from ..scans import SKIN
from ..streams import Draws
from .bust import Bust
from .curves import ring
from .cut import joined, surface, tube
from .hard import Metal
from .skull import ray

LOBE = (7.85, -1.4, 0.75)  # cm on the mean head: the middle of an ear lobe's outside
LOBE_END = (7.45, -1.95, 0.95)
METALS = {
    "gold": ((0.62, 0.4, 0.14), 1.2),
    "silver": ((0.5, 0.5, 0.52), 1.0),
    "rose": ((0.6, 0.33, 0.24), 0.4),
}
STONES = {
    "pearl": (0.75, 0.7, 0.64),
    "black": (0.02, 0.02, 0.02),
    "blue": (0.03, 0.1, 0.35),
    "green": (0.02, 0.2, 0.1),
}


def draw_metal(draws: Draws) -> Metal:
    """Gold, silver or rose gold."""
    name = draws.choice({key: weight for key, (_, weight) in METALS.items()})
    return Metal(colour=torch.tensor(METALS[name][0]), rough=0.25, shine=2.5)


def earrings(body: Body, draws: Draws) -> list[Surface]:
    """A pair of studs, hoops or drops."""
    metal = draw_metal(draws)
    kind = draws.choice({"stud": 2.0, "hoop": 1.6, "drop": 1.2})
    stone = draws.choice(dict.fromkeys(STONES, 1.0))
    bead = Metal(colour=torch.tensor(STONES[stone]), rough=0.2, shine=1.6)
    size = draws.uniform(0.0, 1.0)
    parts = []
    for side in (1.0, -1.0):
        lobe, end = (_mark(body, at, side) for at in (LOBE, LOBE_END))
        out = lobe.new_tensor([side, 0.0, 0.25])
        if kind == "stud":
            paint = bead if _is_stone(stone, size) else metal
            parts.append(ball(lobe + out * 0.1 * body.scale, (0.2 + 0.2 * size) * body.scale, paint, body))
        elif kind == "hoop":
            parts.append(_hoop(body, lobe, end, side, 0.55 + 1.3 * size, metal))
        else:
            parts += _drop(body, lobe, side, 1.0 + 2.2 * size, metal, bead)
    return _by_paint(parts, "earrings")


def _is_stone(stone: str, size: float) -> bool:
    """Whether a stud is a stone: the larger ones are pearls."""
    return stone == "pearl" or size < 0.4


def _mark(body: Body, at: tuple[float, float, float], side: float) -> Tensor:
    rest = body.rest[:SKIN]
    return body.vertices[(rest - rest.new_tensor([side * at[0], at[1], at[2]])).square().sum(1).argmin()]


def _rest(points: Tensor, body: Body) -> Tensor:
    return (points - body.pupils.mean(0)) / body.scale


def ball(centre: Tensor, radius: float | Tensor, paint: Metal, body: Body) -> Surface:
    """A sphere or, with a radius [3], an ellipsoid; scene units."""
    turn = torch.arange(16) * (2 * math.pi / 16)
    lift = torch.linspace(math.pi / 2, -math.pi / 2, 10)[:, None]
    points = centre + ray(turn.expand(10, 16), lift.expand(10, 16)) * radius
    return surface(points, _rest(points, body), paint, "ball")


def _hoop(body: Body, lobe: Tensor, end: Tensor, side: float, radius: float, metal: Metal) -> Surface:
    """A ring through the lobe that hangs below it, nearly in the plane of the ear. Args: radius: cm."""
    angle = torch.arange(40) * (2 * math.pi / 40)
    forward = lobe.new_tensor([side * 0.45, 0.0, 0.89])
    out = lobe.new_tensor([side * 0.25, 0.0, -0.1]) * body.scale
    down = lobe.new_tensor([side * 0.12, -1.0, 0.0])
    centre = (lobe + end) / 2 + out + down * (radius * 0.85 * body.scale)
    path = centre + (angle.cos()[:, None] * down + angle.sin()[:, None] * forward) * (radius * body.scale)
    thick = torch.full_like(angle, (0.06 + 0.04 * radius) * body.scale)
    return tube(path, _rest(path, body), thick, metal, "hoop", closed=True)


def _drop(body: Body, lobe: Tensor, side: float, length: float, metal: Metal, bead: Metal) -> list[Surface]:
    """A small ball at the lobe, a wire, and a drop. Args: length: cm."""
    at = lobe + lobe.new_tensor([side * 0.12, 0.0, 0.03]) * body.scale
    down = at.new_tensor([0.0, -1.0, 0.0]) * body.scale
    share = torch.linspace(0, 1, 4)[:, None]
    wire = at + share * down * length
    size = at.new_tensor([0.22, 0.22 + 0.12 * length, 0.22]) * body.scale
    return [
        ball(at, 0.14 * body.scale, metal, body),
        tube(wire, _rest(wire, body), torch.full((4,), 0.05 * body.scale), metal, "wire", sides=5),
        ball(at + down * (length + 0.2), size, bead, body),
    ]


def necklace(bust: Bust, body: Body, draws: Draws, *, low: float, off: float) -> list[Surface]:
    """A chain with a pendant, or a string of beads.

    Args:
        low: centimetres below the neck's end where it hangs in front. off: centimetres off the skin.
    """
    metal = draw_metal(draws)
    beads = draws.chance(0.35)
    count = 420 if beads else 110
    turn = torch.arange(count) * (2 * math.pi / count)
    curve = ring(low, min(0.4, low), draws.uniform(-1.2, -0.4))
    column = bust.column(turn)
    skin, normal, rest = bust.at(column, bust.row(column, curve(turn)))
    thick = draws.uniform(0.25, 0.42) if beads else draws.uniform(0.07, 0.13)
    path = skin + normal * ((off + thick * 0.8) * bust.scale)
    if beads:
        length = (path.roll(-1, 0) - path).norm(dim=1).cumsum(0) / (2 * thick * bust.scale)
        along = (length * round(float(length[-1])) / length[-1]).remainder(1) * 2 - 1
        radius = (1 - along.square()).clamp_min(0.03).sqrt() * thick * bust.scale
        stone = draws.choice(dict.fromkeys(STONES, 1.0) | {"pearl": 3.0})
        paint = Metal(colour=torch.tensor(STONES[stone]), rough=0.22, shine=1.5)
        return [tube(path, rest, radius, paint, "necklace", closed=True)]
    parts = [tube(path, rest, torch.full((count,), thick * bust.scale), metal, "necklace", closed=True)]
    if draws.chance(0.6):
        size = draws.uniform(0.35, 0.7)
        below = path[0] + normal[0] * 0.1 * bust.scale - path.new_tensor([0.0, size * bust.scale, 0.0])
        parts.append(ball(below, path.new_tensor([size, size, 0.3]) * bust.scale, metal, body))
    return _by_paint(parts, "necklace")


def _by_paint(parts: list[Surface], name: str) -> list[Surface]:
    """Parts of one paint as one surface each."""
    groups: dict[int, list[Surface]] = {}
    for part in parts:
        groups.setdefault(id(part.paint), []).append(part)
    return [joined(group, name) for group in groups.values()]
