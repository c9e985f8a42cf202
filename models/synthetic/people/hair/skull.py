"""The mean head as what hair lies on: distances to it, and how its space is bent into one person's.

Hair grows over the mean head, where ears, eyes and hairline are always in the same place (centimetres), and is carried over afterwards.
"""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

from ..body import welded_normals
from ..parts import Body
from ..scans import LEFT_EYE, RIGHT_EYE, SKIN, Scans
from .vectors import length, unit

LOW, HIGH = (
    (-24.0, -28.0, -20.0),
    (24.0, 20.0, 20.0),
)  # cm: the box of distances; beyond, the border's value counts
NEAR = 2.0  # cm: closer than this the nearest vertex's plane is the surface
COARSE = 2.0  # cm: cells of the bend
SHOULDERS = (
    (0.0, -20.5, -2.2),
    (16.0, -21.5, -2.8),
    4.6,
)  # cm: a thick line from the chest's middle to a shoulder, its radius
ROOT_HOLD = 4.0  # cm over which a strand's exact root fades into the bend


class Skull:
    """Distances to head, neck and shoulders of the mean body.

    Attributes:
        field: [1, 4, Z, Y, X] signed distance in centimetres, negative inside, and its gradient.
    """

    def __init__(self, scans: Scans) -> None:
        """Args: scans: the model."""
        self.field = _field(scans)

    def __call__(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Distance [...] and unit gradient [..., 3] at rest coordinates [..., 3], centimetres."""
        sampled = _sample(self.field, points)
        return sampled[..., 0], unit(sampled[..., 1:])


@functools.lru_cache(maxsize=1)
def load_skull(scans: Scans) -> Skull:
    """The skull of a model, made once."""
    return Skull(scans)


def bend(points: Tensor, body: Body, roots: Tensor | None = None) -> Tensor:
    """From rest coordinates to one person's space.

    Args:
        points: [N, K, 3] centimetres. roots: [N, 3] scene units, where the strands begin exactly; None: as the bend has it.

    Returns:
        [N, K, 3] scene units.
    """
    moved = (points + _sample(_displacement(body), points)) * body.scale + _origin(body)
    if roots is None:
        return moved
    along = length(points[:, 1:] - points[:, :-1]).cumsum(1)
    hold = F.pad((1 - along / ROOT_HOLD).clamp(0, 1), (1, 0), value=1.0)
    return moved + hold[..., None] * (roots - moved[:, 0])[:, None]


def _sample(field: Tensor, points: Tensor) -> Tensor:
    """[..., C] of a field [1, C, Z, Y, X] at rest coordinates [..., 3], between cells linear."""
    low, high = points.new_tensor(LOW), points.new_tensor(HIGH)
    grid = ((points - low) / (high - low) * 2 - 1).reshape(1, 1, 1, -1, 3)
    sampled = F.grid_sample(field, grid, padding_mode="border", align_corners=True)
    return sampled[0, :, 0, 0].T.reshape(*points.shape[:-1], -1)


def _cells(spacing: float) -> tuple[int, int, int]:
    """How many grid points along x, y, z."""
    x, y, z = (round((high - low) / spacing) + 1 for low, high in zip(LOW, HIGH, strict=True))
    return x, y, z


def _field(scans: Scans) -> Tensor:
    x, y, z = (torch.linspace(a, b, n) for a, b, n in zip(LOW, HIGH, _cells(1.0), strict=True))
    points = torch.stack(torch.meshgrid(z, y, x, indexing="ij"), -1).flip(-1)
    distance = torch.minimum(_head_distance(scans, points), _torso_distance(points))
    slope = torch.stack(torch.gradient(distance, dim=(2, 1, 0)), 0)  # x runs along the last dimension
    return torch.cat([distance[None], slope])[None]


def _head_distance(scans: Scans, points: Tensor) -> Tensor:
    """[...] signed distance to the skin."""
    from scipy.spatial import KDTree

    skin = scans.vertices[:SKIN]
    normals = welded_normals(scans.vertices, scans.faces_of("M_Face", "M_BackHead"), scans.weld)[:SKIN]
    away, nearest = KDTree(skin.numpy()).query(points.reshape(-1, 3).numpy())
    away, nearest = torch.from_numpy(away).float(), torch.from_numpy(nearest)
    plane = ((points.reshape(-1, 3) - skin[nearest]) * normals[nearest]).sum(-1)
    share = ((away - NEAR) / NEAR).clamp(0, 1)
    return torch.lerp(plane, torch.where(plane < 0, -away, away), share).view(points.shape[:-1])


def _torso_distance(points: Tensor) -> Tensor:
    """[...] distance to a chest and shoulders of middling build."""
    start, end, radius = (points.new_tensor(value) for value in SHOULDERS)
    mirrored = torch.cat([points[..., :1].abs(), points[..., 1:]], -1) - start
    along = ((mirrored @ (end - start)) / (end - start).square().sum()).clamp(0, 1)
    return (mirrored - along[..., None] * (end - start)).norm(dim=-1) - radius


def _origin(body: Body) -> Tensor:
    """[3] scene units: where the rest coordinates' origin lies in an upright person's space."""
    return body.pupils.mean(0) - body.scale * _eyes(body)


def _eyes(body: Body) -> Tensor:
    return (body.rest[LEFT_EYE].mean(0) + body.rest[RIGHT_EYE].mean(0)) / 2


def _displacement(body: Body) -> Tensor:
    """[1, 3, Z, Y, X] centimetres: what a person's skin is moved by, spread smoothly into the space around it."""
    rest, moved = body.rest[:SKIN:2], (body.vertices[:SKIN:2] - _origin(body)) / body.scale
    below = _torso_points().to(rest)
    carried = (below * body.scale + _origin(body)) @ body.posture[:3, :3].T + body.posture[:3, 3]
    places = torch.cat([rest, below])
    moves = torch.cat([moved - rest, (carried - _origin(body)) / body.scale - below])
    return _spread(places, moves)


def _torso_points() -> Tensor:
    """[P, 3] rest coordinates around the shoulders, where the scans end."""
    x, y, z = torch.linspace(-22, 22, 12), torch.linspace(-27, -19, 4), torch.linspace(-14, 12, 7)
    return torch.stack(torch.meshgrid(x, y, z, indexing="ij"), -1).reshape(-1, 3)


def _spread(places: Tensor, values: Tensor) -> Tensor:
    """[1, 3, Z, Y, X]: values [P, 3] averaged in cells, empty cells filled from coarser and coarser grids (pull-push)."""
    low, (nx, ny, nz) = places.new_tensor(LOW), _cells(COARSE)
    ix, iy, iz = ((places - low) / COARSE).round().long().unbind(-1)
    inside = (ix >= 0) & (ix < nx) & (iy >= 0) & (iy < ny) & (iz >= 0) & (iz < nz)
    flat = ((iz * ny + iy) * nx + ix)[inside]
    sums = values.new_zeros(nz * ny * nx, 4).index_add_(0, flat, F.pad(values[inside], (0, 1), value=1.0))
    return _filled(sums.T.reshape(1, 4, nz, ny, nx))


def _filled(sums: Tensor) -> Tensor:
    """[1, 3, ...] of sums and counts [1, 4, ...]: each cell's mean, or that of the cells around it."""
    blurred = F.avg_pool3d(F.pad(sums, (1,) * 6), 3, 1) * 9 + 18 * sums
    own = blurred[:, :3] / blurred[:, 3:].clamp_min(1e-6)
    if (blurred[:, 3] > 0).all() or min(sums.shape[2:]) <= 2:
        return own
    coarse = _filled(F.avg_pool3d(sums, 2, ceil_mode=True))
    behind = F.interpolate(coarse, size=sums.shape[2:], mode="trilinear", align_corners=False)
    trust = (blurred[:, 3:] / 4).clamp(0, 1)
    return torch.lerp(behind, own, trust)
