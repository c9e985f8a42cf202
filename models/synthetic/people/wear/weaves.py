"""Weaves of cloth: their height in centimetres, or their shade, at rest points."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ...noise import noise
from .patterns import pattern_plane


def _smooth(rest: Tensor, tone: int) -> Tensor:
    return torch.zeros_like(rest[:, 0])


def _knit(rest: Tensor, tone: int) -> Tensor:
    """Stitches like small v's; height in centimetres, or their shade."""
    across = pattern_plane(rest)[0] / 0.62
    lean = (torch.remainder(across, 1) - 0.5).abs()
    row = torch.sin(2 * math.pi * (rest[:, 1] / 0.5 + lean))
    return row * (0.07 if tone else 0.035) - (0.25 if tone else 0.08) * (lean - 0.25)


def _rib(rest: Tensor, tone: int) -> Tensor:
    """Ridges that run up and down around the neck."""
    turn = torch.atan2(rest[:, 0], rest[:, 2] + 1.7)
    wave = torch.cos(turn * 64)
    return wave * (0.1 if tone else 0.04)


def _twill(rest: Tensor, tone: int) -> Tensor:
    """Denim's diagonals."""
    wave = torch.sin(2 * math.pi * (pattern_plane(rest)[0] + rest[:, 1]) / 0.42)
    return wave * (0.06 if tone else 0.006)


def _fleece(rest: Tensor, tone: int) -> Tensor:
    return (0.05 if tone else 0.04) * noise(tuple((rest * 3.1).unbind(-1)), 11)


def _leather(rest: Tensor, tone: int) -> Tensor:
    return -(0.06 if tone else 0.025) * noise(tuple((rest * 4.0).unbind(-1)), 12).abs()


WEAVES: dict[str, Callable[[Tensor, int], Tensor]] = {
    "plain": _smooth,
    "satin": _smooth,
    "knit": _knit,
    "rib": _rib,
    "twill": _twill,
    "fleece": _fleece,
    "leather": _leather,
}
