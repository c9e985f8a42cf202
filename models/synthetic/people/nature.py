"""What everything else about a person leans on: age, sex, build and the tone of the skin."""

from __future__ import annotations

from dataclasses import dataclass

from .streams import Draws

TONES = {  # a part of the world: [lightest, darkest] tone, 0 to 5
    "north": (0.0, 1.2),
    "south": (0.8, 2.3),
    "east": (0.5, 2.0),
    "middle": (1.5, 3.3),
    "tropics": (3.2, 5.0),
}
WEIGHTS = {"north": 0.24, "south": 0.18, "east": 0.2, "middle": 0.18, "tropics": 0.2}


@dataclass(frozen=True, kw_only=True)
class Nature:
    """Of one person.

    Attributes:
        male: as of `parts.Body`. tone: 0 lightest to 5 darkest skin.
        origin: a name in `TONES`; only leans the means of shape, skin and hair.
        age: 0 young to 1 old. child: 0 grown up to 1 about six years old. weight: -1 gaunt to 1 heavy.
    """

    male: bool
    tone: float
    origin: str
    age: float
    child: float
    weight: float


def nature(seed: int) -> Nature:
    """The person of a seed: a child in twelve, and grown-ups of all ages.

    Raises:
        ValueError: a negative seed.
    """
    draws = Draws(seed, "nature")
    origin = draws.choice(WEIGHTS)
    child = draws.uniform(0.35, 1.0) if draws.chance(1 / 12) else 0.0
    age = draws.uniform() ** 1.2
    return Nature(
        male=draws.chance(0.5),
        tone=draws.uniform(*TONES[origin]),
        origin=origin,
        age=0.0 if child else age,
        child=child,
        weight=draws.normal(0.0, 0.45),
    )
