"""Photos within a size, without a copy of what is larger."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import interpolate

MAX_SIDE = 2048  # pixels along a photo's side that anything is computed of
STRIP = 256  # rows that are shrunk at once


def within(planes: Tensor, side: int, callback: Callable[[float], None] | None = None) -> Tensor:
    """Planes whose longer side is at most `side` pixels, antialiased; those that are small enough as they came.

    First the rows are shortened, strip by strip, then their number: beside the photo no more than H rows of the result's width
    are in memory, as float32.

    Args:
        planes: [C, H, W], in any memory order. callback: told the share done, 0 .. 1.

    Returns:
        [C, h, w]; float32 where it was shrunk.
    """
    height, width = planes.shape[-2:]
    if max(height, width) <= side:
        return planes
    shrink = side / max(height, width)
    rows, columns = (max(1, round(n * shrink)) for n in (height, width))
    strips = []
    for top in range(0, height, STRIP):
        strip = planes[None, :, top : top + STRIP].float()
        strips.append(interpolate(strip, size=(strip.shape[-2], columns), mode="bilinear", antialias=True)[0])
        if callback is not None:
            callback(min(1.0, (top + STRIP) / height))
    narrow = torch.cat(strips, 1)
    return interpolate(narrow[None], size=(rows, columns), mode="bilinear", antialias=True)[0]
