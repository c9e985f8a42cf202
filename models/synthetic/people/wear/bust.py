"""Neck, shoulders and chest as one grid, from under the chin down to where every head ends: what clothes are cut from.

The scans end in a loop across the chest and over the shoulders. Columns of the grid run down the scanned neck to that loop, and on along
curves that leave it as the skin does and end on an upright chest. Columns begin in front and go around by the subject's left.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..parts import Body, Paint, Surface
from ..scans import Scans
from .curves import ring
from .neck import AXIS_Z, neck_places

FLOOR = -0.40  # scene units: all geometry ends here
BASE = ring(-14.8, -12.4, -8.8)  # where the neck meets the shoulders
CHEST_ROWS = 20


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
    place = neck_places(scans)
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
    place = neck_places(scans)
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
