"""Hair and what is worn: strands lie on shoulders and clothes, and are pressed down or tucked away under hats and scarves."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..parts import Hair
from .vectors import dot, length, unit

CELL = 0.012  # scene units: of the maps of a body's front and back
SPAN, ROWS = (-0.46, 0.46), (-0.42, -0.09)  # scene units: what they show, across and up: glasses are no torso
NOWHERE = -9.0
REST = 0.004  # scene units that hair lies over cloth
AZIMUTHS, ELEVATIONS = 96, 48  # cells of a map of all directions
UNDER = 0.0035  # scene units that hair lies below a hat
EASED = 0.7  # share of what a hat presses down that is left at the next point beyond its rim


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


def under_cap(hair: Hair, vertices: Tensor, faces: Tensor, middle: Tensor) -> Hair | None:
    """Hair pressed below a hat or scarf.

    Strands that begin below it are shortened where they would have to pass far through it; those that hang out at its rim stay.

    Args:
        vertices: [N, 3] scene units, of the cap. faces: [F, 3]. middle: [3] of the head, within the cap.

    Returns:
        The hair, or None where the cap leaves none to be seen.
    """
    cap = _map(vertices, faces, middle)
    away = hair.strands - middle
    radius, way = length(away), unit(away)
    limit = _looked_up(cap, way)
    covered = limit > 0
    pressed_by = torch.where(covered, (radius - limit + UNDER).clamp_min(0), torch.zeros_like(radius))
    since = (~covered).cumsum(1) * (covered.cumsum(1) > 0)
    carried = pressed_by.cummax(1).values * EASED**since  # what leaves the rim does not stand off at once
    pressed = radius - torch.where(covered, pressed_by, torch.where(since > 0, carried, 0.0))
    strands = middle + way * pressed[..., None]
    seen = ~covered.all(1)
    if not bool(seen.any()):
        return None
    return replace(
        hair,
        strands=strands[seen],
        normals=hair.normals[seen],
        width=hair.width[seen],
        colour=hair.colour[seen],
        depth=hair.depth[seen],
    )


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


def _map(vertices: Tensor, faces: Tensor, middle: Tensor) -> Tensor:
    """[1, 1, E, A]: how far out a cap reaches in every direction, 0 where there is none."""
    corners = vertices[faces] - middle
    share = torch.linspace(0, 1, 5)
    u, v = (grid.flatten() for grid in torch.meshgrid(share, share, indexing="ij"))
    kept = u + v <= 1
    weights = torch.stack([1 - u - v, u, v], 1)[kept]
    points = torch.einsum("wc,fcd->fwd", weights, corners).reshape(-1, 3)
    at = _angles(unit(points))
    column = ((at[:, 0] + 1) / 2 * AZIMUTHS).long().clamp(0, AZIMUTHS - 1)
    row = ((at[:, 1] + 1) / 2 * ELEVATIONS).long().clamp(0, ELEVATIONS - 1)
    reach = torch.zeros(ELEVATIONS * AZIMUTHS)
    reach.scatter_reduce_(0, row * AZIMUTHS + column, dot(points, points).sqrt(), "amax")
    return reach.view(1, 1, ELEVATIONS, AZIMUTHS)


def _angles(way: Tensor) -> Tensor:
    """[..., 2] azimuth and elevation of unit directions [..., 3], each from -1 to 1."""
    azimuth = torch.atan2(way[..., 0], way[..., 2]) / torch.pi
    return torch.stack([azimuth, way[..., 1].clamp(-1, 1).asin() / (torch.pi / 2)], -1)


def _looked_up(cap: Tensor, way: Tensor) -> Tensor:
    """[N, K] how far out a cap reaches along unit directions [N, K, 3]."""
    place = _angles(way).view(1, 1, -1, 2)
    sampled = F.grid_sample(cap, place, mode="nearest", padding_mode="border", align_corners=False)
    return sampled.view(way.shape[:-1])
