"""Rendering that looks only where matter is: a grid of densities says where, and samples go about the first surfaces.

Instant-NGP (Mueller et al. 2022), appendix C, for the grid and its upkeep; NeRF's importance sampling (Mildenhall et al. 2020, section
5.2) on the grid's densities instead of a coarse pass. `readable` and `volume_rendering` are its twins: the same images.
"""

from __future__ import annotations

import math
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
CHUNK = 1 << 13  # rays that are rendered together
SAMPLES = 20  # per ray that meets matter


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
    ray, start, density = occupied_steps(grid, origins, directions, near, far)
    thickness = density.double() * grid.cell
    head, rank = heads_of(ray)
    behind = thickness.cumsum(0)  # optical depth at each step's end
    behind -= (behind[head] - thickness[head])[rank]
    weights = (torch.exp(thickness - behind) * -torch.expm1(-thickness)).float()
    before = torch.where(ray == ray.roll(2), behind.roll(2), 0.0)  # a cell's margin, since the grid knows no surface better
    seen = (before < -math.log(DARK)).nonzero()[:, 0]
    ray, start, weights = ray[seen], start[seen], F.max_pool1d(weights[None], 3, 1, 1)[0][seen]
    head, rank = heads_of(ray)
    steps = torch.diff(head, append=head.new_tensor([len(ray)]))
    total = weights.new_zeros(len(head)).index_add_(0, rank, weights)
    mass = (1 - EVEN) * weights / total.clamp(min=1e-9)[rank] + EVEN / steps[rank]
    mass = mass.double() / mass.new_zeros(len(head)).index_add_(0, rank, mass)[rank]  # sums to 1 for each ray
    upto = mass.cumsum(0)
    quantile = torch.arange(count, dtype=torch.float64, device=ray.device)
    if generator is not None:
        quantile = quantile + torch.rand(len(head), count, generator=generator, device=generator.device).to(mass) - 0.5
    quantile = (quantile / (count - 1)).clamp(0, 1).expand(len(head), count)
    place = quantile + torch.arange(len(head), device=ray.device)[:, None]
    step = torch.searchsorted(upto, place, right=True)
    step = torch.minimum(torch.maximum(step, head[:, None]), (head + steps - 1)[:, None])
    share = ((place - upto[step]) / mass[step] + 1).clamp(0, 1).float()
    along = (step - head[:, None] + share) * grid.cell
    return Samples(ray[head], start[step] + share * grid.cell, along)


def heads_of(ray: Tensor) -> tuple[Tensor, Tensor]:
    """For sorted ray numbers [M]: where each ray begins [H], and of which of the H rays each entry is [M]."""
    first = torch.ones_like(ray, dtype=torch.bool)
    first[1:] = ray[1:] != ray[:-1]
    return first.nonzero()[:, 0], first.cumsum(0) - 1


