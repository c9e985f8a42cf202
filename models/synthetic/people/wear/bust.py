"""Neck, shoulders and chest as one grid, from under the chin down to where every head ends: what clothes are cut from.

The scans end in a loop across the chest and over the shoulders. Columns of the grid run down the scanned neck to that loop, and on along
curves that leave it as the skin does and end on an upright chest. Columns begin in front and go around by the subject's left.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..parts import Body, Paint, Surface
from ..scans import SKIN, Scans
from .curves import ring

FLOOR = -0.40  # scene units: all geometry ends here
AXIS_Z = -1.7  # cm: the neck's middle, front to back
TOP = ring(-9.3, -6.2, -3.0)  # cm at rest where columns begin: under the chin, behind the ears, at the nape
BASE = ring(-14.8, -12.4, -8.8)  # where the neck meets the shoulders
COLUMNS, NECK_ROWS, CHEST_ROWS = 108, 28, 20


@dataclass(frozen=True, kw_only=True)
class Bust:
    """The grid, R rows of C columns.

    Attributes:
        points, normals: [R, C, 3] scene units; unit length, outward. rest: [R, C, 3] centimetres.
        arc: [R, C] centimetres along each column, 0 where the neck ends, negative above.
        azimuth: [C] radians from the front by the subject's left, from 0 to 2 pi.
        loop: the row where the scan ends. scale: scene units a centimetre.
        posture: [4, 4] from an upright torso to this one.
    """

    points: Tensor
    normals: Tensor
    rest: Tensor
    arc: Tensor
    azimuth: Tensor
    loop: int
    scale: float
    posture: Tensor

    def column(self, azimuth: Tensor) -> Tensor:
        """[...] column coordinates at azimuths [...], radians of any turn."""
        turns = torch.cat([self.azimuth, self.azimuth[:1] + 2 * math.pi])
        inside = torch.remainder(azimuth, 2 * math.pi)
        after = torch.searchsorted(turns, inside.contiguous(), right=True).clamp(1, len(self.azimuth))
        share = (inside - turns[after - 1]) / (turns[after] - turns[after - 1])
        return after - 1 + share

    def row(self, column: Tensor, arc: Tensor) -> Tensor:
        """Row coordinates `arc` centimetres below the neck's end along columns; clamped to the grid.

        Args:
            column: [C]. arc: [..., C].

        Returns:
            As arc.
        """
        table = self.arc.T.contiguous()  # [C, R]
        low = torch.floor(column).long()
        share = (column - low)[:, None]
        ladder = torch.lerp(table[low % len(table)], table[(low + 1) % len(table)], share)  # increasing
        wanted = arc.reshape(-1, len(column)).T.contiguous()
        after = torch.searchsorted(ladder, wanted).clamp(1, ladder.shape[1] - 1)
        below = ladder.gather(1, after - 1)
        step = (wanted - below) / (ladder.gather(1, after) - below).clamp_min(1e-6)
        return (after - 1 + step.clamp(0, 1)).T.reshape(arc.shape)

    def at(self, column: Tensor, row: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Points, unit normals and rest coordinates [..., 3] at grid coordinates [...]."""
        image = torch.cat([self.points, self.normals, self.rest], -1).permute(2, 0, 1)[None]
        image = torch.cat([image, image[..., :1]], -1)  # columns close
        rows, columns = image.shape[-2:]
        x = torch.remainder(column, columns - 1) / (columns - 1) * 2 - 1
        y = row / (rows - 1) * 2 - 1
        values = F.grid_sample(
            image, torch.stack([x, y], -1).reshape(1, 1, -1, 2), align_corners=True, padding_mode="border"
        )
        points, normals, rest = values[0, :, 0].T.reshape(*column.shape, 9).split(3, -1)
        return points, F.normalize(normals, dim=-1), rest


