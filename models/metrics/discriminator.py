"""How real a view looks to a discriminator."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..prior.discriminator import Discriminator


def image_pair(image: Tensor, raw_size: int) -> tuple[Tensor, Tensor]:
    """What a dual discriminator takes in place of a generator's two outputs: the image, and itself without its fine detail.

    Args:
        image: [B, 3, R, R] in [0, 1]; R is a multiple of raw_size.

    Returns:
        image [B, 3, R, R], raw [B, 3, raw_size, raw_size], both in -1 .. 1.

    Raises:
        ValueError: a size that is no multiple of raw_size.
    """
    if image.shape[-1] % raw_size:
        raise ValueError(
            f"image_pair: expected a size that is a multiple of {raw_size}, got {image.shape[-1]}; render at another size"
        )
    image = image * 2 - 1  # from [0, 1] to [-1, 1]
    return image, F.interpolate(image, size=(raw_size, raw_size), mode="area")


@torch.no_grad()
def discriminator_scores(discriminator: Discriminator, image: Tensor, label: Tensor) -> Tensor:
    """Each picture's probability of being real [B]: sigmoid of the logit of its `image_pair` with its camera's label.

    Image by image, since a discriminator also compares the images of a batch.

    Args:
        image: [B, 3, R, R] in [0, 1], of the discriminator's resolution. label: [B, 25], `camera.label_from_camera`.

    Raises:
        ValueError: as `image_pair` and the discriminator.
    """
    image, raw = image_pair(image, discriminator.config.raw_resolution)
    logits = [discriminator(image[i : i + 1], raw[i : i + 1], label[i : i + 1]) for i in range(len(image))]
    return torch.sigmoid(torch.cat(logits).float())


def discriminator_score(discriminator: Discriminator, image: Tensor, label: Tensor) -> float:
    """Mean of `discriminator_scores` [B], 0 .. 1; the same arguments."""
    return discriminator_scores(discriminator, image, label).mean().item()
