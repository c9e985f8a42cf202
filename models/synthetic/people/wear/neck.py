"""The scanned neck as a grid: where its rows and columns lie on the model, the same for everybody."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..scans import SKIN, Scans
from .curves import ring

AXIS_Z = -1.7  # cm: the neck's middle, front to back
TOP = ring(-9.3, -6.2, -3.0)  # cm at rest where columns begin: under the chin, behind the ears, at the nape
COLUMNS, NECK_ROWS = 108, 28


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where the neck's grid lies on the scan: corners [R, C, 3] vertices, weights [R, C, 3], azimuth [C] radians."""

    corners: Tensor
    weights: Tensor
    azimuth: Tensor


@functools.lru_cache(maxsize=1)
def neck_places(scans: Scans) -> Places:
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
    return Places(corners=torch.stack(corners, 1), weights=torch.stack(weights, 1), azimuth=turn)


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
