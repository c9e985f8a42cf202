"""What people are like on average: the means and spreads of their landmarks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from .body import draw_body


def landmark_statistics(seeds: Iterable[int], scans: Path | None = None) -> tuple[Tensor, Tensor]:
    """Mean [68, 3] and standard deviation [68, 3] of the landmarks in the canonical frame, scene units.

    Args:
        seeds: two people or more. scans: where the model lies, as of `scans.scans_file`.

    Raises:
        ValueError: fewer than two seeds, or no scans.
    """
    places = [draw_body(seed, scans).landmarks for seed in seeds]
    if len(places) < 2:
        raise ValueError(f"landmark_statistics: expected two people or more, got {len(places)}; ask for more")
    stacked = torch.stack(places)
    return stacked.mean(0), stacked.std(0)
