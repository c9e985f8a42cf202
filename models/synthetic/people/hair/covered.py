"""Hair and what is worn: strands lie on shoulders and clothes, and are pressed down or tucked away under hats and scarves."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..parts import Hair
from .vectors import dot, length, unit

CELL = 0.012  # scene units: of the maps of a body's front and back
SPAN, ROWS = (-0.46, 0.46), (-0.42, 0.02)  # scene units: what they show, across and up
REST = 0.004  # scene units that hair lies over cloth
AZIMUTHS, ELEVATIONS = 96, 48  # cells of a map of all directions
UNDER = 0.0035  # scene units that hair lies below a hat
EASED = 0.7  # share of what a hat presses down that is left at the next point beyond its rim


def lie_on(hair: Hair, points: Tensor) -> Hair:
    """Hair that lies on a torso and its clothes instead of in them.

    Args:
        points: [..., 3] scene units, of the torso's outside, about a centimetre apart.
    """
    front, back = _sides(points.reshape(-1, 3))
    strands = hair.strands
    x, y, z = strands.unbind(-1)
    place = torch.stack([_across(x, SPAN), _across(y, ROWS)], -1).view(1, 1, -1, 2)
    both = F.grid_sample(torch.stack([front, back])[None], place, padding_mode="border", align_corners=True)
    near, far = both[0, :, 0].view(2, *x.shape)
    inside = (near > far) & (z < near + REST) & (z > far - REST)
    depth = torch.where(inside, torch.minimum(near - z, z - far), torch.zeros_like(z))
    chest = ((z - (near + far) / 2) * inside).sum(1, keepdim=True) + 0.01 * (strands[:, -1:, 2] + 0.02) > 0
    moved = torch.where(chest, near + REST, far - REST)
    # all of a strand below where it dives in goes to the same side, in a curve rather than at once
    share = (depth / 0.02).clamp(0, 1).cummax(1).values
    return replace(hair, strands=torch.stack([x, y, torch.lerp(z, moved, share * inside)], -1))


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


def _sides(points: Tensor) -> tuple[Tensor, Tensor]:
    """Where a torso's front and back lie: z [H, W]; front < back where it has neither."""
    columns, rows = (round((high - low) / CELL) + 1 for low, high in (SPAN, ROWS))
    column = ((points[:, 0] - SPAN[0]) / CELL).round().long()
    row = ((points[:, 1] - ROWS[0]) / CELL).round().long()
    kept = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
    index = (row * columns + column)[kept]
    z = points[kept, 2]
    front = torch.full((rows * columns,), -1.0).scatter_reduce_(0, index, z, "amax").view(1, 1, rows, columns)
    back = torch.full((rows * columns,), 1.0).scatter_reduce_(0, index, z, "amin").view(1, 1, rows, columns)
    # gaps between points take the value of their neighbours
    front = torch.where(front > -1, front, F.max_pool2d(front, 3, 1, 1))
    back = torch.where(back < 1, back, -F.max_pool2d(-back, 3, 1, 1))
    return front[0, 0], back[0, 0]


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
