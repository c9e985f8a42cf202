"""Hair as a cloud: how dense it is everywhere, which way its surface looks, and how much light gets through to a strand."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..harmonics import open_transfer
from ..light import Lamp, Light
from ..parts import Hair
from .vectors import length, unit

CELL = 0.0125  # scene units
LOW, HIGH = (-0.4, -0.425, -0.4), (0.4, 0.325, 0.4)
SKY_REACH, SKY_DIMMING = (
    0.012,
    0.020,
)  # scene units: where above a strand the cloud counts, and how thick it counts
LAMP_STEPS = (0.012, 0.024, 0.036, 0.052, 0.072, 0.1, 0.14, 0.19, 0.25)  # scene units towards a lamp
DIMMING = 0.45  # share of the light on a strand that does not go on
KNOTS = 5  # points of a strand whose light is found; others lie between


def cloud(points: Tensor, weights: Tensor) -> Tensor:
    """[1, 1, Z, Y, X] weight per volume, scene units.

    Args:
        points: [P, 3] scene units. weights: [P].
    """
    low, size = points.new_tensor(LOW), _cells()
    index = ((points - low) / CELL).round().long()
    inside = ((index >= 0) & (index < index.new_tensor(size))).all(1)
    x, y, z = index[inside].unbind(1)
    flat = (z * size[1] + y) * size[0] + x
    grid = torch.zeros(size[0] * size[1] * size[2]).index_add_(0, flat, weights[inside] / CELL**3)
    return grid.view(1, 1, size[2], size[1], size[0])


def hair_cloud(pieces: list[Hair]) -> Tensor:
    """[1, 1, Z, Y, X]: area of strands per volume, 1 / scene units: what a ray meets per length."""
    points, weights = [], []
    for piece in pieces:
        middles = (piece.strands[:, 1:] + piece.strands[:, :-1]) / 2
        lengths = length(piece.strands[:, 1:] - piece.strands[:, :-1])
        points.append(middles.flatten(0, 1))
        weights.append((lengths * piece.width[:, None]).flatten())
    return _soft(cloud(torch.cat(points), torch.cat(weights)))


def surface_normals(grid: Tensor, strands: Tensor, outward: Tensor) -> Tensor:
    """[N, K, 3] unit: away from where hair is dense, leaning on a given direction where it is even.

    Args:
        grid: as of `hair_cloud`. strands, outward: [N, K, 3] scene units; unit directions.
    """
    wide = _soft(_soft(grid))[0, 0]
    slope = torch.stack(torch.gradient(wide, spacing=CELL, dim=(2, 1, 0)))[None]
    downhill = -_at(slope, strands)
    steepness = length(downhill)[..., None]
    share = steepness / (steepness + 1500.0)
    return unit(unit(downhill) * share + outward * (1.15 - share))


def solid_cloud(points: Tensor) -> Tensor:
    """[1, 1, Z, Y, X]: what surfaces block per length, 1 / scene units.

    Args:
        points: [P, 3] of surfaces, scene units, closer than `CELL`.
    """
    return _soft(cloud(points, torch.full((len(points),), CELL**3)).clamp_max(1.0)) * (2.5 / CELL)


def strand_light(piece: Hair, hair: Tensor, block: Tensor, light: Light) -> tuple[Tensor, Tensor]:
    """Light at the points of every strand.

    Args:
        piece: the hair asked about. hair: as of `hair_cloud`, of all pieces. block: as of `solid_cloud`.

    Returns:
        irradiance over pi of the sky [N, K, 3], and visibility of each lamp [N, K, L].
    """
    count = piece.strands.shape[1]
    knots = torch.linspace(0, count - 1, min(KNOTS, count)).round().long()
    points, normals = piece.strands[:, knots], piece.normals[:, knots]
    above = _at(hair, points + SKY_REACH * normals)[..., 0]
    beyond = _at(hair, points + 2.5 * SKY_REACH * normals)[..., 0]
    openness = torch.exp(-SKY_DIMMING * DIMMING * (above + 1.5 * beyond))
    sky = (open_transfer(normals) @ light.sky).clamp_min(0) * openness[..., None]
    lamps = torch.stack([_lamp(hair, block, points, normals, lamp) for lamp in light.lamps], -1)
    both = torch.cat([sky, lamps], -1).transpose(1, 2)
    spread = F.interpolate(both, size=count, mode="linear", align_corners=True).transpose(1, 2)
    return spread[..., :3].contiguous(), spread[..., 3:].contiguous()


def _lamp(hair: Tensor, block: Tensor, points: Tensor, normals: Tensor, lamp: Lamp) -> Tensor:
    """[N, K] share of a lamp's light that gets through hair and heads (Beer's law)."""
    thickness = torch.zeros(points.shape[:-1])
    raised = points + 0.008 * normals
    behind = 0.0
    for place in LAMP_STEPS:
        at = raised + place * lamp.direction
        met = DIMMING * _at(hair, at) + (_at(block, at) if place > 0.02 else 0.0)
        thickness += met[..., 0] * (place - behind)
        behind = place
    return torch.exp(-thickness)


def _cells() -> tuple[int, int, int]:
    x, y, z = (math.floor((high - low) / CELL + 0.5) + 1 for low, high in zip(LOW, HIGH, strict=True))
    return x, y, z


def _soft(grid: Tensor) -> Tensor:
    """A grid [1, C, Z, Y, X] averaged over neighbours."""
    return F.avg_pool3d(grid, 3, 1, 1)


def _at(grid: Tensor, points: Tensor) -> Tensor:
    """[..., C] of a grid [1, C, Z, Y, X] at points [..., 3] scene units."""
    low, high = points.new_tensor(LOW), points.new_tensor(HIGH)
    place = ((points - low) / (high - low) * 2 - 1).reshape(1, 1, 1, -1, 3)
    sampled = F.grid_sample(grid, place, padding_mode="border", align_corners=True)
    return sampled[0, :, 0, 0].T.reshape(*points.shape[:-1], -1)
