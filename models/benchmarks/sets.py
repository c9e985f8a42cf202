"""Distances between sets of pictures, where whole heads are the samples: one vector a picture, several pictures a head."""

from __future__ import annotations

import torch
from torch import Tensor

from ..commands.report import Row
from ..metrics.distribution import frechet_distance, kernel_distance

HALVES = 200  # draws of half of the heads


def kernel_row(name: str, metric: str, ours: Tensor, exact: Tensor) -> Row:
    """Kernel distance between features of two sets [heads, V, D].

    Its interval is that of halves of the heads, drawn without repeats (as wide as a bootstrap's; repeats would bias the estimator).
    """
    count = len(ours)
    draws = torch.Generator().manual_seed(0)
    half = max(1, count // 2)
    picks = [torch.randperm(count, generator=draws)[:half] for _ in range(HALVES)]
    samples = [kernel_distance(ours[pick].flatten(0, 1), exact[pick].flatten(0, 1)) for pick in picks]
    low, high = (
        torch.tensor(samples, dtype=torch.float64)
        .quantile(torch.tensor([0.025, 0.975], dtype=torch.float64))
        .tolist()
    )
    value = kernel_distance(ours.flatten(0, 1), exact.flatten(0, 1))
    return Row(name, metric, value, "", low, high, count)


def frechet_row(name: str, metric: str, ours: Tensor, exact: Tensor) -> Row:
    """Frechet distance between features of two sets [heads, V, D]; it grows as they become smaller, so that halves tell no interval."""
    value = frechet_distance(ours.flatten(0, 1), exact.flatten(0, 1))
    return Row(name, metric, value, "", n=len(ours))
