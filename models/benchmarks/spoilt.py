"""Heads spoilt on purpose, for `bench restoration`: what prior-born heads suffer from behind, made by moving their planes' own texels.

doubled: the front is mirrored to the back, face and all. flattened: the back is half as deep, a hollow head. slipped: the back of the head
hangs lower than the front. All three keep what lies in front of the head's middle, z > 0, as it was.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..head import Head

KINDS = ("doubled", "flattened", "slipped")
DEPTH = 0.5  # of the flattened back, over the true one
SLIP = 0.07  # scene units by which the back hangs lower
AXES = ("xy", "xz", "yz")  # columns and rows of the planes that can be spoilt so


def along(values: Tensor, place: Tensor, axis: int) -> Tensor:
    """Values read at fractional texels `place` [n] along an axis, linearly, clamped at the ends."""
    last = values.shape[axis] - 1
    low = place.clamp(0, last).floor().long().clamp(max=max(last - 1, 0))
    share = (place.clamp(0, last) - low).to(values)
    shape = [1] * values.ndim
    shape[axis] = -1
    a, b = values.index_select(axis, low), values.index_select(axis, (low + 1).clamp(max=last))
    return a + (b - a) * share.view(shape)


def texels_of_z(count: int, change) -> Tensor:
    """Where a row of z is read: change [n] -> [n], both in units of half the box, -1 .. 1."""
    z = (torch.arange(count) + 0.5) * 2 / count - 1
    return (change(z) + 1) * count / 2 - 0.5


def spoil(head: Head, kind: str) -> Head:
    """A head with such a fault.

    Raises:
        ValueError: another kind, or planes that are not xy, xz, yz.
    """
    if kind not in KINDS:
        raise ValueError(f"spoil: expected a kind among {', '.join(KINDS)}, got {kind!r}; choose one of them")
    if tuple(head.config.plane_axes) != AXES:
        raise ValueError(f"spoil: expected planes {', '.join(AXES)}, got {', '.join(head.config.plane_axes)}; use the embedded prior")
    xy, xz, yz = (plane.clone() for plane in head.planes.unbind(1))
    R, half = xy.shape[-1], xy.shape[-1] // 2
    if kind == "doubled":
        xz, yz = (torch.cat([plane[..., half:, :].flip(-2), plane[..., half:, :]], -2) for plane in (xz, yz))
        xy = behind(xy, lambda slices, front: front)
    elif kind == "flattened":
        place = texels_of_z(R, lambda z: torch.where(z < 0, z / DEPTH, z)).to(xz.device)
        xz, yz = (along(plane, place, plane.ndim - 2) for plane in (xz, yz))
    else:
        texels = SLIP * R / head.config.box_side
        rows = torch.arange(R, device=xy.device) + texels  # what hangs lower is read from further up
        xy = behind(xy, lambda slices, front: along(slices, rows, slices.ndim - 2))
        slipped = along(yz[..., :half, :], rows, yz.ndim - 1)
        yz = torch.cat([slipped, yz[..., half:, :]], -2)
    return replace(head, planes=torch.stack([xy, xz, yz], 1))


def behind(xy: Tensor, change) -> Tensor:
    """A plane's slices of z: those behind the middle changed, (slices, the front's mirrored) -> slices; one that has none stays."""
    if xy.ndim == 4:
        return xy
    D = xy.shape[2]
    front = xy[:, :, D - D // 2 :].flip(2)
    return torch.cat([change(xy[:, :, : D // 2], front), xy[:, :, D // 2 :]], 2)
