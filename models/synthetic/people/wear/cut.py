"""Pieces of cloth cut from the bust: what lies between two curves around it, some way off the skin."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..parts import Paint, Surface
from .bust import FLOOR, Bust, grid_faces
from .curves import Curve

COLUMNS = 144
EDGE = (0.0, 0.0, 0.12, 0.4, 0.9, 1.6, 2.6)  # cm below the upper edge: rows that give it a thickness
BODY_ROWS = 20
OPEN = 40.0  # cm: a lower edge that runs out of the bust


def azimuths(count: int = COLUMNS) -> Tensor:
    """[count] radians round the neck, denser in front."""
    turn = torch.arange(count) / count
    return 2 * math.pi * turn - 0.45 * torch.sin(2 * math.pi * turn)


def cloth_piece(
    bust: Bust,
    paint: Callable[[Tensor], Paint],
    name: str,
    *,
    top: Curve,
    hem: Curve | None = None,
    near: float = 0.3,
    far: float = 0.9,
    quilting: float = 0.0,
    wave: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Surface:
    """Cloth around the whole bust.

    Args:
        top, hem: its upper and lower edge; without a hem it ends at the floor.
        near, far: centimetres off the skin at the upper edge, and 8 cm below it.
        quilting: centimetres that horizontal quilts swell. wave: (azimuth, cm along columns) -> centimetres of folds.
    """
    turn = azimuths()
    column = bust.column(turn)
    upper = top(turn)
    lower = hem(turn) if hem else torch.full_like(upper, OPEN)
    down = _rows(bust, column, upper, lower)  # [rows, C] centimetres along the columns
    skin, normal, rest = bust.at(column.expand_as(down), bust.row(column, down))
    below = (down - upper).clamp_min(0)
    offset = near + (far - near) * (below / 8).clamp(0, 1)
    if wave:
        offset = offset + wave(turn.expand_as(down), down)
    offset[0] = -0.15  # from the skin outward: the edge has a thickness
    ends = torch.minimum(below, (lower - down).clamp_min(0)) if hem else below
    offset = torch.where((ends < 0.05) & (below > 0.05), -0.15, offset)
    offset = offset + quilting * (torch.sin(math.pi * (rest[..., 1] + 14.0) / 3.6).abs().sqrt() - 0.5)
    points = drape(skin, normal, offset * bust.scale)
    if hem is None:
        points = torch.cat([points, skin[-1:]])
        rest = torch.cat([rest, rest[-1:]])
    return surface(points, rest, paint, name)


def _rows(bust: Bust, column: Tensor, upper: Tensor, lower: Tensor) -> Tensor:
    """[rows, C] centimetres along columns: close together at the upper edge, then even down to the lower."""
    table = torch.cat([bust.arc, bust.arc[:, :1]], 1)
    at = column.floor().long()
    end = torch.lerp(table[-1, at], table[-1, at + 1], column - at)
    end = torch.minimum(end, torch.maximum(lower, upper))
    edge = upper + column.new_tensor(EDGE)[:, None]
    rest = torch.linspace(0, 1, BODY_ROWS + 1)[1:, None]
    start = torch.minimum(edge[-1], end)
    return torch.cat([torch.minimum(edge, end), start + rest * (end - start)])


def drape(skin: Tensor, normal: Tensor, offset: Tensor, *, closed: bool = True, rounds: int = 3) -> Tensor:
    """Cloth over skin: smoother than it, and nowhere nearer to it than half the offset.

    Args:
        skin, normal: [R, C, 3]; offset: [R, C] scene units.

    Returns:
        [R, C, 3].
    """
    points = skin + normal * offset[..., None]
    for _ in range(rounds):
        points = torch.cat([points[:2], _blur(points, closed)[2:-1], points[-1:]])
    gap = ((points - skin) * normal).sum(-1)
    least = torch.where(offset > 0, offset * 0.6, offset)
    return points + normal * (least - gap).clamp_min(0)[..., None]


def _blur(points: Tensor, closed: bool) -> Tensor:
    """[R, C, 3] averaged with the neighbours along both axes; open ends stay."""
    padded = F.pad(points.permute(2, 0, 1)[None], (0, 0, 1, 1), mode="replicate")
    padded = F.pad(padded, (1, 1, 0, 0), mode="circular" if closed else "replicate")
    return F.avg_pool2d(padded, 3, 1)[0].permute(1, 2, 0)


def surface(
    points: Tensor, rest: Tensor, paint: Callable[[Tensor], Paint], name: str, *, closed: bool = True
) -> Surface:
    """A grid [R, C, 3] as a surface; what would lie below `FLOOR` lies on it."""
    rows, columns = points.shape[:2]
    vertices = points.reshape(-1, 3)
    return Surface(
        vertices=torch.cat([vertices[:, :1], vertices[:, 1:2].clamp_min(FLOOR), vertices[:, 2:]], 1),
        faces=grid_faces(rows, columns, closed=closed),
        rest=rest.reshape(-1, 3),
        paint=paint,
        name=name,
    )


def tube(
    path: Tensor,
    rest: Tensor,
    radius: Tensor,
    paint: Callable[[Tensor], Paint],
    name: str,
    *,
    sides: int = 8,
    closed: bool = False,
    flat: tuple[Tensor, float] | None = None,
) -> Surface:
    """A round rod along a path.

    Args:
        path: [N, 3] scene units; rest: [N, 3]; radius: [N] scene units.
        closed: whether its end meets its beginning; else both ends are drawn together.
        flat: a direction [N, 3] and by what factor the rod is thinner along it.
    """
    ahead = torch.cat([path[1:], path[:1]]) if closed else torch.cat([path[1:], 2 * path[-1:] - path[-2:-1]])
    behind = torch.cat([path[-1:], path[:-1]]) if closed else torch.cat([2 * path[:1] - path[1:2], path[:-1]])
    tangent = F.normalize(ahead - behind, dim=-1)
    guide = flat[0] if flat else _guide(tangent)
    first = F.normalize(guide - tangent * (guide * tangent).sum(-1, keepdim=True), dim=-1)
    second = torch.linalg.cross(tangent, first)
    angle = torch.arange(sides) * (
        -2 * math.pi / sides
    )  # seen from outside, rows run down and columns to the left
    thin = flat[1] if flat else 1.0
    around = (
        first[:, None] * (thin * angle.cos())[:, None] + second[:, None] * angle.sin()[:, None]
    )  # [N, sides, 3]
    size = radius.clone()
    if not closed:
        size[0] = size[-1] = 0
    points = path[:, None] + around * size[:, None, None]
    coordinates = (rest[:, None] + around * 0.1).expand_as(points)
    if closed:
        points = torch.cat([points, points[:1]])
        coordinates = torch.cat([coordinates, coordinates[:1]])
    return surface(points, coordinates, paint, name)


def _guide(tangent: Tensor) -> Tensor:
    """[N, 3] a direction that is nowhere along the tangents."""
    least = tangent.abs().amax(0).argmin()
    return F.one_hot(least, 3).to(tangent).expand_as(tangent)


def joined(surfaces: list[Surface], name: str, *, transparent: bool = False) -> Surface:
    """Thin surfaces of one paint as one: rods, beads, lenses."""
    start, faces = 0, []
    for part in surfaces:
        faces.append(part.faces + start)
        start += len(part.vertices)
    return Surface(
        vertices=torch.cat([part.vertices for part in surfaces]),
        faces=torch.cat(faces),
        rest=torch.cat([part.rest for part in surfaces]),
        paint=surfaces[0].paint,
        name=name,
        transparent=transparent,
        thin=True,
    )
