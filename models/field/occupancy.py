"""Rendering that looks only where matter is: a grid of raw densities says where, and stands in for all other places.

Instant-NGP (Mueller et al. 2022), appendix C, for the grid and its upkeep. The samples are those of `volume_rendering`, so that the
images are, too; but only those in occupied cells that light still reaches are looked up, and rays without any are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .prepared import prepare
from .volume_rendering import (
    Draws,
    Field,
    RayRendering,
    RenderConfig,
    at_ends,
    box_range,
    coarse_samples,
    cut,
    importance_samples,
    interval_weights,
    middle_draws,
    sum_over_rays,
    summed,
)

SEEN = 1e-5  # opacity over one cell above which it is looked into
DARK = 1e-4  # transmittance under which nothing is looked at
CHUNK = 1 << 12  # rays that are rendered together


@dataclass(frozen=True)
class OccupancyGrid:
    """Where a field has matter, in n cells along each axis: those of the box, and one on either side that stands for all beyond.

    Attributes:
        raw: [n^3] over x, y, z, the last fastest: raw density at the cells' centres; what is not looked up is taken from here.
        density: [n^3] per scene unit, at the centres; may lag behind, see `refresh`.
        solid: bool [n^3], cells of the box with matter, and their neighbours.
        occupied: bool [n^3], cells that are looked into: those, and all beyond the box with the haze that decoders leave there.
        low, high: [3] scene units, the corners of the box around all of these; high below low where there are none.
        cell: scene units along a cell's side. resolution: n.
    """

    raw: Tensor
    density: Tensor
    solid: Tensor
    occupied: Tensor
    low: Tensor
    high: Tensor
    cell: float
    resolution: int


@torch.no_grad()
def build(field: Field, resolution: int = 64, *, config: RenderConfig | None = None) -> OccupancyGrid:
    """The grid of one head's field.

    Args:
        resolution: cells along each side of the box. config: what is not to be seen, as when rendering.
    """
    cell = field.config.box_side / resolution
    field = prepare(field)
    raw = raw_at(field, centres(resolution + 2, cell, field), config)
    return grid_of(raw, field.activate(raw), cell)


@torch.no_grad()
def refresh(
    grid: OccupancyGrid,
    field: Field,
    *,
    generator: torch.Generator,
    share: float = 0.1,
    decay: float = 0.5,
    config: RenderConfig | None = None,
) -> OccupancyGrid:
    """The grid of a field that has moved a little: what is looked into and a random share of the rest are looked at again.

    For optimisations, once every few steps: a surface may move by one cell in between, and matter that comes up elsewhere is found
    after 1 / share calls or so.

    Args:
        decay: a cell's density falls to no less than this share of what it was.
    """
    field = prepare(field)
    pick = grid.occupied | (torch.rand(len(grid.raw), generator=generator) < share).to(grid.occupied.device)
    pick = pick.nonzero()[:, 0]
    raw, density = grid.raw.clone(), grid.density.clone()
    raw[pick] = raw_at(field, centres(grid.resolution, grid.cell, field)[pick], config)
    density[pick] = torch.maximum(field.activate(raw[pick]), density[pick] * decay)
    return grid_of(raw, density, grid.cell)


def centres(n: int, cell: float, field: Field) -> Tensor:
    """[n^3, 3] scene units, of all cells; beyond the box far outside, where the planes along that axis are sure to be read as zero."""
    axis = (torch.arange(n, device=field.device) + 0.5 - n / 2) * cell
    axis[[0, -1]] *= 2
    return torch.cartesian_prod(axis, axis, axis)


def raw_at(field: Field, points: Tensor, config: RenderConfig | None = None) -> Tensor:
    """Raw densities [N] at points [N, 3], float32, without gradient; with what is not to be seen emptied."""
    with torch.no_grad():
        return cut(field.raw_density(points[None]), points[None], field, config or RenderConfig())[0].float()


def grid_of(raw: Tensor, density: Tensor, cell: float) -> OccupancyGrid:
    """The grid around raw and other densities [n^3]; cells beside those with matter count, too, so that thin parts survive."""
    n = round(len(raw) ** (1 / 3))
    matter = (-torch.expm1(-density * cell) > SEEN).view(n, n, n)
    solid = torch.zeros_like(matter)
    low, high = [], []
    inner = (slice(1, -1),) * 3
    solid[inner] = matter[inner]
    for axis in range(3):
        solid[inner] |= matter[inner].roll(1, axis) | matter[inner].roll(
            -1, axis
        )  # what wraps around does no harm
    occupied = matter | solid
    for axis in range(3):
        slabs = occupied.movedim(axis, 0).flatten(1).any(1).nonzero()[:, 0]
        low.append(slabs[0] if len(slabs) else slabs.new_tensor(n))
        high.append(slabs[-1] + 1 if len(slabs) else slabs.new_tensor(0))
    low, high = ((torch.stack(x) - n / 2) * cell for x in (low, high))
    return OccupancyGrid(raw, density, solid.flatten(), occupied.flatten(), low, high, cell, n)


def meets(grid: OccupancyGrid, origins: Tensor, directions: Tensor) -> Tensor:
    """Whether rays [R, 3] meet the box around all that is occupied, bool [R] (the slab test)."""
    safe = torch.where(directions.abs() < 1e-9, 1e-9, directions)
    a, b = (grid.low - origins) / safe, (grid.high - origins) / safe
    return torch.minimum(a, b).amax(-1) < torch.maximum(a, b).amin(-1)


def cells(grid: OccupancyGrid, origins: Tensor, directions: Tensor, t: Tensor) -> Tensor:
    """The cells, int32 [R, S], at distances t [R, S] along rays [R, 3]."""
    n = grid.resolution
    begin, slope = origins / grid.cell + n / 2, directions / grid.cell
    places = (
        torch.addcmul(begin[:, axis, None], slope[:, axis, None], t).clamp_(0, n - 1).int()
        for axis in range(3)
    )
    index = next(places)
    for place in places:
        index.mul_(n).add_(place)
    return index


@dataclass(frozen=True)
class Looked:
    """One pass along rays [R, 3] through a grid.

    Attributes:
        t, raw: [R, S] distances and raw densities. worth: bool [R, S], which of them were looked up; the others are the grid's.
        features: [N, F] of those. ray: [N], theirs.
    """

    t: Tensor
    raw: Tensor
    worth: Tensor
    features: Tensor
    ray: Tensor

    def seen(self, weights: Tensor) -> Tensor:
        """What the rays saw of these samples [R, F], by the samples' weights [R, S]."""
        return sum_over_rays(self.features, weights[self.worth], self.ray, self.t.shape[:1])


