"""Intervals of means over heads."""

from __future__ import annotations

import torch
from torch import Tensor

RESAMPLES = 2000


def interval(
    values: Tensor, generator: torch.Generator, resamples: int = RESAMPLES
) -> tuple[float, float, float]:
    """Mean of one figure per head, and its 95 % percentile bootstrap interval (Efron 1979): heads are drawn again with repeats.

    Paired: pass the heads' differences of two methods; the same head is then always drawn for both.

    Args:
        values: [N], one per head, N >= 1; finite.

    Returns:
        mean, low, high.

    Raises:
        ValueError: no values, or values that are not finite.
    """
    if values.ndim != 1 or len(values) == 0 or not values.isfinite().all():
        raise ValueError(
            f"bootstrap: expected finite values [N] of at least one head, got {values.tolist()}; leave such heads out"
        )
    values = values.double().cpu()
    pick = torch.randint(len(values), (resamples, len(values)), generator=generator)
    low, high = torch.quantile(
        values[pick].mean(1), torch.tensor([0.025, 0.975], dtype=torch.float64)
    ).tolist()
    return values.mean().item(), low, high
