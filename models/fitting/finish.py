"""The last steps of a fit, on points alone: nothing is left hanging in the air, and no seam where the photo's sight ends.

Rays that graze a surface see a mixture with what is behind it; colours there are told by the surface on both sides instead.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..camera import Camera, orbit, project, rays
from ..field.casting import MarchingCaster, render_features
from ..field.triplane import TriplaneField
from ..field.volume_rendering import RenderConfig, surface_normals
from ..metrics.surface import stray_pieces
from ..photo.alignment import AlignedPortrait
from .coverage import Missing
from .state import SavedState

AROUND = tuple((45 * i, (0.3, -0.15)[i % 2]) for i in range(8))  # degrees of yaw, radians of pitch
SIZE, FRONT = 64, 128  # pixels of those views, and of the photo's
WELL = 0.15  # cosine of the angle under which the photo tells a colour
HIDDEN = 0.03  # scene units behind what the photo sees first, from which on a point is hidden
SPREAD = 0.022  # scene units over which colours are told by their neighbours
BEHIND = 0.3  # weight of a hidden neighbour's colour beside one that the photo sees well
MOST, CHUNK = 12_000, 2048  # neighbours that are asked at most, for so many points at once
CELLS = 96  # along the box, in which matter is looked for
FAINT = 0.25  # of the density that a mesh takes for its surface: fainter matter is none
DEPTHS = (-0.012, 0.0, 0.012)  # scene units along the normal: of points by which surface stays where it is
ALPHA = 0.02  # scene units over which densities are compared as opacities
EMPTY = -2.0  # density before its activation, from which on nothing is seen
RANDOM = 1 << 14  # points by which the rest of the box stays as it is
COUNT = 4096  # points of a step
STRAY = 10.0  # weight of what hangs in the air
SMALL = 0.05  # differences below which errors count by their squares: what is right already stays still

MARK = "finish."  # of its tensors in a state
SHAPES = {"points": (None, 3), "rgb": (None, 3), "alpha": (None,), "painted": (None,), "strays": (None, 3)}


@dataclass(frozen=True)
class Finish:
    """What the last steps aim at.

    Attributes:
        points: [N, 3], on and about the surface and in the box; rgb: [N, 3] and alpha: [N], what they are to be, alpha over `ALPHA`;
            painted: [N], weight of the colour.
        strays: [M, 3], where nothing is to be.
    """

    points: Tensor
    rgb: Tensor
    alpha: Tensor
    painted: Tensor
    strays: Tensor

    def tensors(self) -> dict[str, Tensor]:
        """[...] by name, for a saved state."""
        return {f"{MARK}{name}": getattr(self, name) for name in SHAPES}

    @staticmethod
    def of(saved: SavedState, device: torch.device) -> Finish | None:
        """From a saved state, if it has one, on a device.

        Raises:
            ForeignState: parts of one only.
        """
        if f"{MARK}points" not in saved:
            return None
        parts = {name: saved.finite(f"{MARK}{name}", shape).to(device) for name, shape in SHAPES.items()}
        return Finish(**parts)


@torch.no_grad()
def finish_of(
    field: TriplaneField,
    reference: AlignedPortrait,
    missing: Missing | None,
    sampling: RenderConfig,
    draws: torch.Generator,
) -> Finish:
    """From a fitted field: its own surface, with colours that the photo tells badly replaced by their neighbours'."""
    yaw, pitch = torch.tensor(AROUND).T
    around = orbit(torch.deg2rad(yaw), pitch).to(reference.image.device)
    front = surface_of(field, reference.camera[None], FRONT, sampling)
    sides = surface_of(field, around, SIZE, sampling)
    points, rgb = torch.cat((front.points, sides.points)), torch.cat((front.rgb, sides.rgb))
    normals = surface_normals(field, points[None], sampling.normal_step)[0]
    well, hidden = told(points, normals, front, reference)
    if missing is not None:  # of what was added nobody knows the other side
        hidden &= ~missing.contains(points)
    rgb, mended = filled(points, rgb, well, hidden), (~(well | hidden)).repeat(len(DEPTHS))
    free = (torch.rand(RANDOM, 3, generator=draws).to(points) - 0.5) * field.config.box_side
    every = torch.cat([*(points + depth * normals for depth in DEPTHS), free])
    painted = torch.cat((every.new_ones(len(DEPTHS) * len(points)), every.new_zeros(RANDOM)))
    density, own = (x[0] for x in field(every[None]))
    own[: len(mended)][mended] = rgb.repeat(len(DEPTHS), 1)[mended]
    return Finish(every, own, -torch.expm1(-ALPHA * density), painted, stray_points(field))


@dataclass(frozen=True)
class Surface:
    """What cameras see of a field.

    Attributes:
        points, rgb: [N, 3], of those rays that meet it. first: [V, size, size] distances, infinite where a ray passes.
    """

    points: Tensor
    rgb: Tensor
    first: Tensor