def occupied_steps(grid: OccupancyGrid, origins: Tensor, directions: Tensor, near: Tensor, far: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Steps of one cell's length along rays [R, 3] whose middles lie in occupied cells.

    Returns:
        [M] each, sorted: the step's ray, the distance at which it begins, its cell's density.
    """
    enter, leave = slab(grid.low, grid.high, origins, directions)
    near, far = torch.maximum(near, enter), torch.minimum(far, leave)
    alive = (far > near).nonzero()[:, 0]
    parts = [_steps_of(grid, part, origins[part], directions[part], near[part], far[part]) for part in alive.split(BLOCK)]
    if not parts:
        return alive, near[alive], near[alive]
    return tuple(torch.cat(x) for x in zip(*parts, strict=True))


def _steps_of(
    grid: OccupancyGrid, number: Tensor, origins: Tensor, directions: Tensor, near: Tensor, far: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """`occupied_steps` of some rays that have these numbers."""
    n, cell = len(grid.density), grid.cell
    count = int(((far - near).amax() / cell).ceil())
    middle = torch.arange(count, dtype=near.dtype, device=near.device) + 0.5
    begin = (origins + near[:, None] * directions) / cell + n / 2
    index = None
    for axis in range(3):
        place = torch.addcmul(begin[:, axis, None], directions[:, axis, None], middle).int().clamp_(0, n - 1)
        index = place if index is None else index.mul_(n).add_(place)
    density = grid.guide[index]
    density.masked_fill_(middle * cell > (far - near)[:, None], -1)
    ray, step = (density >= 0).nonzero(as_tuple=True)
    return number[ray], near[ray] + step * cell, density[ray, step]


def slab(low: Tensor, high: Tensor, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    """Where rays [R, 3] enter and leave the box from low to high [3]; they leave before they enter where they miss it."""
    safe = torch.where(directions.abs() < 1e-9, 1e-9, directions)
    a, b = (low - origins) / safe, (high - origins) / safe
    return torch.minimum(a, b).amax(-1).clamp(min=0), torch.maximum(a, b).amin(-1)


def render_rays_fast(
    field: Field,
    grid: OccupancyGrid,
    origins: Tensor,
    directions: Tensor,
    config: RenderConfig,
    *,
    samples: int = SAMPLES,
    generator: torch.Generator | None = None,
) -> RayRendering:
    """What rays see, as `volume_rendering.render_rays`, with gradient to the field, at a fraction of the samples.

    Matter outside the box, which the family's constant decoder may put there, is not seen.

    Args:
        grid: of this field. origins, directions: [1, R, 3] for one head. config: of it, coarse, fine and disparity do not matter here.
        samples: per ray that meets matter. generator: jitters them; None for the same samples each time.

    Returns:
        As `render_rays`; the depth of empty rays is the farthest at which one leaves the box.
    """
    if len(origins) != 1:
        raise ValueError(f"render_rays_fast: expected rays [1, R, 3] of the one head that the grid is of, got {list(origins.shape)}")
    field = prepare(field)
    near, far = box_range(origins[0].detach(), directions[0].detach(), field.config.box_side)
    if config.near is not None:
        near, far = near.clamp(min=config.near), far.clamp(max=config.far)
    found = place(grid, origins[0].detach(), directions[0].detach(), near, far, samples, generator)
    some = shade(
        field, origins[:, found.ray], directions[:, found.ray], found.t[None], found.along[None], None, replace(config, white_back=False)
    )
    R = origins.shape[1]
    features = some.features.new_zeros(1, R, some.features.shape[-1]).index_copy(1, found.ray, some.features)
    opacity = some.opacity.new_zeros(1, R).index_copy(1, found.ray, some.opacity)
    depth = some.depth.new_full((1, R), torch.inf).index_copy(1, found.ray, some.depth).clamp(max=far.max().item() if R else 0)
    if config.white_back:
        features = features + (1 - opacity)[..., None]
    return RayRendering(features, depth, opacity)


def render_fast(
    field: Field,
    grid: OccupancyGrid,
    camera: Camera,
    height: int,
    width: int,
    config: RenderConfig,
    *,
    samples: int = SAMPLES,
    background: tuple[float, float, float] = (1.0, 1.0, 1.0),
    normals: bool = True,
    callback: Callable[[int, int], None] | None = None,
) -> Rendering:
    """Whole images of one field from V cameras; all as `volume_rendering.render`, with the field's grid.

    Raises:
        ValueError: camera without batch, or inside the box.
    """
    if len(camera.shape) != 1:
        raise ValueError(f"render: expected a batch of cameras [V], got batch dimensions {list(camera.shape)}; index or unsqueeze")
    check_outside(camera, field.config.box_side)
    field, config = prepare(field), replace(config, white_back=False)
    origins, directions = (x.reshape(1, -1, 3) for x in rays(camera, height, width))
    parts, total = [], origins.shape[1]
    for start in range(0, total, CHUNK):
        part = slice(start, start + CHUNK)
        parts.append(render_rays_fast(field, grid, origins[:, part], directions[:, part], config, samples=samples))
        if callback is not None:
            callback(min(part.stop, total), total)
    seen = RayRendering(*(torch.cat([getattr(x, name) for x in parts], 1) for name in ("features", "depth", "opacity")))
    seen = replace(seen, depth=torch.where(seen.opacity > 1e-6, seen.depth, 0))
    opacity = seen.opacity[..., None]
    rgb = field.rgb(seen.features, opacity)
    rgb = rgb + (1 - opacity) * torch.tensor(background, dtype=rgb.dtype, device=rgb.device)
    normal = camera_normals(field, camera, seen, height, width, config.normal_step) if normals else None
    return Rendering(*(as_images(x, height, width) for x in (rgb, seen.depth[..., None], opacity)), normal)
