"""Smooth surfaces of coarse meshes: Loop subdivision as one matrix, so that every person of a topology takes the same."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def subdivide(faces: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """One step of Loop subdivision with Warren's weights; a border keeps its vertices and halves its edges.

    Args:
        faces: [F, 3] of a manifold mesh of `count` vertices N, those without faces among them.

    Returns:
        A sparse matrix [N + E, N] that takes vertices to the finer mesh's, and faces [4 F, 3] of that.
    """
    edges, opposite, of_face = _edges(faces)
    border = opposite[:, 1] < 0
    old = _kept(edges, border, count)
    middle = torch.arange(len(edges))
    inner = ~border
    rows = [middle, middle, middle[inner], middle[inner]]
    columns = [edges[:, 0], edges[:, 1], opposite[inner, 0], opposite[inner, 1]]
    along = torch.where(border, 0.5, 0.375)
    across = torch.full((int(inner.sum()),), 0.125)
    matrix = torch.sparse_coo_tensor(
        torch.stack([torch.cat([old[0], torch.cat(rows) + count]), torch.cat([old[1], *columns])]),
        torch.cat([old[2], along, along, across, across]),
        (count + len(edges), count),
        check_invariants=False,
    )
    a, b, c = faces.unbind(1)
    ab, bc, ca = (of_face + count).unbind(1)
    finer = [torch.stack(corners, 1) for corners in ((a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca))]
    return matrix.coalesce(), torch.cat(finer)


def _edges(faces: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Edges [E, 2], the corners opposite to each [E, 2] (-1 for none), and the edges [F, 3] of each face: ab, bc, ca."""
    pairs = torch.stack([faces, faces.roll(-1, 1)], 2).flatten(0, 1).sort(1).values
    facing = faces.roll(-2, 1).flatten()
    edges, index, times = pairs.unique(dim=0, return_inverse=True, return_counts=True)
    order = index.argsort(stable=True)
    first = times.cumsum(0) - times
    opposite = torch.full((len(edges), 2), -1)
    opposite[:, 0] = facing[order[first]]
    twice = times > 1
    opposite[twice, 1] = facing[order[first[twice] + 1]]
    return edges, opposite, index.view(-1, 3)


def _kept(edges: Tensor, border: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rows, columns and weights of the old vertices: each drawn towards its neighbours, those of borders left alone."""
    valence = torch.bincount(edges.flatten(), minlength=count)
    fixed = valence == 0
    fixed[edges[border].flatten()] = True
    weight = torch.where(valence == 3, 3 / 16, 3 / (8 * valence.clamp_min(1)))
    weight[fixed] = 0.0
    rows, columns = torch.cat([edges, edges.flip(1)]).unbind(1)
    own = torch.arange(count)
    moving = ~fixed[rows]
    rows, columns = rows[moving], columns[moving]
    return (
        torch.cat([own, rows]),
        torch.cat([own, columns]),
        torch.cat([1 - weight * valence, weight[rows]]),
    )


def sphere(rings: int, sectors: int) -> tuple[Tensor, Tensor]:
    """A unit sphere about +z, whose rings are closest in front: vertices [V, 3], the front pole first, and faces [F, 3]."""
    polar = torch.linspace(0, 1, rings + 1)[1:-1].pow(1.5) * math.pi
    turn = torch.arange(sectors) * (2 * math.pi / sectors)
    around = torch.stack([turn.cos(), turn.sin()], 1)[None] * polar.sin()[:, None, None]
    height = polar.cos()[:, None, None].expand(-1, sectors, 1)
    pole = torch.tensor([[0.0, 0.0, 1.0]])
    vertices = torch.cat([pole, torch.cat([around, height], 2).flatten(0, 1), -pole])
    ring = 1 + torch.arange(rings - 1)[:, None] * sectors
    here, following = ring + torch.arange(sectors), ring + torch.arange(1, sectors + 1) % sectors
    cap = torch.stack([torch.zeros(sectors, dtype=torch.long), here[0], following[0]], 1)
    floor = torch.stack([following[-1], here[-1], torch.full((sectors,), len(vertices) - 1)], 1)
    one = torch.stack([here[:-1], here[1:], following[1:]], -1).flatten(0, 1)
    other = torch.stack([here[:-1], following[1:], following[:-1]], -1).flatten(0, 1)
    return vertices, torch.cat([cap, one, other, floor])
