"""Geometry apart from colour: planes of a head that only move smoothly, so that detail of a photo becomes paint, not bumps.

A photo says colours at every pixel, and shape hardly anywhere: fitted together, texture is explained by small hills. An offset on a
grid of a fraction of the planes' resolution cannot make these.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

SHARE = 4  # texels of the planes along one of the offset's
RATE = 0.7  # of the planes' learning rate: one texel of the offset moves many


def coarse_offset(planes: Tensor, share: int = SHARE) -> Tensor:
    """Zeros for an offset of planes [B, 3, C, (D,) H, W]: [B, 3, C, (D,) H / share, W / share], at least one texel a side."""
    side = max(1, planes.shape[-1] // share)
    return planes.new_zeros(*planes.shape[:-2], side, side)


def moved(planes: Tensor, offset: Tensor) -> Tensor:
    """Planes [B, 3, C, (D,) H, W] plus an offset of any resolution [B, 3, C, (D,) h, w], enlarged bilinearly.

    Raises:
        ValueError: an offset of other planes.
    """
    if offset.shape[:-2] != planes.shape[:-2]:
        raise ValueError(
            f"geometry: expected an offset [{list(planes.shape[:-2])}, h, w], got {list(offset.shape)}; make it with coarse_offset"
        )
    flat = offset.flatten(1, -3)
    smooth = F.interpolate(flat, size=planes.shape[-2:], mode="bilinear", align_corners=False)
    return planes + smooth.view(planes.shape)
