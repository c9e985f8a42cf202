"""Meshes cut along a level of a number at their vertices."""

from __future__ import annotations

import torch
from torch import Tensor


def cut_mesh(values: Tensor, faces: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
    """The part of a mesh where `level` is above 0, with new corners on the edges that cross it.

    Args:
        values: [N, C] what vertices carry, interpolated along edges. faces: [F, 3]. level: [N].

    Returns:
        values [M, C] and faces [G, 3], without vertices that no face has.
    """
    inside = level > 0
    count = inside[faces].sum(1)
    one, two = (_turned(faces[count == k], inside, k == 1) for k in (1, 2))
    a1, b1, c1 = one.unbind(1)
    a2, b2, c2 = two.unbind(1)  # c2 lies outside
    crossing = torch.cat([torch.stack(p, 1) for p in ((a1, b1), (a1, c1), (a2, c2), (b2, c2))]).sort(1).values
    edges, index = crossing.unique(dim=0, return_inverse=True)
    ab, ac, ca, cb = (len(values) + index).split([len(one), len(one), len(two), len(two)])
    kept = torch.cat(
        [
            faces[count == 3],
            torch.stack([a1, ab, ac], 1),
            torch.stack([a2, b2, cb], 1),
            torch.stack([a2, cb, ca], 1),
        ]
    )
    low, high = level[edges].unbind(1)
    share = (low / (low - high))[:, None]
    whole = torch.cat([values, torch.lerp(values[edges[:, 0]], values[edges[:, 1]], share)])
    used, kept = kept.unique(return_inverse=True)
    return whole[used], kept


def _turned(faces: Tensor, inside: Tensor, first: bool) -> Tensor:
    """[F, 3] with the corner that differs from the two others in front, or at the end."""
    odd = (inside[faces] == first).to(torch.uint8).argmax(1)
    order = (odd[:, None] + (torch.arange(3) if first else torch.arange(1, 4))) % 3
    return faces.gather(1, order)
