"""What a synthetic person is: a vector of independent numbers in [-1, 1], drawn from a seed."""

from __future__ import annotations

import torch
from torch import Tensor

PARAMETER_NAMES: tuple[str, ...] = (
    "skull_width",
    "skull_height",
    "skull_depth",
    "jaw_width",
    "chin",
    "cheeks",
    "brow_ridge",
    "nose_length",
    "nose_width",
    "nose_bridge",
    "lip_thickness",
    "lip_width",
    "smile",
    "eye_size",
    "eye_spacing",
    "eye_colour",
    "ear_size",
    "skin_darkness",
    "skin_warmth",
    "hair_lightness",
    "hair_warmth",
    "hair_volume",
    "hair_length",
    "hair_fringe",
    "hair_parting",
    "eyebrow_thickness",
    "beard",
    "neck_width",
    "shoulder_width",
    "clothing_hue",
    "clothing_lightness",
)

_WORD = (1 << 64) - 1


def sample_parameters(seed: int) -> Tensor:
    """The person of one seed: [P] float32, each an independent uniform draw from [-1, 1], bit-equal on every machine.

    Parameter i is the i-th output of SplitMix64 (Steele, Lea, Flood 2014) started at a hash of the seed; its top 24 bits
    become a float32 without rounding.
    """
    if seed < 0:
        raise ValueError(f"sample_parameters: expected a seed of 0 or more, got {seed}; see splits.py for the ranges")
    state = _mix(seed & _WORD)
    draws = []
    for _ in PARAMETER_NAMES:
        state = (state + 0x9E3779B97F4A7C15) & _WORD
        draws.append((_mix(state) >> 40) / (1 << 23) - 1.0)
    return torch.tensor(draws, dtype=torch.float32)


def mean_parameters() -> Tensor:
    """The average person: [P] zeros."""
    return torch.zeros(len(PARAMETER_NAMES))


def _mix(word: int) -> int:
    """SplitMix64's finaliser on a 64-bit word."""
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _WORD
    return word ^ (word >> 31)
