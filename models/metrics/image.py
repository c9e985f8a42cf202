"""Pixel metrics."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor


def psnr(a: Tensor, b: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of images of one shape in [0, 1]; infinite where equal."""
    error = (a - b).square().mean().item()
    return math.inf if error == 0 else -10 * math.log10(error)


def masked_psnr(a: Tensor, b: Tensor, mask: Tensor) -> float:
    """PSNR in dB inside a mask, at the size of `a`.

    Args:
        a: [B, 3, H, W] in [0, 1]. b: [B, 3, h, w]. mask: [B, 1, h, w], inside where over 0.5.
    """
    size = a.shape[-2:]
    b, mask = (F.interpolate(x, size=size, mode="bilinear", antialias=True) if x.shape[-2:] != size else x for x in (b, mask))
    inside = (mask > 0.5).expand_as(a)
    if not inside.any():
        raise ValueError("masked_psnr: expected a mask with a foreground, got an empty one")
    return psnr(a[inside], b[inside])
