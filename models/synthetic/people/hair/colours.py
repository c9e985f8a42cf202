"""Colours of hair: pigment by origin, grey by age, a few dyed."""

from __future__ import annotations

import torch
from torch import Tensor

from ..parts import Body
from ..shape import smoothstep
from ..skin import linear
from ..streams import Draws

SHADES = {  # sRGB of hair in full light
    "black": (0.105, 0.09, 0.085),
    "dark": (0.20, 0.14, 0.105),
    "brown": (0.32, 0.215, 0.145),
    "light": (0.45, 0.33, 0.22),
    "blond": (0.68, 0.54, 0.36),
    "pale": (0.80, 0.69, 0.50),
    "red": (0.50, 0.235, 0.105),
    "auburn": (0.34, 0.16, 0.10),
    "pink": (0.74, 0.36, 0.48),
    "blue": (0.16, 0.28, 0.48),
}
GREY = (0.60, 0.59, 0.58)
WHITE = (0.83, 0.82, 0.80)
ORIGINS = {
    "north": {
        "black": 0.04,
        "dark": 0.2,
        "brown": 0.26,
        "light": 0.2,
        "blond": 0.16,
        "pale": 0.05,
        "red": 0.05,
        "auburn": 0.04,
    },
    "south": {"black": 0.2, "dark": 0.42, "brown": 0.24, "light": 0.07, "blond": 0.04, "auburn": 0.03},
    "east": {"black": 0.74, "dark": 0.26},
    "middle": {"black": 0.55, "dark": 0.38, "brown": 0.07},
    "tropics": {"black": 0.84, "dark": 0.16},
}
DYES = {"blond": 0.4, "auburn": 0.24, "red": 0.14, "pale": 0.14, "pink": 0.04, "blue": 0.04}


def natural_shade(body: Body, draws: Draws) -> tuple[Tensor, float]:
    """A person's pigment, linear [3], and the share of strands without any, 0 to 1."""
    shade = linear(SHADES[draws.choice(ORIGINS[body.origin])])
    shade = shade * float(torch.tensor(draws.normal(0.0, 0.16)).exp())
    shade = torch.lerp(
        shade, linear(SHADES["light"]), 0.35 * body.child * (body.origin in ("north", "south"))
    )
    onset = draws.normal(0.66, 0.13)
    grey = float(smoothstep(torch.tensor(body.age), onset - 0.12, onset + 0.28))
    return shade, grey


def dyed(shade: Tensor, grey: float, body: Body, draws: Draws) -> tuple[Tensor, float]:
    """What a person's hair on the head has, as of `natural_shade`: some dye it, more women than men."""
    fashion, cover = (
        draws.chance((0.03 if body.male else 0.14) * (1.0 - 0.9 * body.age)),
        draws.chance(0.12 if body.male else 0.55),
    )
    colour = linear(SHADES[draws.choice(DYES)])
    if fashion and body.child == 0.0:
        return colour, 0.0
    return shade, 0.0 if cover else grey


def strand_colours(shade: Tensor, grey: float, lock: Tensor, spread: float, draws: Draws) -> Tensor:
    """[N, 3] linear: every strand's own, those of a lock alike.

    Args:
        shade: [3]. grey: as of `natural_shade`. lock: [N] index of each strand's lock. spread: deviation of brightness.
    """
    own, common = (torch.from_numpy(draws.generator.standard_normal(len(lock))).float() for _ in range(2))
    bright = (spread * (0.7 * own + 0.7 * common[lock])).clamp(-0.8, 0.8).exp()
    warm = 0.06 * common[lock]
    tint = torch.stack([1 + warm, torch.ones_like(warm), 1 - warm], 1)
    pale = torch.lerp(linear(GREY), linear(WHITE), max(0.0, grey - 0.4))
    chance = torch.from_numpy(draws.generator.random(len(lock))).float()
    faded = (grey * 1.5 - 0.5 * (1 - chance) - 0.5 * (chance - grey).clamp_min(0)).clamp(0, 1)
    return (torch.lerp(shade, pale, faded[:, None]) * tint * bright[:, None]).clamp(0.004, 0.9)
