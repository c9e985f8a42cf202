"""How StyleGAN2 doubles the size of pictures and activations: zeros between pixels, then a low-pass filter.

StyleGAN2 (Karras et al. 2020), appendix B, as its released weights have it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def fir_taps() -> Tensor:
    """The low-pass filter [4, 4] of all resampling, sum 1."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return torch.outer(taps, taps) / 64


def _depthwise(taps: Tensor, like: Tensor) -> Tensor:
    """The filter of a 2x upsampling (gain 4) for each channel of [B, C, H, W] on its own: [C, 1, 4, 4]."""
    return (4 * taps).to(like.dtype).expand(like.shape[1], 1, -1, -1)


def upsample(image: Tensor, taps: Tensor) -> Tensor:
    """[B, C, H, W] -> [B, C, 2H, 2W]: zeros between the pixels, then the filter.

    A transposed convolution per channel does both; on a CPU it is faster than two one-dimensional passes or `interpolate`.
    """
    return F.conv_transpose2d(image, _depthwise(taps, image), stride=2, padding=1, groups=image.shape[1])


def upsampling_conv(x: Tensor, weight: Tensor, taps: Tensor) -> Tensor:
    """[B, inputs, H, W] -> [B, outputs, 2H, 2W]: a transposed 3 x 3 convolution to 2H + 1, then the filter.

    Args:
        weight: [outputs, inputs, 3, 3]. taps: [4, 4].
    """
    y = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
    return F.conv2d(y, _depthwise(taps.flip(0, 1), y), padding=1, groups=y.shape[1])
