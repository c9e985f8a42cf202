"""Hair styles in numbers, and where each is combed to."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

WHORL = (0.8, 14.0, -5.5)  # head centimetres: what short hair grows away from
KNOT = (0.0, 9.5, -10.0)  # where hair is tied
MIDDLE = (0.0, 3.5, 5.0)  # what hair that stands out points away from: up over the forehead, not ahead


@dataclass(frozen=True, kw_only=True)
class Style:
    """Lengths in centimetres.

    Attributes:
        count: strands. points: of each. width: of a ribbon. top, sides: length above, and at temples and nape.
        comb: a name in `combed`. inner, outer: height of the innermost and outermost strands over the skin.
        lift: how far roots stand off. weight: how fast hair turns down. clump: how tight locks are, 0 to 1.
        wave, wavelength, coil: as of factory 3's `locks.waved`. frizz: how far single strands stray. level: where hair is cut, or None.
    """

    count: int
    points: int
    width: float
    top: float
    sides: float
    comb: str
    inner: float = 0.1
    outer: float = 0.8
    lift: float = 0.3
    weight: float = 0.2
    clump: float = 0.4
    wave: float = 0.0
    wavelength: float = 5.0
    coil: float = 0.0
    frizz: float = 0.15
    level: float | None = None


STYLES = {
    "buzz": Style(count=13000, points=3, width=0.055, top=0.6, sides=0.4, comb="whorl", outer=0.3, lift=0.8),
    "short": Style(
        count=7000, points=7, width=0.15, top=4.0, sides=1.5, comb="whorl", outer=1.1, lift=0.7, frizz=0.35
    ),
    "swept": Style(
        count=7500, points=10, width=0.16, top=8.0, sides=2.2, comb="across", outer=2.0, lift=0.9, frizz=0.3
    ),
    "curls": Style(
        count=6000,
        points=16,
        width=0.17,
        top=7.5,
        sides=5.5,
        comb="away",
        inner=0.4,
        outer=3.4,
        lift=0.5,
        weight=0.12,
        wave=0.6,
        wavelength=2.2,
        coil=0.8,
        frizz=0.5,
    ),
    "afro": Style(
        count=8000,
        points=12,
        width=0.16,
        top=5.0,
        sides=3.6,
        comb="away",
        inner=0.6,
        outer=4.5,
        lift=2.5,
        weight=0.0,
        wave=0.35,
        wavelength=1.3,
        coil=1.0,
        frizz=0.25,
        clump=0.1,
    ),
    "coils": Style(
        count=11000,
        points=7,
        width=0.12,
        top=1.6,
        sides=0.8,
        comb="away",
        outer=1.2,
        lift=1.5,
        weight=0.0,
        wave=0.15,
        wavelength=0.8,
        coil=1.0,
        frizz=0.15,
        clump=0.1,
    ),
    "bob": Style(
        count=7500,
        points=16,
        width=0.17,
        top=24.0,
        sides=18.0,
        comb="sides",
        outer=1.7,
        lift=0.1,
        weight=0.9,
        wave=0.15,
        wavelength=7.0,
        level=-5.0,
    ),
    "long": Style(
        count=8000,
        points=22,
        width=0.17,
        top=38.0,
        sides=30.0,
        comb="sides",
        outer=1.6,
        lift=0.1,
        weight=0.9,
        wave=0.5,
        wavelength=8.0,
        coil=0.2,
        frizz=0.4,
        level=-17.0,
    ),
    "bun": Style(
        count=7000, points=14, width=0.16, top=20.0, sides=18.0, comb="knot", outer=0.55, lift=0.1, weight=0.0
    ),
}
TIGHT = {"curls": "afro", "short": "coils"}  # what they are of hair that coils by nature


def combed(name: str, at: Tensor, part: float, side: float) -> Tensor:
    """[N, 3] where hair at places [N, 3] (head centimetres) is combed to, any length.

    Args:
        part: centimetres aside of the parting. side: 1 or -1, where hair is swept to.
    """
    x, y, z = at.unbind(-1)
    one = torch.ones_like(x)
    if name == "knot":
        return at.new_tensor(KNOT) - at
    if name == "across":
        return torch.stack([side * one, 0.1 * one, -0.45 * one], 1)
    if name == "sides":
        away = torch.where(x > part, one, -one)
        front, back = ((z - 2.0) / 6.0).clamp(0, 1), (-z / 6.0).clamp(0, 1)
        return torch.stack([away * (1 - 0.85 * back), -0.35 - 0.65 * back, -0.2 - 0.7 * front], 1)
    if name == "away":
        return at - at.new_tensor(MIDDLE)
    return at - at.new_tensor(WHORL) + at.new_tensor([0.0, 0.0, 2.0])
