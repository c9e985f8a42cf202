"""Headscarves: cloth over the head and round the face, and a second layer round the neck and over the shoulders."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from ..parts import Body, Surface
from ..streams import Draws
from .bust import FLOOR, Bust, grid_faces
from .curves import Curve, away, ring
from .cut import cloth_piece
from .fabric import Fabric
from .garments import draw_fabric
from .hats import Headwear
from .skull import Skull, make_skull, ray

FRONT = 41  # columns across the face's opening
TOP_ROWS, LOW_ROWS, FALL_ROWS = 32, 20, 6


def headscarf(body: Body, bust: Bust, draws: Draws) -> Headwear:
    """A hijab, plain or printed."""
    neck = bust.points[:16].reshape(-1, 3)
    skull = make_skull(body, ears_too=True, more=neck, spanned=4)
    fabric = draw_fabric(draws, {"plain": 4, "flowers": 0.4, "dots": 0.15}, size=(1.6, 3.0))
    fabric = replace(
        fabric, folds=draws.uniform(0.14, 0.24), weave="satin" if draws.chance(0.12) else "plain"
    )
    shell = _shell(skull, bust, replace(fabric, wound=True), draws)
    hem = _slanted(ring(draws.uniform(8.0, 12.0), 10.5, 12.0), draws.normal(0.0, 2.0))
    phase = draws.uniform(0, 6)
    parts = [
        shell,
        cloth_piece(
            bust,
            fabric.paint,
            "drape",
            top=_slanted(ring(-4.6, -5.6, -5.2), draws.normal(0.0, 0.5)),
            hem=hem,
            near=1.2,
            far=2.6,
            wave=lambda turn, arc: 0.22 * torch.sin(2.3 * arc + 1.5 * torch.sin(turn + phase) + phase),
        ),
    ]
    return Headwear(surfaces=tuple(parts), tuck=None, kind="headscarf")


def _slanted(base: Curve, by: float) -> Curve:
    """A curve that is lower on one side, `by` centimetres."""
    return lambda azimuth: base(azimuth) + by * azimuth.sin()


def _shell(skull: Skull, bust: Bust, fabric: Fabric, draws: Draws) -> Surface:
    """Cloth over the head down to the neck, open before the face."""
    half = math.radians(46 + draws.normal(0, 1.5))
    turn = _turns(half)
    inside = torch.arange(len(turn)) < FRONT
    oval = torch.where(inside, (1 - (turn / half).square()).clamp_min(0).sqrt(), torch.zeros_like(turn))
    brow, chin, middle = (math.radians(v) for v in (draws.uniform(23, 29), -51.0, -6.0))
    upper, lower = middle + (brow - middle) * oval, middle + (chin - middle) * oval
    end = ring(-62, -52, -46)(turn) * (math.pi / 180)
    over = math.pi / 2 + torch.linspace(0, 1, TOP_ROWS)[:, None] * (upper - math.pi / 2)
    under = lower + torch.linspace(0, 1, LOW_ROWS)[:, None] * (end - lower)
    lift = torch.cat([over, under])
    turns = turn.expand_as(lift)
    phase = draws.uniform(0, 6)
    beside = torch.sigmoid((away(turns) - 50) / 5)  # behind the face's opening cloth hangs looser
    off = 0.5 + beside * 0.11 * torch.sin(11 * lift + 5 * turns.cos() + phase)
    off = off + 0.8 * beside * torch.exp(-(((lift + 0.75) / 0.4) ** 2))
    row = torch.arange(len(lift))
    edge = ((row == TOP_ROWS - 1) | (row == TOP_ROWS))[:, None] & inside
    grid = (
        skull.centre
        + ray(turns, lift)
        * (skull.reach(turns, lift) + torch.where(edge, 0.15, off) * skull.scale)[..., None]
    )
    column = bust.column(turn)
    skin, normal, _ = bust.at(column, bust.row(column, torch.full_like(turn, -1.0)))
    foot = skin + normal * (0.8 * bust.scale)
    fall = torch.linspace(0, 1, FALL_ROWS + 1)[1:, None, None]
    grid = torch.cat(
        [grid, torch.lerp(grid[-1:], foot[None], fall)]
    )  # from the jaw straight to the neck's end
    grid = torch.cat([grid[..., :1], grid[..., 1:2].clamp_min(FLOOR), grid[..., 2:]], -1)
    return Surface(
        vertices=grid.reshape(-1, 3),
        faces=_faces(len(turn)),
        rest=skull.rest(grid).reshape(-1, 3),
        paint=fabric.paint,
        name="headscarf",
    )


def _turns(half: float) -> Tensor:
    """[C] azimuths: `FRONT` across the opening, dense at its ends, then round the back."""
    front = half * torch.sin(torch.linspace(-1, 1, FRONT) * (math.pi / 2))
    back = half + (2 * math.pi - 2 * half) * torch.linspace(0, 1, 82)[1:-1]
    return torch.cat([front, back])


def _faces(columns: int) -> Tensor:
    """[M, 3] of the grid, without those across the face."""
    faces = grid_faces(TOP_ROWS + LOW_ROWS + FALL_ROWS, columns)
    row, column = faces // columns, faces % columns
    gap = (row.amin(1) == TOP_ROWS - 1) & (row.amax(1) == TOP_ROWS)
    return faces[~(gap & (column < FRONT).all(1))]
