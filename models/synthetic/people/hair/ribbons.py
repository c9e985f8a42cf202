"""Strands as ribbons that face a camera: which one each sample of a picture sees.

Ribbons are a sample or two wide, so they are filled column by column along their longer side; triangles' boxes would be mostly empty.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ....camera import Camera, project
from ..parts import Hair

EMPTY = torch.iinfo(torch.int64).max
HIDDEN = 0.012  # scene units: a strand's point so far behind a surface is not drawn
CLINGS = 0.0009  # scene units: hair so little behind a surface still counts as in front
WIDEST = 9  # samples across a ribbon


@dataclass(frozen=True, kw_only=True)
class Ribbons:
    """What P samples see of hair.

    Attributes:
        sample: [P] index into R x R. strand: [P]. point: [P] of the strand, the nearer to its root of two; between: [P] share towards
            the next one. across: [P] from one edge, -1, to the other, 1. distance: [P] scene units along the ray.
    """

    sample: Tensor
    strand: Tensor
    point: Tensor
    between: Tensor
    across: Tensor
    distance: Tensor

    def of(self, values: Tensor) -> Tensor:
        """[P, C]: values [N, K, C] of strands' points at the samples."""
        flat = values.flatten(0, 1)
        first = self.strand * values.shape[1] + self.point
        return torch.lerp(flat[first], flat[first + 1], self.between[:, None])


def ribbons(hair: Hair, camera: Camera, fine: int, solid: Tensor) -> Ribbons:
    """The nearest ribbon at every sample.

    Args:
        camera: unbatched. fine: R, samples a side. solid: [R, R] distance of surfaces along rays, infinite where none.
    """
    strands = hair.strands
    image, _ = project(camera, strands.flatten(0, 1))
    distance = (strands.flatten(0, 1) - camera.position).norm(dim=1)
    wide = _half_widths(hair) * camera.intrinsics[0, 0] * fine / distance.view(strands.shape[:2])
    points = torch.stack([image[:, 0] * fine, image[:, 1] * fine, distance, wide.flatten()], 1)
    first = _drawn(points, strands.shape[:2], fine, solid)
    start, end = points[first], points[first + 1]
    sample, segment, key = _filled(start, end, fine)
    nearest = torch.full((fine * fine,), EMPTY).scatter_reduce_(0, sample, key, "amin")
    seen = (nearest != EMPTY).nonzero()[:, 0]
    segment = nearest[seen] & 0xFFFFFFFF
    between, across, depth = _placed(start[segment], end[segment], seen % fine + 0.5, seen // fine + 0.5)
    kept = depth < solid.flatten()[seen] + CLINGS
    first, seen = first[segment][kept], seen[kept]
    points_each = strands.shape[1]
    return Ribbons(
        sample=seen,
        strand=first // points_each,
        point=first % points_each,
        between=between[kept],
        across=across[kept],
        distance=depth[kept],
    )


def _half_widths(hair: Hair) -> Tensor:
    """[N, K] scene units: narrower over the last third."""
    along = torch.linspace(0, 1, hair.strands.shape[1])
    taper = 1 - (1 - hair.tip) * ((along - 0.55) / 0.45).clamp_min(0) ** 1.5
    return hair.width[:, None] * taper / 2


def _drawn(points: Tensor, shape: torch.Size, fine: int, solid: Tensor) -> Tensor:
    """[S] first points of segments that are in the picture and not both ends behind a surface."""
    column, row = (points[:, axis].long().clamp(0, fine - 1) for axis in (0, 1))
    inside = ((points[:, :2] > -20) & (points[:, :2] < fine + 20)).all(1)
    free = inside & (points[:, 2] < solid[row, column] + HIDDEN)
    free = free.view(shape)
    segment = F.pad(free[:, 1:] | free[:, :-1], (0, 1))
    return segment.flatten().nonzero()[:, 0]


def _filled(start: Tensor, end: Tensor, fine: int) -> tuple[Tensor, Tensor, Tensor]:
    """Samples that segments cover: index [C], segment [C], and a key [C] that sorts by distance.

    Args:
        start, end: [S, 4] column, row, distance, half width.
    """
    steep = (end[:, 1] - start[:, 1]).abs() > (end[:, 0] - start[:, 0]).abs()
    a, b = _major_first(start, steep), _major_first(end, steep)
    low = (torch.minimum(a[:, 0], b[:, 0]) - 0.5).ceil().clamp(0, fine)
    high = (torch.maximum(a[:, 0], b[:, 0]) - 0.5).ceil().clamp(0, fine)
    count = (high - low).long()
    segment = torch.arange(len(a)).repeat_interleave(count)
    step = torch.arange(len(segment)) - (count.cumsum(0) - count)[segment]
    slope = (b[:, 1:] - a[:, 1:]) / (b[:, :1] - a[:, :1] + ((b[:, :1] - a[:, :1]).abs() < 1e-6) * 1e-6)
    stretch = (1 + slope[:, 0].square()).sqrt()
    table = torch.cat([a, slope, stretch[:, None], low[:, None], steep[:, None].float()], 1)[segment]
    major = table[:, 8] + step
    ahead = (major + 0.5 - table[:, 0])[:, None]
    middle, distance, half = (table[:, 1:4] + ahead * table[:, 4:7]).unbind(1)
    half = half * table[:, 7]
    lowest = (middle - half - 0.5).ceil()
    most = int((2 * half).max().ceil().clamp(1, WIDEST)) if len(half) else 0
    bits = distance.clamp_min(0).contiguous().view(torch.int32).long() << 32 | segment
    samples, keys = [], []
    steep_of = table[:, 9] > 0
    for offset in range(most):
        minor = lowest + offset
        kept = ((minor + 0.5 <= middle + half) & (minor >= 0) & (minor < fine)).nonzero()[:, 0]
        across, along = minor[kept].long(), major[kept].long()
        samples.append(torch.where(steep_of[kept], along * fine + across, across * fine + along))
        keys.append(bits[kept])
    if not samples:
        return segment, segment, segment
    return torch.cat(samples), segment, torch.cat(keys)


def _major_first(points: Tensor, steep: Tensor) -> Tensor:
    """[S, 4] with row and column changed where a segment is steep."""
    return torch.where(steep[:, None], points[:, [1, 0, 2, 3]], points)


def _placed(start: Tensor, end: Tensor, column: Tensor, row: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where samples lie on their segment: share from start to end [P], across [P], and their distance [P]."""
    steep = (end[:, 1] - start[:, 1]).abs() > (end[:, 0] - start[:, 0]).abs()
    a, b = _major_first(start, steep), _major_first(end, steep)
    major, minor = torch.where(steep, row, column), torch.where(steep, column, row)
    length = b[:, 0] - a[:, 0]
    between = ((major - a[:, 0]) / torch.where(length.abs() < 1e-6, 1e-6, length)).clamp(0, 1)
    _, middle, distance, half = torch.lerp(a, b, between[:, None]).unbind(1)
    across = (minor - middle) / half.clamp_min(0.5)
    return between, across.clamp(-1, 1), distance