def look(
    field: Field,
    grid: OccupancyGrid,
    cell: Tensor,
    worth: Tensor,
    origins: Tensor,
    directions: Tensor,
    t: Tensor,
    config: RenderConfig,
) -> Looked:
    """Raw densities and features at distances t [R, S] in the cells [R, S]: looked up where it is worth that."""
    ray = worth.nonzero()[:, 0]
    points = (origins[ray] + directions[ray] * t[worth][:, None])[None]
    raw, features = field.raw(points)
    raw = grid.raw[cell].to(t.dtype).masked_scatter(worth, cut(raw, points, field, config).to(t.dtype))
    return Looked(t, raw, worth, features[0], ray)


def beside(worth: Tensor) -> Tensor:
    """bool [R, S], with the samples before and behind: those give their intervals half of the density and of the colour."""
    wider = worth.clone()
    wider[:, 1:] |= worth[:, :-1]
    wider[:, :-1] |= worth[:, 1:]
    return wider


def dark_from(t: Tensor, weights: Tensor) -> Tensor:
    """Distance [R, 1] from which on nothing is seen, for samples t [R, S] and their intervals' weights; infinite where all is seen."""
    dark = weights.cumsum(-1) > 1 - DARK
    return torch.where(dark, t[..., 1:], torch.inf).amin(-1, keepdim=True)


def march(
    field: Field,
    grid: OccupancyGrid,
    origins: Tensor,
    directions: Tensor,
    t: Tensor,
    cell: Tensor,
    config: RenderConfig,
    u: Tensor,
) -> RayRendering:
    """Both passes along rays [R, 3] that come by matter; t, cell: [R, S] of the first pass; u: [R, fine] draws of the second."""
    first = look(field, grid, cell, beside(grid.occupied[cell]), origins, directions, t, config)
    with torch.no_grad():
        weights = interval_weights(field, first.raw, t)
        more = importance_samples(t, weights, u)
        cell = cells(grid, origins, directions, more)
        worth = grid.occupied[cell] & (more < dark_from(t, weights))
    second = look(field, grid, cell, worth, origins, directions, more, config)
    t, order = torch.cat([t, more], -1).sort(-1)
    weights = interval_weights(field, torch.cat([first.raw, second.raw], -1).gather(-1, order), t)
    ends = at_ends(weights)
    ends = torch.zeros_like(ends).scatter(-1, order, ends).split([first.t.shape[-1], more.shape[-1]], -1)
    return summed(first.seen(ends[0]) + second.seen(ends[1]), weights, t, config)