def surface_of(field: TriplaneField, cameras: Camera, size: int, sampling: RenderConfig) -> Surface:
    """What cameras [V] see of a field at so many pixels."""
    own = render_features(MarchingCaster(field), cameras, size, size, sampling)
    solid, depth = own.opacity.flatten() > 0.5, own.depth.flatten()
    origins, directions = (x.reshape(-1, 3) for x in rays(cameras, size, size))
    rgb = field.rgb(own.features, own.opacity[..., None]) / own.opacity[..., None].clamp_min(1e-3)
    first = torch.where(solid, depth, torch.inf).view(-1, size, size)
    points = origins + directions * depth[:, None]
    return Surface(points[solid], rgb.reshape(-1, 3)[solid].clamp(0, 1), first)


def told(
    points: Tensor, normals: Tensor, front: Surface, reference: AlignedPortrait
) -> tuple[Tensor, Tensor]:
    """Which points [N, 3] with normals [N, 3] the photo sees well, and which it does not see: [N] bool each; neither along outlines."""
    camera, size = reference.camera, front.first.shape[-1]
    mask = F.interpolate(reference.mask[None], size=(size, size), mode="area")
    inside = F.max_pool2d(1 - mask, 3, 1, 1)[0, 0] < 0.02
    known = torch.ones_like(inside)
    if reference.unknown is not None:
        known = F.interpolate(reference.unknown[None], size=(size, size), mode="area")[0, 0] < 1e-3
    first = front.first[0]
    where, _ = project(camera, points)
    column, row = (where * size).long().clamp(0, size - 1).unbind(-1)
    sight = points - camera.position
    distance = sight.norm(dim=-1)
    within = ((where >= 0) & (where < 1)).all(-1) & known[row, column]
    seen = within & (distance < first[row, column] + HIDDEN)
    facing = -(normals * sight).sum(-1) / distance
    return seen & inside[row, column] & (facing > WELL), ~seen & (facing.abs() > WELL)


def filled(points: Tensor, rgb: Tensor, well: Tensor, hidden: Tensor) -> Tensor:
    """Colours [N, 3] of points [N, 3]: their own where seen well or hidden, [N] bool each; elsewhere those of such points near by."""
    queries = ~(well | hidden)
    sources = torch.where(well | hidden)[0]
    sources = sources[:: max(1, len(sources) // MOST)]
    if not len(sources):
        return rgb
    trust = torch.where(well[sources], 1.0, BEHIND)
    parts = []
    for some in points[queries].split(CHUNK):
        apart = torch.cdist(some, points[sources]).square()
        nearest = apart.amin(1, keepdim=True)  # as wide as it must be to find any
        weight = trust * (-(apart - nearest) / (2 * SPREAD**2)).exp()
        parts.append(weight @ rgb[sources] / weight.sum(1, keepdim=True))
    rgb = rgb.clone()
    if parts:
        rgb[queries] = torch.cat(parts)
    return rgb


def stray_points(field: TriplaneField) -> Tensor:
    """[M, 3]: where matter hangs in the air, and around it."""
    side = field.config.box_side
    axis = torch.linspace(-side / 2, side / 2, CELLS, device=field.device)  # planes end halfway to zero
    grid = torch.cartesian_prod(axis, axis, axis)
    raw = torch.cat([field.raw_density(part[None])[0] for part in grid.split(1 << 17)])
    solid = field.activate(raw) > FAINT * field.config.surface_density
    pieces, _ = stray_pieces(solid.view(CELLS, CELLS, CELLS))
    stray = F.max_pool3d((pieces > 0)[None, None].float(), 3, 1, 1).flatten() > 0
    near_main = (solid & (pieces == 0).flatten()).view(1, 1, CELLS, CELLS, CELLS).float()
    return grid[stray & (F.max_pool3d(near_main, 3, 1, 1).flatten() == 0)]


def finish_loss(field: TriplaneField, finish: Finish, generator: torch.Generator) -> Tensor:
    """How far colours and opacities of drawn points are from what they are to be, and strays from empty, []."""
    pick = torch.randint(len(finish.points), (COUNT,), generator=generator).to(finish.points.device)
    raw, features = field.raw(finish.points[None, pick])
    alpha = -torch.expm1(-ALPHA * field.activate(raw[0]))
    colour = F.smooth_l1_loss(field.rgb(features)[0], finish.rgb[pick], reduction="none", beta=SMALL).mean(-1)
    loss = (finish.painted[pick] * colour).mean() + F.smooth_l1_loss(alpha, finish.alpha[pick], beta=SMALL)
    if not len(finish.strays):
        return loss
    some = torch.randint(len(finish.strays), (COUNT // 2,), generator=generator).to(finish.points.device)
    config = field.config
    left = (field.raw(finish.strays[None, some])[0] + config.density_shift - EMPTY).relu()
    return loss + STRAY * left.mean() / (config.surface_density / config.density_scale - config.density_shift)
