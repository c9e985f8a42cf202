"""Rendering that looks only where matter is: a grid of densities says where, and samples go about the first surfaces.

Instant-NGP (Mueller et al. 2022), appendix C, for the grid and its upkeep; NeRF's importance sampling (Mildenhall et al. 2020, section
5.2) on the grid's densities instead of a coarse pass. `readable` and `volume_rendering` are its twins: the same images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..camera import Camera, rays
from .prepared import PreparedField, prepare
from .volume_rendering import (
    Field,
    RayRendering,
    RenderConfig,
    Rendering,
    as_images,
    box_range,
    camera_normals,
    check_outside,
    cut,
    shade,
)

SOLID_ENOUGH = 1e-3  # opacity over one cell above which it is looked into
DARK = 1e-3  # transmittance under which nothing behind is looked at
EVEN = 0.3  # share of a ray's samples that is spread evenly over its occupied cells, since the grid is coarse
BLOCK = 1 << 11  # rays that are led through the grid together


@dataclass(frozen=True)
class OccupancyGrid:
    """Where a field has matter.

    Attributes:
        density: [n, n, n] over x, y, z: per scene unit, at the cells' centres.
        guide: [n * n * n], the density in cells that are looked into, -1 in the others.
        low, high: [3] scene units, the corners of the box around all cells that are looked into; equal where there are none.
        box_side: scene units.
    """

    density: Tensor
    guide: Tensor
    low: Tensor
    high: Tensor
    box_side: float

    @property
    def cell(self) -> float:
        """Scene units along a cell's side."""
        return self.box_side / len(self.density)

    @property
    def occupied(self) -> Tensor:
        """Whether cells are looked into, bool [n, n, n]."""
        return (self.guide >= 0).view(self.density.shape)


@torch.no_grad()
def build(field: Field, resolution: int = 128, *, config: RenderConfig | None = None) -> OccupancyGrid:
    """The grid of one head's field: its density at the centres of all cells.

    Args:
        resolution: cells along each side of the box. config: what is not to be seen, as when rendering.
    """
    field, config = prepare(field), config or RenderConfig()
    axis = centres(resolution, field)
    square = torch.cartesian_prod(axis, axis)
    slabs = [densities(field, torch.cat([x.expand(len(square), 1), square], 1), config) for x in axis]
    return grid_of(torch.stack(slabs).view(resolution, resolution, resolution), field.config.box_side)


@torch.no_grad()
def refresh(
    grid: OccupancyGrid, field: Field, *, generator: torch.Generator, share: float = 0.1, decay: float = 0.0, config: RenderConfig | None = None
) -> OccupancyGrid:
    """The grid of a field that has moved a little: what is looked into and a random share of the rest are looked at again.

    For optimisations, once every few steps: a surface may move by one cell in between, and matter in the dark is found after 1 / share
    calls or so.

    Args:
        decay: of its old density a cell keeps at least this share, for fields that flicker; 0 to forget at once.
    """
    field, occupied = prepare(field), grid.guide >= 0
    pick = occupied | (torch.rand(len(grid.guide), generator=generator) < share).to(occupied.device)
    pick = pick.nonzero()[:, 0]
    n, density = len(grid.density), grid.density.flatten().clone()
    axis = centres(n, field).to(density)
    points = axis[torch.stack([pick // n**2, pick // n % n, pick % n], -1)]
    density[pick] = torch.maximum(densities(field, points, config or RenderConfig()), density[pick] * decay)
    return grid_of(density.view_as(grid.density), grid.box_side)


def centres(resolution: int, field: Field) -> Tensor:
    """[n] scene units, of the cells along one axis."""
    device = field.planes.device if isinstance(field, PreparedField) else None
    return ((torch.arange(resolution, device=device) + 0.5) / resolution - 0.5) * field.config.box_side


def densities(field: Field, points: Tensor, config: RenderConfig) -> Tensor:
    """[N] >= 0 per scene unit at points [N, 3], float32, with what is not to be seen emptied."""
    raw = field.raw_density(points[None]) if isinstance(field, PreparedField) else field.raw(points[None])[0]
    return field.activate(cut(raw, points[None], field, config))[0].float()


def grid_of(density: Tensor, box_side: float) -> OccupancyGrid:
    """The grid around densities [n, n, n]: cells with matter, and those beside them, so that thin parts survive."""
    n = len(density)
    occupied = -torch.expm1(-density * (box_side / n)) > SOLID_ENOUGH
    for axis in range(3):
        a, b = occupied.narrow(axis, 1, n - 1), occupied.narrow(axis, 0, n - 1)
        grown = occupied.clone()
        grown.narrow(axis, 0, n - 1).logical_or_(a)
        grown.narrow(axis, 1, n - 1).logical_or_(b)
        occupied = grown
    low, high = [], []
    for axis in range(3):
        filled = occupied.movedim(axis, 0).flatten(1).any(1).nonzero()[:, 0]
        low.append(filled[0] if len(filled) else filled.new_zeros(()))
        high.append(filled[-1] + 1 if len(filled) else filled.new_zeros(()))
    low, high = (torch.stack(x) / n - 0.5 for x in (low, high))
    guide = torch.where(occupied, density, -1.0).flatten()
    return OccupancyGrid(density, guide, low * box_side, high * box_side, box_side)


@dataclass(frozen=True)
class Samples:
    """Where H rays that meet matter are looked at.

    Attributes:
        ray: [H], which rays they are. t: [H, S] distances, increasing.
        along: [H, S] the same without the gaps between occupied cells: nothing fills those.
    """

    ray: Tensor
    t: Tensor
    along: Tensor


@torch.no_grad()
def place(
    grid: OccupancyGrid, origins: Tensor, directions: Tensor, near: Tensor, far: Tensor, count: int, generator: torch.Generator | None
) -> Samples:
    """`count` samples per ray in occupied cells, most where the grid's densities say that the ray is stopped.

    Args:
        origins, directions: [R, 3]. near, far: [R]. generator: moves each sample by up to half a step; None for the middle.
    """
    ray, step, thickness = occupied_steps(grid, origins, directions, near, far)
    first = F.pad(ray[1:] != ray[:-1], (1, 0), value=True)
    rank = first.cumsum(0) - 1  # which of the H rays
    heads = first.nonzero()[:, 0]
    depth = thickness.double().cumsum(0)
    depth -= (depth[heads] - thickness[heads])[rank]  # optical, behind each step
    weights = torch.exp(-(depth - thickness)) * -torch.expm1(-thickness)
