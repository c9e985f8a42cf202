"""Density -> triangles: marching cubes on a grid, every vertex then moved onto the level set of the density itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .mesh import Mesh, area_vectors, corners, merge_coincident, vertex_normals

Density = Callable[[Tensor], Tensor]  # points [K, 3] -> [K]
Progress = Callable[[int, int], None]  # (points done, points in all); may raise to interrupt

SMALLEST = 8  # grid cells along the box: below this nothing of a head is left
TAIL = 0.05  # of the level: density below counts as empty space
EMPTY = math.log(TAIL / (1 + TAIL))  # insideness of empty space
NUDGE = 1e-4  # of insideness: points on the level itself would make faces without area
FIT_STEPS = 16  # resamplings tried for a target face count
CLOSE = 0.99  # of the target face count: what guesses aim at; twice as far below is near enough
ROOT_STEPS = 6  # of false position: enough for densities that grow tenfold from one grid point to the next


@dataclass(frozen=True)
class Grid:
    """Density at regular points.

    Attributes:
        values: [X, Y, Z]. origin: [3] position of values[0, 0, 0]. spacing: scene units between points.
    """

    values: Tensor
    origin: Tensor
    spacing: float

    @property
    def end(self) -> Tensor:
        """[3]: position of the last point."""
        return self.origin + (self.origin.new_tensor(self.values.shape) - 1) * self.spacing


@torch.no_grad()
def extract(
    density: Density,
    *,
    resolution: int,
    level: float,
    box_side: float = 1.0,
    floor: float | None = -0.33,
    target_faces: int | None = None,
    chunk: int = 1 << 18,
    callback: Progress | None = None,
    device: torch.device | None = None,
) -> Mesh:
    """The largest closed surface of `density >= level` inside the box and above the floor.

    Marching cubes (Lewiner et al. 2003) on a grid of `resolution` cells along the box, closed off at the box's sides and,
    in one exact plane, at y = floor. Vertices are moved along their grid edges onto the level set by false position, for
    densities are far from linear between grid points. Normals are those of the density's gradient.

    Args:
        density: points [K, 3] in scene units -> [K]; asked `chunk` points at a time, on `device`.
        box_side: scene units; the box is centred at the origin.
        floor: y of the cut, scene units; None for no cut.
        target_faces: the largest extraction that has at most so many faces (the grid is resampled coarser); None for
            the grid as it is.
        callback: called after every chunk of grid points.

    Returns:
        Mesh with vertices, faces and normals; watertight.

    Raises:
        ValueError: for settings out of range, densities that are not finite, and a level without a surface.
    """
    _check(resolution, box_side, floor, target_faces)
    low = torch.full((3,), -box_side / 2, device=device)
    if floor is not None:
        low[1] = max(floor, -box_side / 2)
    samples = sample_grid(density, low, box_side / 2, box_side / resolution, chunk=chunk, callback=callback)
    empty = _lowest(samples.values, level)

    def inside(points: Tensor) -> Tensor:
        return insideness(
            torch.cat([density(part).reshape(-1).float() for part in points.split(chunk)]), level, empty
        )

    grid = replace(samples, values=insideness(samples.values, level, empty))
    grid, mesh = (grid, marching_cubes(grid)) if target_faces is None else fit_faces(grid, target_faces)
    mesh = replace(mesh, vertices=onto_surface(inside, mesh.vertices, grid))
    return replace(mesh, normals=surface_normals(inside, mesh, grid))


def insideness(density: Tensor, level: float, empty: float) -> Tensor:
    """The logarithm of density, 0 at the level; where density falls to `empty` it flattens out at `EMPTY`, about -3.

    Densities of fields grow by orders of magnitude over a cell or two; between grid points their logarithm is far closer
    to linear. Distance fields stay nearly linear, too.

    Args:
        density: [...]. level, empty: densities, level > empty.

    Returns:
        [...].
    """
    share = (density - empty).clamp_min(0) / (level - empty)
    return torch.log((share + TAIL) / (1 + TAIL))


def _check(resolution: int, box_side: float, floor: float | None, target_faces: int | None) -> None:
    if resolution < SMALLEST:
        raise ValueError(
            f"extract: expected a resolution of at least {SMALLEST} grid cells, got {resolution}; try 128 to 256"
        )
    if not box_side > 0:
        raise ValueError(
            f"extract: expected a positive box_side in scene units, got {box_side}; a head's config names its own"
        )
    if floor is not None and floor >= box_side / 2 - box_side / resolution:
        raise ValueError(
            f"extract: the floor y = {floor} lies above the box, which ends at y = {box_side / 2}; lower the floor"
        )
    if target_faces is not None and target_faces < 1:
        raise ValueError(
            f"extract: expected at least one target face, got {target_faces}; try 20000, or leave it out"
        )


def _lowest(values: Tensor, level: float) -> float:
    """The lowest density, after making sure that the level crosses the grid's values."""
    low, high = float(values.min()), float(values.max())
    if not bool(values.isfinite().all()):
        raise ValueError(
            "extract: expected finite densities, got NaN or infinity; the head's weights or planes are broken, build it again"
        )
    if not low < level < high:
        change = "lower" if level >= high else "raise"
        raise ValueError(
            f"extract: expected a level among the densities, {low:g} to {high:g}, but there is no surface at level {level:g}; "
            f"{change} it (in Head to Mesh: surface_density) into that range"
        )
    return low


