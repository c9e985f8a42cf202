"""Hair and what is worn: strands lie on shoulders and clothes. What hats do to hair is theirs: `wear`."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..parts import Hair

CELL = 0.012  # scene units: of the maps of a body's front and back
SPAN, ROWS = (-0.46, 0.46), (-0.42, -0.09)  # scene units: what they show, across and up: glasses are no torso
NOWHERE = -9.0
REST = 0.004  # scene units that hair lies over cloth


def lie_on(hair: Hair, points: Tensor) -> Hair:
    """Hair that lies on a torso and its clothes instead of in them.

    Args:
        points: [..., 3] scene units, of the torso's outside, about a centimetre apart.
    """
    sides = _sides(points.reshape(-1, 3))
    strands = hair.strands
    x, y, z = strands.unbind(-1)
    place = torch.stack([_across(x, SPAN), _across(y, ROWS)], -1).view(1, 1, -1, 2)
    sampled = F.grid_sample(sides, place, align_corners=True)  # 0 beyond the map: no torso there
    near, far, there = sampled[0, :, 0].view(3, *x.shape)
    inside = (there > 0.6) & (z < near + REST) & (z > far - REST)
    chest = ((z - (near + far) / 2) * inside).sum(1, keepdim=True) + 0.01 * (strands[:, -1:, 2] + 0.02) > 0
    outside = torch.where(chest, near + REST, far - REST)
    move = torch.where(inside, outside - z, torch.zeros_like(z))
    eased = F.avg_pool1d(F.pad(move[:, None], (2, 2), mode="replicate"), 5, 1)[
        :, 0
    ]  # strands bend, they do not jump
    bent = z + eased
    least = torch.where(chest, torch.maximum(bent, outside), torch.minimum(bent, outside))
    return replace(hair, strands=torch.stack([x, y, torch.where(inside, least, bent)], -1))


def _across(values: Tensor, span: tuple[float, float]) -> Tensor:
    """From scene units to -1..1 over a map's span."""
    return (values - span[0]) / (span[1] - span[0]) * 2 - 1


def _sides(points: Tensor) -> Tensor:
    """[1, 3, H, W]: z of a torso's front and back, and 1 where it has any; points [P, 3]."""
    columns, rows = (round((high - low) / CELL) + 1 for low, high in (SPAN, ROWS))
    column = ((points[:, 0] - SPAN[0]) / CELL).round().long()
    row = ((points[:, 1] - ROWS[0]) / CELL).round().long()
    kept = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
    index = (row * columns + column)[kept]
    z = points[kept, 2].repeat(2) * torch.tensor([1.0, -1.0]).repeat_interleave(int(kept.sum()))
    flat = torch.cat([index, index + rows * columns])
    out = (
        torch.full((2 * rows * columns,), NOWHERE)
        .scatter_reduce_(0, flat, z, "amax")
        .view(1, 2, rows, columns)
    )
    there = F.max_pool2d((out[:, :1] > NOWHERE).float(), 3, 1, 1)  # points may miss a cell
    for _ in range(3):
        out = torch.where(out > NOWHERE, out, F.max_pool2d(out, 3, 1, 1))
    out = out.clamp_min(-0.5)
    return torch.cat([out[:, :1], -out[:, 1:], there], 1)
