"""Pixel metrics."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

LUMINANCE = (0.299, 0.587, 0.114)  # Rec. 601 luma of sRGB values
DETAIL_SIGMA = 2 / 256  # image widths


def psnr(a: Tensor, b: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of images [...] of one shape, in [0, 1]; infinite where equal."""
    error = (a - b).square().mean().item()
    return math.inf if error == 0 else -10 * math.log10(error)


def masked_psnr(a: Tensor, b: Tensor, mask: Tensor) -> float:
    """PSNR in dB inside a mask, at the size of `a`.

    Args:
        a: [B, 3, H, W] in [0, 1]. b: [B, 3, h, w]. mask: [B, 1, h, w], inside where over 0.5.

    Raises:
        ValueError: an empty mask.
    """
    size = a.shape[-2:]
    b, mask = (
        F.interpolate(x, size=size, mode="bilinear", antialias=True) if x.shape[-2:] != size else x
        for x in (b, mask)
    )
    inside = (mask > 0.5).expand_as(a)
    if not inside.any():
        raise ValueError(
            "masked_psnr: expected a mask with a foreground, got an empty one; leave out the views without a person"
        )
    return psnr(a[inside], b[inside])


def ssim(a: Tensor, b: Tensor) -> float:
    """Structural similarity (Wang et al. 2004), section III-B: Gaussian window of 11 pixels, sigma 1.5, mean over whole windows and channels.

    Args:
        a, b: [B, C, H, W] in [0, 1], at least 11 pixels along a side.

    Raises:
        ValueError: other shapes, or fewer than 11 pixels.
    """
    from kornia.metrics import ssim as ssim_map

    if a.shape != b.shape or min(a.shape[-2:]) < 11:
        raise ValueError(
            f"ssim: expected two batches of images of one size >= 11, got {list(a.shape)} and {list(b.shape)}; resize them"
        )
    return ssim_map(a, b, window_size=11, padding="valid").mean().item()


def luminance(rgb: Tensor) -> Tensor:
    """[B, 3, H, W] sRGB -> [B, 1, H, W]."""
    return (rgb * rgb.new_tensor(LUMINANCE)[:, None, None]).sum(1, keepdim=True)


def blur(values: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of [..., H, W], zero outside the image; sigma in pixels.

    As two products with banded matrices, which a CPU does many times faster than convolutions of one channel.
    """
    rows, columns = (_gaussian(side, sigma).to(values) for side in values.shape[-2:])
    return rows @ values @ columns


def _gaussian(side: int, sigma: float) -> Tensor:
    """[side, side]: the weight of pixel i in the blurred pixel j; symmetric, cut at four sigma, sums to one far from the edges."""
    reach = max(1, math.ceil(4 * sigma))
    kernel = torch.exp(-torch.arange(-reach, reach + 1).double().square() / (2 * sigma * sigma))
    place = torch.arange(side)
    apart = (place[:, None] - place + reach).clamp(-1, 2 * reach + 1)
    return F.pad(kernel / kernel.sum(), (1, 1))[apart + 1]


def masked_blur(values: Tensor, mask: Tensor, sigma: float) -> Tensor:
    """The Gaussian-weighted mean of the values inside a mask: what lies outside, such as a white background, has no part in it.

    Args:
        values: [B, C, H, W]. mask: [B, 1, H, W], 0 or 1. sigma: pixels.
    """
    return blur(values * mask, sigma) / blur(mask, sigma).clamp_min(1e-6)


def detail(rgb: Tensor, mask: Tensor) -> Tensor:
    """Fine detail [B, 1, H, W]: luminance minus its Gaussian blur (sigma 2 pixels at 256) within the mask, 0 outside.

    Args:
        rgb: [B, 3, H, W] in [0, 1]. mask: [B, 1, H, W], inside where over 0.5.
    """
    inside = (mask > 0.5).to(rgb)
    grey = luminance(rgb)
    return inside * (grey - masked_blur(grey, inside, DETAIL_SIGMA * rgb.shape[-1]))


def high_frequency(ours: Tensor, exact: Tensor, mask: Tensor) -> tuple[float, float]:
    """How much fine detail a picture has, and how much of it is right.

    The mask is the foreground that both share; its silhouette against the background is no detail (`masked_blur`).

    Args:
        ours, exact: [B, 3, H, W] in [0, 1]. mask: [B, 1, H, W], inside where over 0.5.

    Returns:
        share, energy of our detail over that of the exact one (1 is right; noise raises it, too);
        correlation of the two in -1 .. 1 (noise has none).

    Raises:
        ValueError: empty mask, or an exact picture without any detail.
    """
    a, b = detail(ours, mask), detail(exact, mask)
    energy, exact_energy = (x.double().square().sum().item() for x in (a, b))
    if exact_energy == 0:
        raise ValueError(
            "high_frequency: expected a foreground with some detail in the exact picture, got none; check the mask"
        )
    product = (a.double() * b.double()).sum().item()
    return energy / exact_energy, product / math.sqrt(energy * exact_energy) if energy > 0 else 0.0
