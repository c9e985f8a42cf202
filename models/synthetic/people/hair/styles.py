"""The named styles of loose hair in numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Style:
    """Ranges that a person's hair is drawn from; lengths in centimetres.

    Attributes:
        count: strands. points: of each. width: of a strand, many hairs wide.
        top, sides: length on top, and at temples and nape. comb: as of `combs.comb`. part: how far aside the parting may be.
        lift: how far roots stand off, 0 to 1. layers: height over the skin of the innermost and the outermost strands.
        gravity, inertia, reach, hug: as of `Growth`. clump: how tight locks are, 0 to 1; locks: how many.
        wave: amplitude; wavelength; coil: as of `locks.waved`. frizz: how far single strands stray at their tips.
        level: height at which hair is cut, or None. gloss: as of `Hair`.
    """

    count: int
    points: int
    width: float
    top: tuple[float, float]
    sides: tuple[float, float]
    comb: str
    layers: tuple[float, float]
    lift: float = 0.2
    part: tuple[float, float] = (0.0, 0.0)
    gravity: float = 0.3
    inertia: float = 1.0
    reach: float = 12.0
    hug: float = 0.0
    clump: tuple[float, float] = (0.3, 0.6)
    locks: int = 260
    wave: tuple[float, float] = (0.0, 0.0)
    wavelength: tuple[float, float] = (6.0, 9.0)
    coil: float = 0.0
    frizz: float = 0.15
    level: tuple[float, float] | None = None
    gloss: float = 1.0


STYLES = {
    "buzz": Style(
        count=15000,
        points=3,
        width=0.085,
        top=(0.5, 1.0),
        sides=(0.3, 0.6),
        comb="whorl",
        layers=(0.2, 0.6),
        lift=0.6,
        clump=(0.0, 0.0),
        frizz=0.05,
        gloss=0.5,
    ),
    "crop": Style(
        count=11000,
        points=6,
        width=0.11,
        top=(2.4, 5.0),
        sides=(0.6, 1.5),
        comb="whorl",
        layers=(0.15, 1.5),
        lift=0.5,
        gravity=0.12,
        clump=(0.0, 0.4),
        locks=620,
        frizz=0.25,
    ),
    "side part": Style(
        count=9500,
        points=10,
        width=0.14,
        top=(7.0, 10.5),
        sides=(1.4, 3.5),
        comb="across",
        layers=(0.2, 1.7),
        lift=0.34,
        part=(2.2, 3.8),
        gravity=0.16,
        hug=0.2,
        clump=(0.4, 0.7),
        locks=300,
        frizz=0.2,
    ),
    "swept back": Style(
        count=9500,
        points=11,
        width=0.14,
        top=(9.0, 14.0),
        sides=(4.0, 7.0),
        comb="back",
        layers=(0.15, 1.9),
        lift=0.4,
        gravity=0.12,
        hug=0.3,
        reach=20.0,
        clump=(0.4, 0.75),
        locks=280,
        wave=(0.0, 0.25),
        frizz=0.15,
        gloss=1.3,
    ),
    "curly": Style(
        count=6000,
        points=22,
        width=0.16,
        top=(9.0, 17.0),
        sides=(5.0, 15.0),
        comb="mop",
        layers=(0.3, 2.4),
        lift=0.5,
        gravity=0.5,
        hug=0.1,
        clump=(0.85, 0.95),
        locks=300,
        wave=(0.5, 0.85),
        wavelength=(3.2, 5.2),
        coil=0.9,
        frizz=0.18,
    ),
    "afro": Style(
        count=9000,
        points=12,
        width=0.15,
        top=(2.0, 8.5),
        sides=(2.0, 8.5),
        comb="out",
        layers=(0.5, 9.0),
        gloss=0.4,
    ),
    "bob": Style(
        count=6500,
        points=16,
        width=0.17,
        top=(28.0, 30.0),
        sides=(26.0, 28.0),
        comb="part",
        layers=(0.3, 2.0),
        lift=0.25,
        part=(-3.2, 3.2),
        gravity=0.55,
        clump=(0.2, 0.5),
        locks=240,
        wave=(0.0, 0.2),
        frizz=0.15,
        level=(-8.5, -3.0),
    ),
    "long straight": Style(
        count=5600,
        points=18,
        width=0.19,
        top=(44.0, 46.0),
        sides=(38.0, 40.0),
        comb="part",
        layers=(0.3, 1.8),
        lift=0.25,
        part=(-3.0, 3.0),
        gravity=0.6,
        clump=(0.25, 0.6),
        locks=220,
        wave=(0.0, 0.25),
        wavelength=(9.0, 14.0),
        frizz=0.2,
        level=(-23.0, -12.0),
        gloss=1.15,
    ),
    "long wavy": Style(
        count=5600,
        points=24,
        width=0.19,
        top=(46.0, 48.0),
        sides=(40.0, 42.0),
        comb="part",
        layers=(0.35, 2.2),
        lift=0.22,
        part=(-3.2, 3.2),
        gravity=0.5,
        clump=(0.5, 0.8),
        locks=190,
        wave=(0.6, 1.1),
        wavelength=(6.0, 10.0),
        coil=0.45,
        frizz=0.4,
        level=(-23.0, -11.0),
    ),
    "fringe": Style(
        count=6500,
        points=18,
        width=0.18,
        top=(40.0, 42.0),
        sides=(34.0, 36.0),
        comb="fringe",
        layers=(0.3, 1.9),
        lift=0.22,
        part=(-1.0, 1.0),
        gravity=0.6,
        clump=(0.25, 0.6),
        locks=240,
        wave=(0.0, 0.3),
        frizz=0.15,
        level=(-22.0, -4.0),
    ),
}