def make_bust(body: Body, scans: Scans) -> Bust:
    """The grid of a body.

    Args:
        body: of `body.make_body`. scans: the model it is of.

    Returns:
        A grid that begins under the chin, meets the scan's edge in row `loop`, and ends at `FLOOR`.
    """
    place = _places(scans)
    neck = (body.vertices[place.corners] * place.weights[..., None]).sum(-2)  # [rows, C, 3]
    rest = (body.rest[place.corners] * place.weights[..., None]).sum(-2)
    upright = _carry(torch.linalg.inv(body.posture), neck)
    ground = body.pupils.mean(0)
    eyes = scans.vertices.new_tensor(
        [0.0, 3.6, 8.44]
    )  # cm: between the mean's pupils, where `rest` and canonical meet
    chest = _chest(upright, place.azimuth, body, body.scale, ground - body.scale * eyes)
    chest_rest = _chest(rest, place.azimuth, body, 1.0, torch.zeros(3))
    points = _carry(body.posture, torch.cat([upright, chest]))
    points[: len(neck)] = neck  # bit for bit on the scan
    points, whole_rest = _grounded(points, torch.cat([rest, chest_rest]), len(neck) - 1)
    return Bust(
        points=points,
        normals=_normals(points),
        rest=whole_rest,
        arc=_arc(whole_rest, place.azimuth),
        azimuth=place.azimuth,
        loop=len(neck) - 1,
        scale=body.scale,
        posture=body.posture,
    )


def bare_chest(bust: Bust, body: Body, scans: Scans, paint: Callable[[Tensor], Paint]) -> Surface:
    """The skin below the scan's edge, closed at the bottom; paint: of skin."""
    grid, rest, normals = (image[bust.loop :] for image in (bust.points, bust.rest, bust.normals))
    rows, columns = grid.shape[:2]
    place = _places(scans)
    edge = (body.normals[place.corners[-1]] * place.weights[-1][..., None]).sum(-2)
    fade = torch.linspace(1, 0, 6)[:, None, None].clamp_min(0)
    normals = torch.cat([torch.lerp(normals[:6], edge.expand(6, -1, 3), fade), normals[6:]])
    last = (rows - 1) * columns + torch.arange(columns)
    cap = torch.stack([torch.full_like(last, rows * columns), last.roll(-1), last], -1)
    middle = [image[-1].mean(0, keepdim=True) for image in (grid, rest)]
    down = grid.new_tensor([[0.0, -1.0, 0.0]])
    return Surface(
        vertices=torch.cat([grid.reshape(-1, 3), middle[0]]),
        faces=torch.cat([grid_faces(rows, columns), cap]),
        rest=torch.cat([rest.reshape(-1, 3), middle[1]]),
        normals=F.normalize(torch.cat([normals.reshape(-1, 3), down]), dim=-1),
        paint=paint,
        name="chest",
    )


def grid_faces(rows: int, columns: int, *, closed: bool = True) -> Tensor:
    """[M, 3] faces of a grid whose columns run down and go round by the left, seen counter-clockwise from outside.

    Args:
        closed: whether the last column meets the first.
    """
    down = torch.arange(rows - 1)[:, None] * columns
    across = torch.arange(columns if closed else columns - 1)
    a, b = down + across, down + (across + 1) % columns
    c, d = a + columns, b + columns
    return torch.cat([torch.stack([a, c, d], -1), torch.stack([a, d, b], -1)]).reshape(-1, 3)


@dataclass(frozen=True, kw_only=True)
class _Places:
    """Where the neck's grid lies on the scan: corners [R, C, 3] vertices, weights [R, C, 3], azimuth [C] radians."""

    corners: Tensor
    weights: Tensor
    azimuth: Tensor


