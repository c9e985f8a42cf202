"""How real a view looks to a discriminator."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..camera import Camera


def camera_label(camera: Camera) -> Tensor:
    """[B] cameras -> [B, 25]: cam2world, then intrinsics, both row by row, as the family's networks take them."""
    return torch.cat([camera.cam2world.flatten(-2), camera.intrinsics.flatten(-2)], dim=-1)


def image_pair(image: Tensor, raw_size: int) -> tuple[Tensor, Tensor]:
    """What a dual discriminator takes in place of a generator's two outputs: the image, and itself without its fine detail.

    EG3D (Chan et al. 2022), section 4.2. The image shrunk by area is at the raw size; the discriminator enlarges it again.

    Args:
        image: [B, 3, R, R] in [0, 1]; R is a multiple of raw_size.

    Returns:
        image [B, 3, R, R], raw [B, 3, raw_size, raw_size], both in -1 .. 1.
    """
    if image.shape[-1] % raw_size:
        raise ValueError(f"image_pair: expected a size that is a multiple of {raw_size}, got {image.shape[-1]}; render at another size")
    image = image * 2 - 1  # from [0, 1] to [-1, 1]
    return image, F.interpolate(image, size=(raw_size, raw_size), mode="area")


@torch.no_grad()
def discriminator_score(
    discriminator: Callable[[Tensor, Tensor, Tensor], Tensor], image: Tensor, label: Tensor, *, raw_size: int = 128
) -> float:
    """Mean probability of being real: sigmoid of the discriminator's logits on `image_pair` with its camera.

    Args:
        discriminator: (image [B, 3, R, R], raw [B, 3, r, r], both in -1 .. 1, label [B, 25]) -> logits [B].
        image: [B, 3, R, R] in [0, 1]. label: [B, 25], `camera_label`. raw_size: r.
    """
    return torch.sigmoid(discriminator(*image_pair(image, raw_size), label).float()).mean().item()
