"""What colours a person has along a soft outline, where a photo mixes them with what lies behind.

Germer et al. 2020 solve for foreground and background exactly; blur fusion (Forte 2021, "Approximate Fast Foreground Colour
Estimation", eqs. 4-7) comes near it with two blurs.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

WIDE, NARROW = 1 / 6, 1 / 40  # picture widths: half the sides of the two rounds' boxes
LARGEST = 256  # pixels a side at which means are taken
SURE = 0.98  # of a mask, from which on a pixel is the person's alone
LEAST = 1e-4  # share of a box that has to be of a kind


def foreground_colours(image: Tensor, mask: Tensor) -> Tensor:
    """A picture whose pixels that are partly background have the person's colours, as if the person stood before more of the person.

    Args:
        image: [3, S, S] sRGB in 0 .. 1, image = mask * person + (1 - mask) * background. mask: [1, S, S] in 0 .. 1.

    Returns:
        [3, S, S]: the person's colours where the mask is above 0 and below `SURE`, else the picture.
    """
    size = min(LARGEST, image.shape[-1])
    small, alpha = (
        F.interpolate(x[None], size=(size, size), mode="bilinear", antialias=True) for x in (image, mask)
    )
    near, far = small, small
    for width in (WIDE, NARROW):
        radius = max(1, round(width * size))
        near, far = _mean(near, alpha, radius), _mean(far, 1 - alpha, radius)  # eqs. 5, 6
        means = near, far
        near = _corrected(small, alpha, near, far)
    near, far = (F.interpolate(x, size=image.shape[-2:], mode="bilinear", align_corners=False) for x in means)
    person = _corrected(image[None], mask[None], near, far)[0]
    return torch.where((mask > 0) & (mask < SURE), person, image)


def _corrected(image: Tensor, alpha: Tensor, near: Tensor, far: Tensor) -> Tensor:
    """The person's colours [1, 3, S, S]: their mean, and what the picture says beyond both means (eq. 7)."""
    return (near + alpha * (image - alpha * near - (1 - alpha) * far)).clamp(0, 1)


def _mean(image: Tensor, weights: Tensor, radius: int) -> Tensor:
    """Mean of an image [1, 3, S, S] over boxes, by weights [1, 1, S, S]; the image itself where nothing is near that counts."""
    total = _box(weights, radius)
    return torch.where(total > LEAST, _box(image * weights, radius) / total.clamp_min(LEAST), image)


def _box(image: Tensor, radius: int) -> Tensor:
    """Mean over boxes of 2 radius + 1 pixels, less at borders; along one side, then the other."""
    rows = F.avg_pool2d(image, (2 * radius + 1, 1), 1, (radius, 0), count_include_pad=False)
    return F.avg_pool2d(rows, (1, 2 * radius + 1), 1, (0, radius), count_include_pad=False)
