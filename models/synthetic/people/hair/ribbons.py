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
from .vectors import length

EMPTY = torch.iinfo(torch.int64).max
HIDDEN = 0.012  # scene units: a strand's point so far behind a surface is not drawn
BURIED = 0.003  # scene units: nor one so far behind the hair in front of it
CLINGS = 0.0009  # scene units: hair so little behind a surface still counts as in front
WIDEST = 9  # samples across a ribbon
FIRST = 4  # one strand in so many is drawn first, to find out what it hides
TOGETHER = 1 << 17  # columns filled at once: small enough that memory is used again from the cache


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
    distance = length(strands.flatten(0, 1) - camera.position)
    wide = _half_widths(hair) * camera.intrinsics[0, 0] * fine / distance.view(strands.shape[:2])
    points = torch.stack([image[:, 0] * fine, image[:, 1] * fine, distance, wide.flatten()], 1)
    first, nearest = _nearest(points, strands.shape[:2], fine, solid)
    seen = (nearest != EMPTY).nonzero()[:, 0]
    first = first[nearest[seen] & 0xFFFFFFFF]
    between, across, depth = _placed(points[first], points[first + 1], seen % fine + 0.5, seen // fine + 0.5)
    kept = (depth < solid.flatten()[seen] + CLINGS).nonzero()[:, 0]
    first = first[kept]
    return Ribbons(
        sample=seen[kept],
        strand=first // strands.shape[1],
        point=first % strands.shape[1],
        between=between[kept],
        across=across[kept],
        distance=depth[kept],
    )


def _nearest(points: Tensor, shape: torch.Size, fine: int, solid: Tensor) -> tuple[Tensor, Tensor]:
    """First points [S] of the segments drawn, and for each sample [R R] distance and segment of the nearest, packed."""
    nearest = torch.full((fine * fine,), EMPTY)
    drawn = []
    for share in (slice(0, None, FIRST), None):
        free = _free(points, fine, solid).view(shape)
        if share is None:
            free[::FIRST] = False
        else:
            free[torch.arange(len(free)) % FIRST > 0] = False
        first = _segments(free)
        _fill(nearest, points[first], points[first + 1], fine, sum(len(part) for part in drawn))
        drawn.append(first)
        if share is not None:
            solid = torch.minimum(solid, _hides(nearest, fine) + BURIED - HIDDEN)
    return torch.cat(drawn), nearest


def _hides(nearest: Tensor, fine: int) -> Tensor:
    """[R, R] distance behind which nothing is seen: of the farthest of a sample and its neighbours, infinite at gaps."""
    bits = (nearest >> 32).to(torch.int32).view(torch.float32)
    depth = torch.where(nearest == EMPTY, torch.inf, bits).view(fine, fine)
    for _ in range(2):  # down, then across: torch's own pooling is slower
        wide = F.pad(depth[None], (0, 0, 1, 1), mode="replicate")[0]
        depth = torch.maximum(torch.maximum(wide[:-2], wide[1:-1]), wide[2:]).T
    return depth


def _half_widths(hair: Hair) -> Tensor:
    """[N, K] scene units: narrower over the last third."""
    along = torch.linspace(0, 1, hair.strands.shape[1])
    taper = 1 - (1 - hair.tip) * ((along - 0.55) / 0.45).clamp_min(0) ** 1.5
    return hair.width[:, None] * taper / 2


def _free(points: Tensor, fine: int, solid: Tensor) -> Tensor:
    """[P] bool: points in the picture that nothing hides."""
    column, row = (points[:, axis].long().clamp(0, fine - 1) for axis in (0, 1))
    inside = (
        (points[:, 0] > -20) & (points[:, 0] < fine + 20) & (points[:, 1] > -20) & (points[:, 1] < fine + 20)
    )
    return inside & (points[:, 2] < solid.flatten()[row * fine + column] + HIDDEN)


def _segments(free: Tensor) -> Tensor:
    """[S] first points, of all strands in a row, of segments with a free end; free [N, K]."""
    return F.pad(free[:, 1:] | free[:, :-1], (0, 1)).flatten().nonzero()[:, 0]


def _fill(nearest: Tensor, start: Tensor, end: Tensor, fine: int, offset: int) -> None:
    """Put into `nearest` [R R] the smallest key of the segments that cover a sample: distance, then index + offset.

    Args:
        start, end: [S, 4] column, row, distance, half width, in samples; distance in scene units.
    """
    steep = (end[:, 1] - start[:, 1]).abs() > (end[:, 0] - start[:, 0]).abs()
    for transposed in (False, True):
        chosen = (steep == transposed).nonzero()[:, 0]
        a, b = start[chosen], end[chosen]
        if transposed:
            a, b = a[:, [1, 0, 2, 3]], b[:, [1, 0, 2, 3]]
        _fill_runs(nearest, a, b, chosen + offset, fine, (1, fine) if transposed else (fine, 1))


def _fill_runs(
    nearest: Tensor, a: Tensor, b: Tensor, index: Tensor, fine: int, strides: tuple[int, int]
) -> None:
    """`_fill` for segments longer along their first coordinate.

    Args:
        a, b: [S, 4] ends as of `_fill`. index: [S] for the key. strides: in `nearest`, of the second and the first coordinate.
    """
    low = (torch.minimum(a[:, 0], b[:, 0]) - 0.5).ceil().clamp(0, fine)
    high = (torch.maximum(a[:, 0], b[:, 0]) - 0.5).ceil().clamp(0, fine)
    kept = (high > low).nonzero()[:, 0]
    a, b, low, count = a[kept], b[kept], low[kept], (high - low)[kept].long()
    run = b[:, :1] - a[:, :1]
    slope = (b[:, 1:] - a[:, 1:]) / torch.where(run.abs() < 1e-6, 1e-6, run)
    at_low = a[:, 1:] + (low + 0.5 - a[:, 0])[:, None] * slope
    stretch = (1 + slope[:, 0].square()).sqrt()  # how much wider a column is than the ribbon
    lines = [*at_low.unbind(1), *slope.unbind(1)]
    lines[2], lines[5] = lines[2] * stretch, lines[5] * stretch
    blocks = torch.bincount((count.cumsum(0) - 1) // TOGETHER).tolist() if len(kept) else []
    begin = 0
    for block in blocks:
        part = slice(begin, begin + block)
        line = [values[part] for values in lines]
        _fill_columns(nearest, low[part].long(), line, count[part], index[kept[part]], fine, strides)
        begin += block


def _fill_columns(
    nearest: Tensor,
    low: Tensor,
    line: list[Tensor],
    count: Tensor,
    index: Tensor,
    fine: int,
    strides: tuple[int, int],
) -> None:
    """`_fill_runs` for as many segments as fit the cache.

    Args:
        low: [S] first column. line: six of [S]: middle, distance, half width at the first column, and what they change by from column
            to column. count: [S] columns.
    """
    segment = torch.arange(len(count)).repeat_interleave(count)
    step = torch.arange(len(segment)) - (count.cumsum(0) - count).index_select(0, segment)
    ahead = step.float()
    middle, distance, half = (
        torch.addcmul(line[i].index_select(0, segment), ahead, line[i + 3].index_select(0, segment))
        for i in range(3)
    )
    lowest = (middle - half - 0.5).ceil()
    last = torch.minimum(middle + half - 0.5, lowest + (WIDEST - 0.5)).clamp_max(fine - 1)
    key = distance.clamp_min(0).view(torch.int32).long() << 32 | index.index_select(0, segment)
    base = lowest.long() * strides[0] + (low.index_select(0, segment) + step) * strides[1]
    for offset in range(int((last - lowest).max().floor()) + 1 if len(segment) else 0):
        within = (lowest + offset <= last) & (lowest + offset >= 0)
        sample = (base + offset * strides[0]).clamp(0, fine * fine - 1)
        nearest.scatter_reduce_(0, sample, torch.where(within, key, EMPTY), "amin")


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
