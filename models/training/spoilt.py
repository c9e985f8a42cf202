"""Heads spoilt on purpose: what prior-born heads suffer from behind, made by moving their planes' own texels.

doubled: the front is mirrored to the back, face and all. flattened: the back is less deep, a hollow head. dented: the middle of the back is
pushed in. slipped: the back of the head hangs lower than the front; `train restoration` never sees one. All keep what lies in front of the
head's middle, z > 0, as it was.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..field.triplane import FieldConfig
from ..head import Head

AMOUNTS = {"doubled": 1.0, "flattened": 0.5, "dented": 0.06, "slipped": 0.07}
KINDS = tuple(AMOUNTS)
LEARNT = ("doubled", "flattened", "dented")
WIDTH, HEIGHT, RAMP = (
    0.09,
    0.03,
    0.08,
)  # scene units: a dent's radius, its middle's y, and the depth behind z = 0 where it is whole
AXES = ("xy", "xz", "yz")  # columns and rows of the planes that can be spoilt so


@dataclass(frozen=True)
class Fault:
    """Attributes: kind: among KINDS. amount: of flattened, the back's depth over the true one; of dented and slipped, scene units; doubled
    has none."""

    kind: str
    amount: float


def along(values: Tensor, place: Tensor, axis: int) -> Tensor:
    """Values [...] read linearly at fractional texels `place` [n] along an axis, clamped at the ends."""
    last = values.shape[axis] - 1
    low = place.clamp(0, last).floor().long().clamp(max=max(last - 1, 0))
    share = (place.clamp(0, last) - low).to(values)
    shape = [1] * values.ndim
    shape[axis] = -1
    a, b = values.index_select(axis, low), values.index_select(axis, (low + 1).clamp(max=last))
    return a + (b - a) * share.view(shape)


def warped_rows(plane: Tensor, place: Tensor) -> Tensor:
    """A plane [..., R, R] whose texel (row, column) is read at the fractional row `place` [R, R] of the same column."""
    last = plane.shape[-2] - 1
    place = place.clamp(0, last)
    low = place.floor().long().clamp(max=max(last - 1, 0))
    share = (place - low).to(plane)
    a, b = (plane.gather(-2, rows.expand_as(plane)) for rows in (low, (low + 1).clamp(max=last)))
    return a + (b - a) * share


def centres(count: int) -> Tensor:
    """[count] of texels, in units of half the box, -1 .. 1."""
    return (torch.arange(count) + 0.5) * 2 / count - 1


def texels(z: Tensor, count: int) -> Tensor:
    """Fractional texels [...] of such places [...]."""
    return (z + 1) * count / 2 - 0.5


def spoil(head: Head, kind: str) -> Head:
    """A head with such a fault, as strong as `bench restoration` has it.

    Raises:
        ValueError: as `spoilt_planes`.
    """
    return replace(head, planes=spoilt_planes(head.planes, head.config, Fault(kind, AMOUNTS.get(kind, 0.0))))


def spoilt_planes(planes: Tensor, config: FieldConfig, fault: Fault) -> Tensor:
    """Planes [B, 3, C, (D,) R, R] with a fault; same shape.

    Raises:
        ValueError: another kind, or planes that are not xy, xz, yz.
    """
    kind = fault.kind
    if kind not in KINDS:
        raise ValueError(f"spoil: expected a kind among {', '.join(KINDS)}, got {kind!r}; choose one of them")
    if tuple(config.plane_axes) != AXES:
        raise ValueError(
            f"spoil: expected planes {', '.join(AXES)}, got {', '.join(config.plane_axes)}; use the embedded prior"
        )
    xy, xz, yz = (plane.clone() for plane in planes.unbind(1))
    R, half = xy.shape[-1], xy.shape[-1] // 2
    if kind == "doubled":
        xz, yz = (torch.cat([plane[..., half:, :].flip(-2), plane[..., half:, :]], -2) for plane in (xz, yz))
        xy = behind(xy, lambda slices, front: front)
    elif kind == "flattened":
        z = centres(R)
        place = texels(torch.where(z < 0, z / fault.amount, z), R).to(xz.device)
        xz, yz = (along(plane, place, plane.ndim - 2) for plane in (xz, yz))
    elif kind == "dented":
        z = centres(R)[:, None]
        unit = config.box_side / 2
        depth = fault.amount / unit * (-z * unit / RAMP).clamp(0, 1)
        for plane, middle in ((xz, 0.0), (yz, HEIGHT)):
            across = (-((centres(R) * unit - middle) / WIDTH).square()).exp()
            plane.copy_(warped_rows(plane, texels(z - depth * across, R).to(plane.device)))
    else:
        rows = (
            torch.arange(R, device=xy.device) + fault.amount * R / config.box_side
        )  # what hangs lower is read from further up
        xy = behind(xy, lambda slices, front: along(slices, rows, slices.ndim - 2))
        back = along(yz[..., :half, :], rows, yz.ndim - 1)
        yz = torch.cat([back, yz[..., half:, :]], -2)
    return torch.stack([xy, xz, yz], 1)


def behind(xy: Tensor, change) -> Tensor:
    """A plane [B, C, (D,) R, R] whose slices of z behind the middle are changed; one without slices stays.

    Args:
        change: (slices, the front's mirrored) -> slices, each [B, C, D // 2, R, R].
    """
    if xy.ndim == 4:
        return xy
    D = xy.shape[2]
    front = xy[:, :, D - D // 2 :].flip(2)
    return torch.cat([change(xy[:, :, : D // 2], front), xy[:, :, D // 2 :]], 2)
