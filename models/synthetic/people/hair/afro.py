"""Hair that stands out all around in tight coils and ends on a round outline."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..shape import smoothstep
from ..streams import Draws
from .growth import push_out
from .locks import Drift, frames
from .roots import Roots
from .skull import Skull
from .vectors import length, unit

MIDDLE = (0.0, 4.0, -0.8)  # cm: of the outline
POINTS = 12


def afro(skull: Skull, roots: Roots, size: float, draws: Draws) -> tuple[Tensor, Tensor]:
    """Strands [N, K, 3] in rest coordinates, and the index [N] of a lock for each.

    Args:
        roots: N, over the scalp. size: centimetres from the top of the head to the outline.
    """
    middle = torch.tensor(MIDDLE)
    away = unit(roots.rest - middle)
    way = unit(
        away
        + 0.35 * roots.normal
        + 0.16 * torch.from_numpy(draws.generator.standard_normal((len(roots), 3))).float()
    )
    outline = 9.6 + size + 0.25 * Drift(draws, 2.5, 1)(roots.rest)[:, 0]
    room = (outline - length(roots.rest - middle)).clamp_min(0.6) / (way * away).sum(1).clamp_min(0.5)
    edge = 0.3 + 0.7 * smoothstep(roots.density, 0.35, 1.0)  # shorter where hair begins
    low = smoothstep(roots.rest[:, 1], -6.0, 5.0)
    reach = (room.clamp_max(1.5 * size)) * edge * (0.45 + 0.55 * low) * (1 - 0.3 * roots.chance**2)
    along = torch.linspace(0, 1, POINTS)[None]
    strands = roots.rest[:, None] + (reach[:, None] * along)[..., None] * way[:, None]
    strands = _coiled(strands, way, reach, draws)
    return push_out(skull, strands), torch.arange(len(roots)) // 8


def _coiled(strands: Tensor, way: Tensor, reach: Tensor, draws: Draws) -> Tensor:
    """Strands wound about their direction way [N, 3], tighter than they can be drawn; reach [N] cm."""
    aside, out = frames(strands, torch.tensor([0.3, 0.5, 0.8]).expand(len(way), 1, 3))
    phase = torch.from_numpy(draws.generator.uniform(0, 2 * math.pi, (len(way), 1))).float()
    turns = torch.from_numpy(draws.generator.uniform(0.8, 1.3, (len(way), 1))).float() * 1.9
    angle = phase + turns * torch.arange(POINTS)[None]
    wide = (0.10 + 0.035 * reach)[:, None] * (torch.arange(POINTS) / 2.0).clamp_max(1.0)
    offset = angle.cos()[..., None] * aside + (1.3 * angle + phase).sin()[..., None] * out
    return strands + wide[..., None] * offset