@functools.lru_cache(maxsize=1)
def _places(scans: Scans) -> _Places:
    """The neck's grid on the mean head, by rays from the neck's axis; the last row is the scan's own edge."""
    rest, edge = scans.vertices, _edge(scans)
    ends, azimuth = rest[edge], _azimuth(rest[edge])
    faces = scans.faces[(scans.faces < SKIN).all(1)]
    faces = faces[(rest[faces][..., 1] < 0).all(1)]
    following = edge.roll(-1)
    corners, weights, turns = [], [], []
    for number in range(COLUMNS):
        first, second, half = edge[number // 2], following[number // 2], 0.5 * (number % 2)
        end = torch.lerp(ends[number // 2], rest[second], half)
        turns.append(_azimuth(end[None])[0])
        hits, shares = _column(rest, faces, end, turns[-1])
        corners.append(torch.cat([hits, torch.stack([first, second, second])[None]]))
        weights.append(torch.cat([shares, torch.tensor([[1 - half, half, 0.0]])]))
    turn = torch.stack(turns)
    turn = torch.where(turn < azimuth[0] - 1e-6, turn + 2 * math.pi, turn)
    return _Places(corners=torch.stack(corners, 1), weights=torch.stack(weights, 1), azimuth=turn)


def _edge(scans: Scans) -> Tensor:
    """[54] vertices of the loop that ends the scan, from the front round by the left."""
    faces = scans.weld[scans.faces[(scans.faces < SKIN).all(1)]]
    sides = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).sort(1).values
    pairs, count = torch.unique(sides, dim=0, return_counts=True)
    loose = pairs[count == 1].unique()
    loop = loose[scans.vertices[loose, 1] < -12.0]
    turn = _azimuth(scans.vertices[loop])
    return loop[torch.where(turn > 2 * math.pi - 1e-4, turn * 0, turn).argsort()]


def _azimuth(points: Tensor) -> Tensor:
    """[N] radians in [0, 2 pi) around the neck's axis; points [N, 3] centimetres at rest."""
    return torch.remainder(torch.atan2(points[:, 0], points[:, 2] - AXIS_Z), 2 * math.pi)


def _column(rest: Tensor, faces: Tensor, end: Tensor, azimuth: Tensor) -> tuple[Tensor, Tensor]:
    """Corners [R, 3] and weights [R, 3] where rays in the half-plane of an azimuth leave the neck."""
    side = torch.stack([azimuth.cos(), azimuth * 0, -azimuth.sin()])
    out = torch.stack([azimuth.sin(), azimuth * 0, azimuth.cos()])
    axis = rest.new_tensor([0.0, 0.0, AXIS_Z])
    away = (rest[faces] - axis) @ side
    near = faces[(away.amin(1) <= 1e-4) & (away.amax(1) >= -1e-4) & (((rest[faces] - axis) @ out) > 0).all(1)]
    share = torch.linspace(0, 1, NECK_ROWS + 1)[:-1]
    top = TOP(azimuth)
    radius = (end - axis) @ out
    low = end[1] + 0.5 * radius
    origin = axis + torch.stack([share * 0, torch.lerp(top, low, share), share * 0], -1)
    target = torch.stack([radius.expand_as(share), torch.lerp(top, end[1], share)], -1)
    direction = target[:, :1] * out + (target[:, 1:] - origin[:, 1:2]) * rest.new_tensor([0.0, 1.0, 0.0])
    corners = rest[near]
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    cross = torch.linalg.cross(direction[:, None], second[None])  # Moeller and Trumbore 1997
    volume = (cross * first).sum(-1)
    gap = origin[:, None] - corners[:, 0]
    u = (gap * cross).sum(-1) / volume
    turned = torch.linalg.cross(gap, first[None].expand_as(gap))
    v = (turned * direction[:, None]).sum(-1) / volume
    far = (turned * second).sum(-1) / volume
    outside = torch.stack([-u, -v, u + v - 1], -1).amax(-1).nan_to_num(9.0, 9.0, 9.0)
    far = torch.where((outside < 1e-3) & (far > 0), far, -outside.clamp(0, 9) - 1)
    hit = far.argmax(1)
    pick = torch.arange(len(hit))
    u, v = u[pick, hit].clamp(0, 1), v[pick, hit].clamp(0, 1)
    return near[hit], torch.stack([1 - u - v, u, v], -1)


def _carry(matrix: Tensor, points: Tensor) -> Tensor:
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def _chest(neck: Tensor, azimuth: Tensor, body: Body, scale: float, shift: Tensor) -> Tensor:
    """[rows, C, 3] below the loop: cubic Hermite curves to a cross-section of the chest with the arms beside it."""
    start = neck[-1]
    build = body.weight * 1.5
    half_width = torch.lerp(torch.tensor(23.6 if body.male else 21.0) + build, torch.tensor(17.0), body.child)
    depth = torch.lerp(torch.tensor(10.6 if body.male else 9.6) + build, torch.tensor(8.2), body.child)
    x, z = azimuth.sin(), azimuth.cos()
    power = 2.5
    radius = ((x.abs() / half_width) ** power + (z.abs() / depth) ** power) ** (-1 / power)
    end = torch.stack([radius * x, torch.full_like(x, -34.0), radius * z + AXIS_Z - 0.6], -1)
    end = end * scale + shift
    leave = neck[-1] - neck[-4]
    for _ in range(6):  # without the loop's corners
        leave = (leave + leave.roll(1, 0) + leave.roll(-1, 0)) / 3
    length = (end - start).norm(dim=-1, keepdim=True)
    leave = F.normalize(leave, dim=-1) * length * 1.1
    arrive = start.new_tensor([0.0, -1.0, 0.0]) * length * 0.9
    t = torch.linspace(0, 1, CHEST_ROWS + 1)[1:, None, None]
    return (
        (2 * t**3 - 3 * t**2 + 1) * start
        + (t**3 - 2 * t**2 + t) * leave
        + (3 * t**2 - 2 * t**3) * end
        + (t**3 - t**2) * arrive
    )


def _grounded(points: Tensor, rest: Tensor, loop: int) -> tuple[Tensor, Tensor]:
    """Rows below the loop spread anew, so that the last lies at `FLOOR`; points and rest [R, C, 3]."""
    height = points[loop:, :, 1]
    below = (height < FLOOR).float().cumsum(0) > 0
    first = below.float().argmax(0).clamp_min(1)  # [C]
    column = torch.arange(points.shape[1])
    above, under = height[first - 1, column], height[first, column]
    end = first - 1 + ((above - FLOOR) / (above - under).clamp_min(1e-6)).clamp(0, 1)
    rows = torch.linspace(0, 1, height.shape[0])[:, None] * end  # [T, C]
    low = rows.floor().long().clamp_max(height.shape[0] - 2)
    share = (rows - low)[..., None]
    spread = [
        torch.cat([image[:loop], torch.lerp(image[loop:][low, column], image[loop:][low + 1, column], share)])
        for image in (points, rest)
    ]
    spread[0][-1, :, 1] = FLOOR
    return spread[0], spread[1]


def _normals(points: Tensor) -> Tensor:
    """[R, C, 3] unit, from differences along rows and columns."""
    around = points.roll(-1, 1) - points.roll(1, 1)
    down = torch.cat([points[1:2] - points[:1], points[2:] - points[:-2], points[-1:] - points[-2:-1]])
    return F.normalize(torch.linalg.cross(down, around), dim=-1)


def _arc(rest: Tensor, azimuth: Tensor) -> Tensor:
    """[R, C] centimetres along the columns from where each crosses the neck's lower end."""
    steps = (rest[1:] - rest[:-1]).norm(dim=-1).clamp_min(1e-4)
    length = torch.cat([torch.zeros_like(steps[:1]), steps.cumsum(0)])
    base = BASE(azimuth)
    below = (rest[..., 1] < base).float().cumsum(0) > 0
    first = below.float().argmax(0).clamp_min(1)
    column = torch.arange(rest.shape[1])
    above, under = rest[first - 1, column, 1], rest[first, column, 1]
    share = ((above - base) / (above - under).clamp_min(1e-6)).clamp(0, 1)
    return length - torch.lerp(length[first - 1, column], length[first, column], share)