def sample_grid(
    density: Density,
    low: Tensor,
    high: float,
    spacing: float,
    *,
    chunk: int,
    callback: Progress | None = None,
) -> Grid:
    """Densities at low [3], low + spacing, ... up to `high` along every axis."""
    axes = [
        low[i] + spacing * torch.arange(int((high - float(low[i])) / spacing + 1 + 1e-4), device=low.device)
        for i in range(3)
    ]
    shape = [len(axis) for axis in axes]
    total = shape[0] * shape[1] * shape[2]
    values = []
    for start in range(0, total, chunk):
        index = torch.arange(start, min(start + chunk, total), device=low.device)
        x, y, z = index // (shape[1] * shape[2]), index // shape[2] % shape[1], index % shape[2]
        values.append(density(torch.stack([axes[0][x], axes[1][y], axes[2][z]], -1)).reshape(-1).float())
        if callback is not None:
            callback(int(index[-1]) + 1, total)
    return Grid(torch.cat(values).view(shape), low, spacing)


def resample(grid: Grid, spacing: float) -> Grid:
    """The grid at another spacing, trilinear, from the same origin."""
    counts = [int((n - 1) * grid.spacing / spacing + 1 + 1e-4) for n in grid.values.shape]
    step = spacing / grid.spacing
    values = grid.values
    for axis, count in enumerate(counts):
        values = _resample_axis(values, axis, torch.arange(count, device=values.device) * step)
    return Grid(values, grid.origin, spacing)


def _resample_axis(values: Tensor, axis: int, index: Tensor) -> Tensor:
    below = index.floor().long().clamp_max(values.shape[axis] - 2)
    share = (index - below).view([-1 if i == axis else 1 for i in range(3)])
    return torch.lerp(values.index_select(axis, below), values.index_select(axis, below + 1), share)


def fit_faces(grid: Grid, target: int) -> tuple[Grid, Mesh]:
    """The grid, resampled so that its surface has at most `target` faces and nearly as many, and the surface.

    Faces grow with the square of the resolution, so guesses by that rule inside a shrinking bracket take two or three steps.

    Raises:
        ValueError: a target that even the coarsest grid does not meet.
    """
    mesh = marching_cubes(grid)
    if len(mesh.faces) <= target:
        return grid, mesh
    finest = max(grid.values.shape) - 1
    best = None
    low, high, cells = float(SMALLEST), float(finest), float(finest)
    for _ in range(FIT_STEPS):
        guess = cells * math.sqrt(CLOSE * target / max(len(mesh.faces), 1))
        cells = guess if low < guess < high else (low + high) / 2
        candidate = resample(grid, grid.spacing * finest / cells)
        mesh = marching_cubes(candidate)
        if len(mesh.faces) > target:
            high = cells
        else:
            low = cells
            best = (candidate, mesh) if best is None or len(mesh.faces) > len(best[1].faces) else best
        if best is not None and (len(best[1].faces) > (2 * CLOSE - 1) * target or high - low < 1e-3):
            break
    if best is None or not len(best[1].faces):
        raise ValueError(
            f"extract: expected target_faces that a grid of {SMALLEST} cells can meet, got {target}; try 20000"
        )
    return best


