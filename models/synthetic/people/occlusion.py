"""What stands in the light's way: shadows of lamps, and how much of the sky every vertex sees.

Both are told per vertex, once a person: a head's vertices are a pixel apart at 256 pixels. Occluders are clouds of points, splatted
into a depth map across each direction; that needs no rasteriser, takes strands of hair as they are, and is as soft as its cells.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .harmonics import basis, open_transfer
from .light import Lamp

HALF = 0.5  # scene units: what a depth map shows to either side of the origin
SKY_DIRECTIONS, SKY_CELLS = 40, 88
LAMP_CELLS, LAMP_TAPS = 224, 7
FAR = 9.0


def frame(direction: Tensor) -> Tensor:
    """[3, 3]: rows right, up and towards `direction` [3], unit."""
    up = direction.new_tensor([0.0, 1.0, 0.0] if abs(float(direction[1])) < 0.95 else [1.0, 0.0, 0.0])
    right = F.normalize(torch.linalg.cross(up, direction), dim=0)
    return torch.stack([right, torch.linalg.cross(direction, right), direction])


def depth_map(points: Tensor, across: Tensor, cells: int) -> Tensor:
    """[cells, cells]: how far from the light the nearest point of each cell lies; FAR where none.

    Args:
        points: [P, 3] occluders, scene units. across: [3, 3] as of `frame`.
    """
    local = points @ across.T
    column, row = (((local[:, i] + HALF) * (cells / (2 * HALF))).long().clamp(0, cells - 1) for i in (0, 1))
    nearest = torch.full((cells * cells,), FAR)
    nearest.scatter_reduce_(0, row * cells + column, 2 - local[:, 2], "amin")
    return nearest.view(cells, cells)


def visibility(
    depths: Tensor, points: Tensor, across: Tensor, bias: float, spread: float = 0.0, taps: int = 1
) -> Tensor:
    """[P] in [0, 1]: the share of taps around each point's place in a depth map that nothing nearer covers.

    Args:
        depths: [cells, cells]. points: [P, 3] scene units, moved off their surface. across: [3, 3] as of `frame`.
        bias: scene units. spread: radius of the taps, scene units; taps: how many, on a spiral.
    """
    local = points @ across.T
    depth = 2 - local[:, 2] - bias
    seen = torch.zeros(len(points))
    for tap in range(taps):
        radius = spread * math.sqrt((tap + 0.5) / taps)
        angle = tap * 2.399963
        moved = local[:, :2] + local.new_tensor([radius * math.cos(angle), radius * math.sin(angle)])
        nearest = F.grid_sample(
            depths[None, None],
            (moved / HALF)[None, None],
            mode="nearest",
            padding_mode="border",
            align_corners=False,
        )[0, 0, 0]
        seen += depth < nearest
    return seen / taps


@dataclass(frozen=True, kw_only=True)
class Sky:
    """Depth maps across directions all over the sphere: `ways` and `frames` of each, `maps` [cells, cells]."""

    ways: tuple[Tensor, ...]
    frames: tuple[Tensor, ...]
    maps: tuple[Tensor, ...]


def sky_maps(occluders: Tensor) -> Sky:
    """Args: occluders: [P, 3], dense enough for cells of a centimetre."""
    ways = tuple(_sphere(SKY_DIRECTIONS))
    frames = tuple(frame(way) for way in ways)
    return Sky(ways=ways, frames=frames, maps=tuple(depth_map(occluders, f, SKY_CELLS) for f in frames))


def sky_transfer(points: Tensor, normals: Tensor, sky: Sky) -> Tensor:
    """[N, 9]: what of a sky's harmonics reaches each vertex, over pi: the unoccluded share less what is blocked.

    Args:
        points, normals: [N, 3] vertices. sky: of `sky_maps`.
    """
    cell = 2 * HALF / SKY_CELLS
    raised = points + normals * cell * 0.7
    transfer = open_transfer(normals)
    for way, across, depths in zip(sky.ways, sky.frames, sky.maps, strict=True):
        blocked = 1 - visibility(depths, raised, across, 0.5 * cell)
        weight = blocked * (normals @ way).clamp_min(0) * (4 / SKY_DIRECTIONS)
        transfer = transfer.addcmul(weight[:, None], basis(way)[None], value=-1)
    return transfer


def lamp_visibility(points: Tensor, normals: Tensor, occluders: Tensor, lamp: Lamp) -> Tensor:
    """[N] in [0, 1]: how much of a lamp each vertex sees; a large one from several of its points.

    Args:
        points, normals: [N, 3] vertices. occluders: [P, 3].
    """
    cell = 2 * HALF / LAMP_CELLS
    places = 1 if lamp.size < 0.04 else 3 if lamp.size < 0.14 else 5
    centre = frame(lamp.direction)
    seen = torch.zeros(len(points))
    for place in range(places):
        radius = lamp.size * math.sqrt((place + 0.5) / places) if places > 1 else 0.0
        angle = place * 2.399963
        way = F.normalize(
            centre[2] + radius * (math.cos(angle) * centre[0] + math.sin(angle) * centre[1]), dim=0
        )
        across = frame(way)
        depths = depth_map(occluders, across, LAMP_CELLS)
        spread = 1.2 * cell + 0.02 * lamp.size
        seen += visibility(depths, points + normals * cell * 1.2, across, 1.2 * cell, spread, LAMP_TAPS)
    return seen / places


def dense_points(vertices: Tensor, faces: Tensor) -> Tensor:
    """[P, 3]: vertices, and points within large faces so that a lamp's depth map has no holes.

    Args:
        vertices: [N, 3]. faces: [F, 3].
    """
    corners = vertices[faces]
    side = (corners - corners.roll(1, 1)).square().sum(-1).amax(1).sqrt()
    corners = corners[side > 1.0 * HALF / LAMP_CELLS]
    middles = corners.mean(1, keepdim=True)
    return torch.cat([vertices, middles[:, 0], ((corners + middles) / 2).flatten(0, 1)])


def sparse_points(vertices: Tensor, faces: Tensor) -> Tensor:
    """[N + F, 3]: vertices and the middles of faces, for the sky's coarse maps; vertices [N, 3], faces [F, 3]."""
    return torch.cat([vertices, vertices[faces].mean(1)])


def _sphere(count: int) -> list[Tensor]:
    """Unit directions, evenly spread over the sphere (a Fibonacci lattice)."""
    ways = []
    for i in range(count):
        height = 1 - (2 * i + 1) / count
        angle = i * math.pi * (1 + math.sqrt(5))
        radius = math.sqrt(1 - height * height)
        ways.append(torch.tensor([radius * math.cos(angle), height, radius * math.sin(angle)]))
    return ways
