"""How real a view looks to a discriminator."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..camera import Camera, label_from_camera
from ..prior.discriminator import Discriminator


def image_pair(image: Tensor, raw_size: int) -> tuple[Tensor, Tensor]:
    """What a dual discriminator takes in place of a generator's two outputs: the image, and itself shrunk by area to the raw size.

    EG3D (Chan et al. 2022), section 4.3; the discriminator enlarges the second again.

    Args:
        image: [B, 3, R, R] in [0, 1]; R is a multiple of raw_size.

    Returns:
        image [B, 3, R, R], raw [B, 3, raw_size, raw_size], both in [-1, 1].

    Raises:
        ValueError: a size that is no multiple.
    """
    if image.shape[-1] % raw_size:
        raise ValueError(f"image_pair: expected a size that is a multiple of {raw_size}, got {image.shape[-1]}; render at another size")
    image = image * 2 - 1  # from [0, 1] to [-1, 1]
    return image, F.interpolate(image, size=(raw_size, raw_size), mode="area")


@torch.no_grad()
def discriminator_score(discriminator: Discriminator, image: Tensor, camera: Camera) -> float:
    """Mean probability of being real: sigmoid of the logit of each `image_pair` seen by its camera.

    Image by image, since a discriminator also compares the images of a batch.

    Args:
        image: [B, 3, R, R] in [0, 1], of the discriminator's resolution. camera: [B].
    """
    image, raw = image_pair(image, discriminator.config.raw_resolution)
    label = label_from_camera(camera).to(image)
    logits = [discriminator(image[i : i + 1], raw[i : i + 1], label[i : i + 1]) for i in range(len(image))]
    return torch.sigmoid(torch.cat(logits).float()).mean().item()