def marching_cubes(grid: Grid) -> Mesh:
    """The piece of the surface `grid.values = 0` that encloses most, closed at the grid's border; no faces where all is below 0.

    The grid is wrapped in one layer of emptiness; what marching cubes puts into that layer is pressed back onto the
    border, where it becomes a flat cap. Cavities are pieces of their own and vanish: the head is solid.
    """
    from skimage.measure import marching_cubes as lewiner

    on_level = grid.values.abs() < NUDGE
    values = F.pad(
        torch.where(on_level, torch.full_like(grid.values, NUDGE), grid.values), (1,) * 6, value=EMPTY
    )
    if not bool((values > 0).any()):
        return _nothing(grid.origin)
    vertices, faces, _, _ = lewiner(values.cpu().numpy(), 0.0, gradient_direction="ascent")
    vertices = np.clip(vertices - 1, 0, np.array(grid.values.shape) - 1)
    positions = grid.origin + torch.from_numpy(vertices.astype(np.float32)).to(grid.origin) * grid.spacing
    mesh = Mesh(positions, torch.from_numpy(faces.astype(np.int64)).to(positions.device))
    return largest_component(merge_coincident(mesh))


def _nothing(like: Tensor) -> Mesh:
    return Mesh(like.new_zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64, device=like.device))


def largest_component(mesh: Mesh) -> Mesh:
    """The connected piece of geometry that encloses the most volume."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not len(mesh.faces):
        return mesh
    faces, count = mesh.faces.cpu().numpy(), len(mesh.vertices)
    links = coo_array(
        (np.ones(len(faces) * 2), (faces[:, [0, 1]].ravel(), faces[:, [1, 2]].ravel())), shape=(count, count)
    )
    _, piece = connected_components(links, directed=False)
    piece = torch.from_numpy(piece.astype(np.int64)).to(mesh.faces.device)
    inside = (area_vectors(mesh) * corners(mesh).mean(1)).sum(1)
    volumes = inside.new_zeros(int(piece.max()) + 1).index_add_(0, piece[mesh.faces[:, 0]], inside)
    keep = piece == volumes.argmax()
    new_index = keep.cumsum(0) - 1
    return Mesh(mesh.vertices[keep], new_index[mesh.faces[keep[mesh.faces[:, 0]]]])


def onto_surface(inside: Callable[[Tensor], Tensor], vertices: Tensor, grid: Grid) -> Tensor:
    """Vertices [N, 3] moved along their grid edges to where `inside` is 0, by false position (the Illinois variant).

    Points of the grid's border that lie on no edge, and edges whose ends are on one side, stay.
    """
    cell = (vertices - grid.origin) / grid.spacing
    off = (cell - cell.round()).abs()
    moving = (off.amax(1) > 5e-5).nonzero()[:, 0]
    axis = F.one_hot(off[moving].argmax(1), 3).to(cell)
    start = torch.where(axis > 0, cell[moving].floor(), cell[moving].round()) * grid.spacing + grid.origin
    at, edge = torch.zeros_like(start[:, 0]), axis * grid.spacing
    at_start, at_end = inside(start), inside(start + edge)
    crossing = at_start * at_end < 0
    low, high = torch.zeros_like(at), torch.ones_like(at)
    for _ in range(ROOT_STEPS):
        at = torch.where(crossing, low + (high - low) * at_start / (at_start - at_end), at)
        value = inside(start + at[:, None] * edge)
        same = value * at_start > 0
        # the end that stays is halved in value, so that both ends close in
        low, high = torch.where(same, at, low), torch.where(same, high, at)
        at_start, at_end = torch.where(same, value, at_start / 2), torch.where(same, at_end / 2, value)
    at = (low + (high - low) * at_start / (at_start - at_end)).clamp(0.002, 0.998)
    positions = vertices.clone()
    positions[moving[crossing]] = (start + at[:, None] * edge)[crossing]
    return positions


def surface_normals(inside: Callable[[Tensor], Tensor], mesh: Mesh, grid: Grid) -> Tensor:
    """[N, 3]: against the gradient of `inside`, by central differences one cell apart.

    Area-weighted normals of the mesh stand in on caps, where the gradient vanishes and where it contradicts the faces.
    """
    plain = vertex_normals(mesh)
    offsets = torch.eye(3).to(plain) * grid.spacing / 2
    gradient = torch.stack(
        [inside(mesh.vertices + offset) - inside(mesh.vertices - offset) for offset in offsets], -1
    )
    on_cap = ((mesh.vertices == grid.origin) | (mesh.vertices == grid.end)).any(1)
    length = gradient.norm(dim=-1)
    smooth = -gradient / length.clamp_min(1e-20)[:, None]
    usable = ~on_cap & (length > 1e-3 * length.median()) & ((smooth * plain).sum(-1) > 0)
    return torch.where(usable[:, None], smooth, plain)
