"""Identity codes: a person as a network should be told of it.

Parameters are independent draws, but their effects are not simple: a hue goes around a circle, a style switches, a threshold hides
what lies below it. A code holds what can be seen: colours as colours, lengths as lengths, choices one-hot. That makes the way from
code to head, and from photo to code, nearly linear.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .anatomy import anatomy
from .head import CLOTHING_STYLES, HAIR_STYLES, PARAMETER_NAMES
from .paint import palette

PLAIN: tuple[str, ...] = tuple(
    name
    for name in PARAMETER_NAMES
    if name
    not in {
        *(
            "skin_darkness",
            "skin_warmth",
            "hair_lightness",
            "hair_warmth",
            "clothing_hue",
            "clothing_lightness",
            "clothing_pattern",
        ),
        *("hair_style", "hair_volume", "hair_length", "hair_fringe", "hair_parting", "clothing_style"),
        *(
            "glasses",
            "glasses_shape",
            "glasses_colour",
            "eyes_closed",
            "mouth_open",
            "freckles",
            "beard",
            "moustache",
        ),
        *("light_yaw", "light_pitch"),
    }
)  # told as they are
_PLAIN = [PARAMETER_NAMES.index(name) for name in PLAIN]


def _amounts(parameters: Tensor) -> list[float]:
    """One person's code without its last coordinate, each about -2 .. 2."""
    body, paint = anatomy(parameters), palette(parameters)
    colours = [
        3 * (c - middle)
        for rgb, middle in ((paint.skin, 0.6), (paint.hair, 0.35), (paint.clothing, 0.45))
        for c in rgb
    ]
    lengths = [
        (body.hair_thickness - 0.012) / 0.012,
        (body.hair_bottom + 0.05) / 0.12,
        (body.hairline - 0.095) / 0.02,
        body.parting / 0.045,
        2 * body.tail,
        2 * body.eye_open,
        2 * body.mouth_open / 0.0085,
        2 * paint.pattern,
        2 * paint.freckles,
        2 * paint.beard,
        2 * paint.moustache,
    ]
    glasses = float(body.glasses)
    lens = [
        2 * glasses,
        glasses * (body.lens[0] - 0.0285) / 0.002,
        *(3 * glasses * (c - 0.3) for c in paint.frames),
    ]
    styles = [1.5 * (body.hair_style == name) for name in HAIR_STYLES] + [
        1.5 * (body.clothing_style == name) for name in CLOTHING_STYLES
    ]
    return [*parameters[_PLAIN].tolist(), *colours, *lengths, *lens, *styles, *(1.7 * x for x in paint.light)]


CODE_DIM = len(_amounts(torch.zeros(len(PARAMETER_NAMES)))) + 1


def identity_codes(parameters: Tensor) -> Tensor:
    """Codes [B, CODE_DIM] of the heads with parameters [B, P]."""
    return lift(
        torch.tensor([_amounts(row) for row in parameters.cpu()], dtype=torch.float32).to(parameters.device)
    )


def lift(amounts: Tensor) -> Tensor:
    """[B, D] -> [B, D + 1] of mean square 1 by one more coordinate, or 0 there where it is already beyond.

    A mapping network divides by its input's norm (StyleGAN, Karras et al. 2019); so nothing is lost.
    """
    rest = (amounts.shape[1] + 1 - amounts.square().sum(1, keepdim=True)).clamp(min=1e-6).sqrt()
    return torch.cat([amounts, rest], 1)
