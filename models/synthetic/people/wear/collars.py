"""Collars: leaves that fold over a stand, lapels, ribs, hoods that lie on the back."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..parts import Paint, Surface
from .bust import Bust
from .curves import Curve, away
from .cut import drape, surface, tube

Painter = Callable[[Tensor], Paint]
DEGREE = math.pi / 180


def fold_collar(
    bust: Bust,
    paint: Painter,
    *,
    fold: Curve,
    edge: Curve,
    gap: tuple[float, float],
    off: tuple[float, float],
    name: str = "collar",
) -> Surface:
    """A leaf that falls from a fold around the neck to an outer edge on the shoulders, open in front.

    Args:
        fold, edge: where it begins and ends. gap: degrees from the front to its corners at the fold and at the edge.
        off: centimetres off the skin at the fold and at the edge.
    """
    columns, rows = 96, 9
    across = torch.linspace(0, 1, columns)[None]
    down = torch.linspace(0, 1, rows)[:, None]
    corner = (gap[0] + (gap[1] - gap[0]) * down) * DEGREE
    turn = corner + across * (2 * math.pi - 2 * corner)  # [rows, columns]
    column = bust.column(turn)
    ends = [
        bust.at(column[k], bust.row(column[k], curve(turn[k]))) for k, curve in ((0, fold), (rows - 1, edge))
    ]
    lift = [points + normals * o * bust.scale for (points, normals, _), o in zip(ends, off)]
    line = torch.lerp(lift[0], lift[1], down[..., None])
    out = F.normalize(ends[0][1] + ends[1][1], dim=-1)
    line = line + out * (0.35 * bust.scale * torch.sin(math.pi * down).clamp_min(0)[..., None])
    rest = torch.lerp(ends[0][2], ends[1][2], down[..., None])
    arc = torch.lerp(fold(turn), edge(turn), down)
    skin, normal, _ = bust.at(column, bust.row(column.flatten(), arc.flatten()).view_as(arc))
    least = (off[0] + (off[1] - off[0]) * down) * bust.scale
    short = (least - ((line - skin) * normal).sum(-1)).clamp(0, 0.012)
    line = line + normal * short[..., None]
    under = line - out * 0.22 * bust.scale  # the leaf's underside, so that its edge has a thickness
    stand = _stand(
        bust, column[0], fold(turn[0]), off[0]
    )  # inside, so that nobody looks through below the fold
    sheet = torch.cat([stand[0], line, under[-1:], under[2:3]])
    rest = torch.cat([stand[1], rest, rest[-1:], rest[2:3]])
    return surface(sheet, rest, paint, name, closed=False)


def _stand(bust: Bust, column: Tensor, fold: Tensor, off: float) -> tuple[Tensor, Tensor]:
    """Points and rest [3, C, 3] from the neck's end up to just below a fold."""
    arc = torch.maximum(fold + fold.new_tensor([[2.4], [1.2], [0.15]]), fold)
    skin, normal, rest = bust.at(column.expand_as(arc), bust.row(column, arc))
    return skin + normal * ((off - 0.3) * bust.scale), rest


def lapels(bust: Bust, paint: Painter, opening: Curve, *, width: float, off: float) -> list[Surface]:
    """Both lapels of a jacket, laid back along the edge of its opening.

    Args:
        opening: the edge, from the neck's side down to the front's middle. width: centimetres. off: centimetres off the skin.
    """
    return [_lapel(bust, paint, opening, width, off, side) for side in (1.0, -1.0)]


def _lapel(bust: Bust, paint: Painter, opening: Curve, width: float, off: float, side: float) -> Surface:
    along = torch.linspace(0, 1, 40)
    turn = (62.0 + (2.0 - 62.0) * along) * DEGREE
    arc = opening(turn)
    radius = 7.0 + 0.25 * arc.clamp(0, 10)  # cm from the neck's axis
    step = torch.stack([torch.gradient(turn * radius)[0], torch.gradient(arc)[0]], -1)
    step = F.normalize(step, dim=-1)
    notch = 1 - 0.45 * torch.exp(-(((along - 0.3) / 0.035) ** 2))
    swell = torch.sin(math.pi * (0.12 + 0.88 * along).clamp(0, 1)).clamp_min(0) ** 0.6
    wide = width * notch * swell
    share = torch.linspace(0, 1, 7)[:, None]
    outward = torch.stack([-step[:, 1], step[:, 0]], -1)
    outward = outward * torch.sign(outward[:, :1] + 1e-6)  # away from the front's middle
    turns = side * (turn + share * wide * outward[:, 0] / radius)
    arcs = arc + share * wide * outward[:, 1]
    column = bust.column(turns)
    skin, normal, rest = bust.at(column, bust.row(column.flatten(), arcs.flatten()).view_as(arcs))
    roll = 0.55 * torch.exp(-share * wide / 0.8) + 0.12
    height = (off + roll) * bust.scale
    height = torch.cat([torch.full_like(height[:1], (off - 0.6) * bust.scale), height])
    skin, normal, rest = (torch.cat([image[:1], image]) for image in (skin, normal, rest))
    skin, normal, rest, height = (torch.cat([image, image[-1:]]) for image in (skin, normal, rest, height))
    height[-1] -= 0.25 * bust.scale
    points = drape(skin, normal, height, closed=False, rounds=1)
    if side > 0:  # columns run down: on this side from right to left, seen from outside
        points, rest = points.flip(1), rest.flip(1)
    return surface(points, rest, paint, "lapel", closed=False)


def hood(bust: Bust, paint: Painter, thick: float) -> Surface:
    """A hood laid on the back: a roll around the neck, thin in front, that sags behind.

    Args:
        thick: centimetres of its roll behind.
    """
    count = 72
    turn = (torch.linspace(0, 360, count)) * DEGREE
    column = bust.column(turn)
    behind = (away(turn) / 180) ** 1.4
    skin, normal, rest = bust.at(column, bust.row(column, 2.6 - 3.2 * behind + 0.8 * behind.square()))
    radius = (0.9 + (thick - 0.9) * behind) * bust.scale
    up = skin.new_tensor([0.0, 1.0, 0.0])
    path = skin + normal * (radius * 0.75)[:, None] + up * (radius * 0.35)[:, None]
    return tube(path[:-1], rest[:-1], radius[:-1], paint, "hood", sides=14, closed=True)


def cord(bust: Bust, paint: Painter, side: float, length: float, off: float) -> Surface:
    """A drawstring that hangs from the throat; side: 1 left, -1 right; length, off: centimetres."""
    share = torch.linspace(0, 1, 14)
    turn = side * (17.0 - 2.0 * share) * DEGREE
    column = bust.column(turn)
    skin, normal, rest = bust.at(column, bust.row(column, 2.2 + length * share))
    path = skin + normal * (off * bust.scale)
    radius = torch.full_like(share, 0.22 * bust.scale)
    radius[-3:] *= 1.35  # its tip
    return tube(path, rest, radius, paint, "cord")
