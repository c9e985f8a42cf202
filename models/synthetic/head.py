"""What a synthetic person is: a vector of independent numbers in [-1, 1], drawn from a seed."""

from __future__ import annotations

import math

import torch
from torch import Tensor

HAIR_STYLES = ("bald", "cropped", "curly", "parted", "long", "tied")
CLOTHING_STYLES = ("crew", "v_neck", "shirt", "jacket")

PARAMETER_NAMES: tuple[str, ...] = (
    # skull and face
    "skull_width",
    "skull_height",
    "skull_depth",
    "forehead",
    "jaw_width",
    "jaw_height",
    "chin",
    "chin_width",
    "cheekbones",
    "cheeks",
    "brow_ridge",
    "nose_length",
    "nose_width",
    "nose_bridge",
    "nose_tip",
    "lip_thickness",
    "lip_ratio",
    "lip_width",
    "eye_size",
    "eye_spacing",
    "eye_tilt",
    "socket_depth",
    "eyelid",
    "ear_size",
    "ear_angle",
    "neck_width",
    "shoulder_width",
    "shoulder_slope",
    # skin, eyes, brows, beard
    "skin_darkness",
    "skin_warmth",
    "skin_mottle",
    "freckles",
    "flush",
    "lip_redness",
    "eye_colour",
    "eyebrow_thickness",
    "eyebrow_arch",
    "beard",
    "moustache",
    # hair
    "hair_style",
    "hair_lightness",
    "hair_warmth",
    "hair_volume",
    "hair_length",
    "hair_fringe",
    "hair_parting",
    # clothing and glasses
    "clothing_style",
    "clothing_hue",
    "clothing_lightness",
    "clothing_pattern",
    "glasses",
    "glasses_shape",
    "glasses_colour",
    # expression
    "smile",
    "mouth_open",
    "brow_raise",
    "eyes_closed",
    # light
    "light_yaw",
    "light_pitch",
    "light_contrast",
    "light_warmth",
)

_WORD = (1 << 64) - 1


def sample_parameters(seed: int) -> Tensor:
    """The person of one seed: [P] float32, each an independent uniform draw from [-1, 1], bit-equal on every machine.

    Parameter i is the i-th output of SplitMix64 (Steele, Lea, Flood 2014) started at a hash of the seed; its top 24 bits
    become a float32 without rounding.

    Raises:
        ValueError: a negative seed.
    """
    if seed < 0:
        raise ValueError(
            f"sample_parameters: expected a seed of 0 or more, got {seed}; see splits.py for the ranges"
        )
    state = _mix(seed & _WORD)
    draws = []
    for _ in PARAMETER_NAMES:
        state = (state + 0x9E3779B97F4A7C15) & _WORD
        draws.append((_mix(state) >> 40) / (1 << 23) - 1.0)
    return torch.tensor(draws, dtype=torch.float32)


def mean_parameters() -> Tensor:
    """The average person: [P] zeros."""
    return torch.zeros(len(PARAMETER_NAMES))


def choice(value: float, count: int) -> int:
    """Which of `count` equal parts of [-1, 1] a value lies in."""
    return min(int((value + 1) / 2 * count), count - 1)


def radians_of(value: float, low_degrees: float, high_degrees: float) -> float:
    """A value in [-1, 1] as an angle in radians."""
    return math.radians(low_degrees + (high_degrees - low_degrees) * (value + 1) / 2)


def _mix(word: int) -> int:
    """SplitMix64's finaliser on a 64-bit word."""
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _WORD
    return word ^ (word >> 31)
