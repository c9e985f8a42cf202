"""Frames of glasses as shops sell them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..streams import Draws

SHAPES = {  # half width and height, cm; roundness (2 = ellipse); outer corner's lift, inner corner's drop, cm
    "round": (2.35, 2.25, 2.0, 0.0, 0.0),
    "oval": (2.5, 1.85, 2.1, 0.05, 0.0),
    "panto": (2.45, 2.1, 2.5, 0.1, 0.15),
    "square": (2.65, 2.0, 3.8, 0.1, 0.1),
    "narrow": (2.6, 1.5, 3.4, 0.1, 0.05),
    "cat": (2.65, 1.95, 2.8, 0.55, 0.1),
    "aviator": (2.85, 2.45, 2.3, -0.1, -0.55),
}
POINTS = 64  # of a rim


@dataclass(frozen=True, kw_only=True)
class Style:
    """One pair. Attributes: lens shape, cm; radius of the rim, cm, and of the temples; metal: with nose pads; rim: "full", "half", "none".

    colour: [3] of the frame, linear. tint: [3] of the lenses; dark: their opacity above and below.
    """

    shape: tuple[float, float, float, float, float]
    radius: float
    metal: bool
    rim: str
    colour: Tensor
    tint: Tensor
    dark: tuple[float, float]


def draw_style(draws: Draws, sun: bool) -> Style:
    """A pair as shops sell them."""
    weights = {
        "round": 1,
        "oval": 0.7,
        "panto": 1.3,
        "square": 1.6,
        "narrow": 0.7,
        "cat": 0.5,
        "aviator": 0.4,
    }
    shape = SHAPES[draws.choice({**weights, "aviator": 1.6, "narrow": 0.2} if sun else weights)]
    grown = draws.uniform(0.94, 1.06) * (1.08 if sun else 1.0)
    metal = draws.chance(0.4)
    rim = draws.choice({"full": 4, "half": 0.6, "none": 0.4}) if metal and not sun else "full"
    metals = {"gold": 1, "steel": 1, "black": 1.2}
    horns = {"black": 2, "brown": 1.2, "clear": 0.3, "blue": 0.4, "red": 0.3}
    colours = {
        "gold": (0.55, 0.36, 0.13),
        "steel": (0.35, 0.35, 0.36),
        "black": (0.012, 0.012, 0.013),
        "brown": (0.09, 0.035, 0.015),
        "clear": (0.55, 0.5, 0.45),
        "blue": (0.02, 0.04, 0.12),
        "red": (0.2, 0.015, 0.02),
    }
    tints = {"grey": 1.5, "brown": 1, "green": 0.6}
    tint = {"grey": (0.012, 0.012, 0.014), "brown": (0.035, 0.016, 0.008), "green": (0.01, 0.02, 0.012)}
    low = draws.uniform(0.72, 0.97)
    return Style(
        shape=(shape[0] * grown, shape[1] * grown, *shape[2:]),
        radius=draws.uniform(0.07, 0.1) if metal else draws.uniform(0.14, 0.27),
        metal=metal,
        rim=rim,
        colour=torch.tensor(colours[draws.choice(metals if metal else horns)]),
        tint=torch.tensor(tint[draws.choice(tints)] if sun else (0.06, 0.065, 0.07)),
        dark=(draws.uniform(0.93, 0.985), low) if sun else (0.03, 0.025),
    )


def rim_outline(style: Style, middle_x: float, middle_y: float) -> Tensor:
    """[POINTS, 2] the left lens's edge, centimetres from between the pupils, from its outer end upwards."""
    half_width, half_height, power, lift, drop = style.shape
    angle = torch.arange(POINTS) * (2 * math.pi / POINTS)
    c, s = angle.cos(), angle.sin()
    x = half_width * c.sign() * c.abs() ** (2 / power)
    y = half_height * s.sign() * s.abs() ** (2 / power)
    outer = ((x / half_width) + 1) / 2
    y = y + lift * outer.square() * (y > 0) + drop * (1 - outer) * (y < 0)
    return torch.stack([x + middle_x, y + middle_y], 1)