def glance(
    field: Field,
    grid: OccupancyGrid,
    origins: Tensor,
    directions: Tensor,
    t: Tensor,
    cell: Tensor,
    config: RenderConfig,
) -> RayRendering:
    """The first pass alone, from where the first of the rays [R, 3] meets something; arguments as `march`."""
    worth = beside(grid.occupied[cell])
    start = int(worth.any(0).nonzero()[0])
    t = t[:, start:]
    first = look(field, grid, cell[:, start:], worth[:, start:], origins, directions, t, config)
    weights = interval_weights(field, first.raw, t)
    return summed(first.seen(at_ends(weights)), weights, t, config)


def render_rays_fast(
    field: Field,
    grid: OccupancyGrid,
    origins: Tensor,
    directions: Tensor,
    config: RenderConfig,
    *,
    draws: Draws | None = None,
) -> RayRendering:
    """What rays see, as `volume_rendering.render_rays`, with gradient to the field, for a fraction of the look-ups.

    Unlike there, rays that miss the box, where that bounds them, see nothing.

    Args:
        grid: of this field. origins, directions: [1, R, 3] for one head. draws: None for the deterministic middle.

    Returns:
        As `render_rays`; the depth of empty rays is the farthest at which one leaves the box.

    Raises:
        ValueError: rays of several heads.
    """
    if len(origins) != 1:
        raise ValueError(
            f"render_rays_fast: expected rays [1, R, 3] of the one head that the grid is of, got {list(origins.shape)}"
        )
    field = prepare(field)
    draws = draws or middle_draws(origins, config)
    parts = []
    near, far = box_range(origins[0].detach(), directions[0].detach(), field.config.box_side)
    if config.span is not None:
        near, far = (torch.full_like(near, distance) for distance in config.span)
    for start in range(0, max(1, origins.shape[1]), CHUNK):
        part = slice(start, start + CHUNK)
        some = Draws(draws.coarse[0, part], draws.fine[0, part])
        parts.append(
            some_rays(field, grid, origins[0, part], directions[0, part], near[part], far[part], config, some)
        )
    features, depth, opacity = (
        torch.cat([getattr(x, name) for x in parts])[None] for name in ("features", "depth", "opacity")
    )
    if config.white_back:
        features = features + (1 - opacity)[..., None]
    return RayRendering(features, depth.clamp(max=far.amax().item() if len(far) else 0), opacity)


def some_rays(
    field: Field,
    grid: OccupancyGrid,
    origins: Tensor,
    directions: Tensor,
    near: Tensor,
    far: Tensor,
    config: RenderConfig,
    draws: Draws,
) -> RayRendering:
    """What rays [R, 3] see over black: those that come by matter in the box are marched, for haze beyond it a glance is enough.

    The second pass goes about matter, and leaves out the last interval, in which a ray leaves the box.
    """
    able = far > near if config.near is not None else (far > near) & meets(grid, origins, directions)
    able = able.nonzero()[:, 0]
    config = replace(config, white_back=False)
    R = len(origins)
    parts = []
    t = coarse_samples(near[able], far[able], draws.coarse[able], disparity=config.disparity)
    cell = cells(grid, origins[able], directions[able], t)
    near_matter, near_any = grid.solid[cell].any(-1), grid.occupied[cell].any(-1)
    for rays, twice in ((near_matter, config.fine > 0), (near_any & ~near_matter, False)):
        if len(some := rays.nonzero()[:, 0]):
            ray = able[some]
            rest = (origins[ray], directions[ray], t[some], cell[some], config)
            parts.append(
                (ray, march(field, grid, *rest, draws.fine[ray]) if twice else glance(field, grid, *rest))
            )
    if not parts:
        F = field.raw(origins.new_zeros(1, 1, 3))[1].shape[-1]
        return RayRendering(origins.new_zeros(R, F), origins.new_full((R,), torch.inf), origins.new_zeros(R))
    ray = torch.cat([number for number, _ in parts])
    features, depth, opacity = (
        torch.cat([getattr(rendering, name) for _, rendering in parts])
        for name in ("features", "depth", "opacity")
    )
    return RayRendering(
        features.new_zeros(R, features.shape[-1]).index_copy(0, ray, features),
        depth.new_full((R,), torch.inf).index_copy(0, ray, depth),
        opacity.new_zeros(R).index_copy(0, ray, opacity),
    )


class GridCaster:
    """Rays by `render_rays_fast`: only what the grid calls worth it is looked up. As `volume_rendering.Caster`."""

    def __init__(self, field: Field, grid: OccupancyGrid) -> None:
        self.field: Field = prepare(field)
        self.grid = grid

    def chunk(self, config: RenderConfig) -> int:
        """Rays that are cast together."""
        return CHUNK

    def __call__(self, origins: Tensor, directions: Tensor, config: RenderConfig) -> RayRendering:
        """What rays [1, R, 3] see."""
        return render_rays_fast(self.field, self.grid, origins, directions, config)
