"""The named styles of loose hair in numbers, and who wears which."""

from __future__ import annotations

from dataclasses import dataclass

from ..parts import Body
from ..streams import Draws


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
        clump=(0.1, 0.55),
        locks=520,
        frizz=0.25,
    ),
    "side part": Style(
        count=9500,
        points=10,
        width=0.14,
        top=(7.0, 10.5),
        sides=(1.4, 3.5),
        comb="across",
        layers=(0.2, 2.2),
        lift=0.42,
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
        count=6500,
        points=22,
        width=0.15,
        top=(9.0, 17.0),
        sides=(5.0, 15.0),
        comb="whorl",
        layers=(0.3, 2.6),
        lift=0.55,
        gravity=0.3,
        hug=0.1,
        clump=(0.8, 0.93),
        locks=380,
        wave=(0.45, 0.75),
        wavelength=(2.8, 4.4),
        coil=0.9,
        frizz=0.2,
    ),
    "afro": Style(
        count=12000,
        points=8,
        width=0.15,
        top=(4.0, 9.0),
        sides=(3.0, 7.0),
        comb="out",
        layers=(0.5, 9.0),
        lift=1.5,
        gravity=0.0,
        inertia=1.2,
        clump=(0.0, 0.4),
        locks=900,
        frizz=1.5,
        gloss=0.35,
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
        layers=(0.4, 2.8),
        lift=0.35,
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
MEN = {
    "bald": 0.07,
    "buzz": 0.14,
    "crop": 0.3,
    "side part": 0.2,
    "swept back": 0.12,
    "curly": 0.08,
    "long straight": 0.02,
    "long wavy": 0.03,
    "bun": 0.02,
    "ponytail": 0.02,
}
WOMEN = {
    "buzz": 0.015,
    "crop": 0.05,
    "side part": 0.02,
    "swept back": 0.03,
    "curly": 0.1,
    "bob": 0.15,
    "long straight": 0.16,
    "long wavy": 0.18,
    "bun": 0.1,
    "ponytail": 0.12,
    "fringe": 0.1,
}
COILED_MEN = {
    "buzz": 0.3,
    "crop": 0.16,
    "afro": 0.18,
    "locs": 0.12,
    "cornrows": 0.09,
    "braids": 0.04,
    "bald": 0.08,
    "curly": 0.03,
}
COILED_WOMEN = {
    "afro": 0.2,
    "braids": 0.17,
    "locs": 0.1,
    "cornrows": 0.1,
    "curly": 0.12,
    "bun": 0.08,
    "long straight": 0.07,
    "long wavy": 0.06,
    "bob": 0.06,
    "buzz": 0.04,
}


def draw_style(body: Body, draws: Draws) -> str:
    """Who wears what: by sex, origin and age.

    Returns:
        "bald", "bun", "ponytail", "locs", "braids", "cornrows", or a name in `STYLES`.
    """
    coiled = body.origin == "tropics"
    weights = dict((COILED_MEN if body.male else COILED_WOMEN) if coiled else (MEN if body.male else WOMEN))
    if body.child > 0:
        weights.pop("bald", None)
    elif body.male:
        weights["bald"] *= 0.4 + 2.5 * max(0.0, body.age - 0.3)
    if body.age > 0.7:
        for name in ("long straight", "long wavy", "fringe", "locs"):
            weights[name] = weights.get(name, 0.0) * 0.5
        weights["crop"] = weights.get("crop", 0.0) + 0.12
    return draws.choice(weights)
