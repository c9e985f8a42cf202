"""Smooth random fields over space, looked up in a small lattice that repeats: mottled skin, pores, weave."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .streams import Draws

CELLS = 24  # a side of the lattice


class Grain:
    """Value noise of C channels: about normal, mean 0, correlated over one cell."""

    def __init__(self, draws: Draws, channels: int = 1) -> None:
        """Args: draws: takes CELLS cubed numbers a channel. channels: C."""
        lattice = draws.generator.standard_normal((1, channels, CELLS, CELLS, CELLS), dtype=np.float32)
        self.lattice = F.pad(torch.from_numpy(lattice), (0, 1) * 3, mode="circular")

    def __call__(
        self, points: Tensor, cell: float, stretch: tuple[float, float, float] = (1.0, 1.0, 1.0)
    ) -> Tensor:
        """Values at points.

        Args:
            points: [P, 3], centimetres. cell: of the lattice, centimetres. stretch: how much longer cells are along x, y, z.

        Returns:
            [P] of one channel, else [P, C].
        """
        place = points / points.new_tensor([cell * s for s in stretch])
        whole = place.floor()
        part = place - whole
        smooth = whole + part * part * (3 - 2 * part)  # no creases between cells
        # from cells to grid_sample's -1..1 over the lattice, which repeats
        grid = smooth.remainder(CELLS) * (2 / CELLS) - 1
        values = F.grid_sample(
            self.lattice, grid[None, None, None], align_corners=True, padding_mode="border"
        )
        return values[0, 0, 0, 0] if values.shape[1] == 1 else values[0, :, 0, 0].T
