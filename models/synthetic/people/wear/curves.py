"""Necklines, armholes, hems: centimetres below the neck's end, by the angle around the neck."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

Curve = Callable[[Tensor], Tensor]  # azimuth [...] radians from the front -> centimetres [...]


def away(azimuth: Tensor) -> Tensor:
    """[...] degrees from the front, 0 to 180."""
    return (torch.remainder(azimuth + math.pi, 2 * math.pi) - math.pi).abs() * (180 / math.pi)


def ring(front: float, side: float, back: float) -> Curve:
    """A smooth closed curve through three heights: two harmonics."""
    mean = (front + 2 * side + back) / 4
    first, second = (front - back) / 2, (front - 2 * side + back) / 4

    def curve(azimuth: Tensor) -> Tensor:
        return mean + first * azimuth.cos() + second * (2 * azimuth).cos()

    return curve


def vee(depth: float, width: float, base: Curve) -> Curve:
    """A V cut `depth` cm deeper into the front of a curve, `width` degrees to either side."""

    def curve(azimuth: Tensor) -> Tensor:
        return base(azimuth) + depth * (1 - away(azimuth) / width).clamp_min(0)

    return curve


def scoop(depth: float, width: float, base: Curve) -> Curve:
    """A round cut, `depth` cm deeper in front, `width` degrees to either side."""

    def curve(azimuth: Tensor) -> Tensor:
        return base(azimuth) + depth * torch.exp(-((away(azimuth) / width) ** 4))

    return curve


def square(depth: float, width: float, base: Curve) -> Curve:
    """A cut with corners, `depth` cm deeper in front."""

    def curve(azimuth: Tensor) -> Tensor:
        return base(azimuth) + depth * torch.sigmoid((width - away(azimuth)) / 1.5)

    return curve


def armholes(strap: float) -> Curve:
    """The outer edge of straps that lie `strap` cm from the neck; out of the bust in front and behind."""

    def curve(azimuth: Tensor) -> Tensor:
        return strap + 26.0 * ((away(azimuth) - 92.0).abs() / 48.0) ** 3

    return curve


def lower(base: Curve, by: float) -> Curve:
    """The same curve, `by` centimetres down."""

    def curve(azimuth: Tensor) -> Tensor:
        return base(azimuth) + by

    return curve
