"""Where hair is combed to: directions over the head that strands follow (rest coordinates, centimetres)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..shape import smoothstep
from ..streams import Draws
from .locks import Drift
from .roots import CROWN, Roots
from .vectors import unit

Comb = Callable[[Tensor, float], Tensor]


def comb(kind: str, roots: Roots, draws: Draws, part: float = 0.0, side: float = 1.0) -> Comb:
    """One of the named combs.

    Args:
        kind: "whorl" away from the crown, "part" to both sides of a line, "back", "out" away from the head, "across" to one side,
            "fringe" over the forehead, else as "part", "mop" over the forehead, else as "whorl".
        part: cm from the middle at which hair parts. side: the side that "across" combs to, 1 or -1.
    """
    drift = Drift(draws, 5.0)(roots.rest) * 0.16
    away = {
        "whorl": _whorl,
        "part": _part,
        "back": _back,
        "out": _out,
        "across": _across,
        "fringe": _fringe,
        "mop": _mop,
    }[kind]
    return lambda at, reached: away(at, roots, part, side) + drift


def _whorl(at: Tensor, roots: Roots, part: float, side: float) -> Tensor:
    """Away from the crown, and forward on top."""
    centre = at.new_tensor(CROWN)
    away = unit(at - at.new_tensor((side * centre[0], centre[1], centre[2])))
    top = smoothstep(roots.rest[:, 1], 8.0, 11.0)[:, None]
    return away + top * at.new_tensor([0.25 * side, 0.0, 0.2])


def _part(at: Tensor, roots: Roots, part: float, side: float) -> Tensor:
    """Away from a line from the front to the crown; in front swept a little back, behind the crown straight down."""
    aside = torch.where(roots.rest[:, 0] < part, -1.0, 1.0)
    front = smoothstep(roots.rest[:, 2], -5.0, 1.0)
    x = aside * front + 0.1 * roots.rest[:, 0] * (1 - front)
    y = -(1.1 - 0.75 * front)
    z = -0.5 * smoothstep(roots.rest[:, 2], 1.0, 7.0) - 0.5 * (1 - front)
    low = smoothstep(7.0 - roots.rest[:, 1], 0.0, 3.0)  # at temples and nape everything runs down and back
    return torch.stack([x * (1 - low), y - low, z - 0.5 * low], 1)


def _back(at: Tensor, roots: Roots, part: float, side: float) -> Tensor:
    """Over the top to the back, and down there."""
    behind = smoothstep(-at[:, 2], 0.0, 6.0)
    temple = smoothstep(8.0 - roots.rest[:, 1], 0.0, 5.0)
    x = 0.12 * side * (1 - behind)
    return torch.stack([x, -0.35 * temple - 1.2 * behind, -1.0 + 0.7 * behind], 1)


def _out(at: Tensor, roots: Roots, part: float, side: float) -> Tensor:
    """Away from the head's middle."""
    return at - at.new_tensor([0.0, 4.5, -0.5])


def _across(at: Tensor, roots: Roots, part: float, side: float) -> Tensor:
    """From a parting on one side over the top to the other; the short sides run down."""
    over = torch.where((roots.rest[:, 0] - part) * side > 0, side, -0.8 * side)
    top = smoothstep(roots.rest[:, 1], 6.5, 9.5)
    x = over * top
    z = 0.15 * top - 0.35 * (1 - top) - 0.3 * smoothstep(roots.rest[:, 2], 4.0, 9.0)
    behind = smoothstep(-roots.rest[:, 2], -1.0, 5.0)
    return torch.stack([x * (1 - 0.7 * behind), -(1 - top) - 0.8 * behind, z], 1)


def _fringe(at: Tensor, roots: Roots, part: float, side: float) -> Tensor:
    """In front of the crown forward and down over the forehead, elsewhere down."""
    front = smoothstep(roots.rest[:, 2], 1.0, 5.0) * smoothstep(5.6 - roots.rest[:, 0].abs(), 0.0, 1.6)
    away = _part(at, roots, part, side)
    forward = torch.stack(
        [0.15 * side - 0.02 * at[:, 0], -0.5 * torch.ones_like(front), torch.ones_like(front)], 1
    )
    return torch.lerp(away, forward, front[:, None])


def _mop(at: Tensor, roots: Roots, part: float, side: float) -> Tensor:
    """Away from the crown all around, down over the forehead in front."""
    front = smoothstep(roots.rest[:, 2], 3.0, 6.0)[:, None]
    down = torch.stack(
        [0.25 * side + 0.05 * at[:, 0], -1.2 * torch.ones(len(at)), 0.6 * torch.ones(len(at))], 1
    )
    return torch.lerp(_whorl(at, roots, part, side), down, front)
