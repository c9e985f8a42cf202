"""Value noise that has the same bits on every device: smooth random numbers over space, for skin, cloth and strands of hair."""

from __future__ import annotations

import functools

import torch
from torch import Tensor


def noise(coordinates: tuple[Tensor, ...], seed: int, period: int | None = None) -> Tensor:
    """Values in [-1, 1], one cell per unit, smooth between the cells' corners.

    Args:
        coordinates: one to three, each [N].
        period: cells after which the first coordinate repeats (an angle); None for never.

    Returns:
        [N].
    """
    table = _table().to(coordinates[0])
    keys = [torch.tensor(seed * 7919, dtype=torch.int32, device=table.device)]
    weights: list[Tensor] = []
    for axis, c in enumerate(coordinates):
        floor = c.floor()
        f = c - floor
        smooth = f * f * (3 - 2 * f)
        low = floor.to(torch.int32)
        high = low + 1
        if axis == 0 and period is not None:
            low, high = low.remainder(period), high.remainder(period)
        ends = ((low * _PRIMES[axis], 1 - smooth), (high * _PRIMES[axis], smooth))
        shares = [share for _, share in ends]
        keys = [key ^ end for key in keys for end, _ in ends]
        weights = [weight * share for weight in weights for share in shares] if weights else shares
    total = torch.zeros_like(coordinates[0])
    for key, weight in zip(keys, weights):
        total.addcmul_(table[((key ^ (key >> 13)) & 0xFFF).long()], weight)
    return total


_PRIMES = (
    73_856_093,
    19_349_663,
    83_492_791,
)  # of a spatial hash (Teschner et al. 2003); int32 products wrap, everywhere alike


@functools.cache
def _table() -> Tensor:
    """4,096 values in [-1, 1] from an integer hash, the same on every machine."""
    key = torch.arange(4096, dtype=torch.int64)
    for factor in (0x045D9F3B, 0x119DE1F3):
        key = (key ^ (key >> 16)) * factor & 0xFFFFFFFF
    return ((key ^ (key >> 15)) & 0xFFFF).float() / 32767.5 - 1
