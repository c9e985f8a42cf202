"""How far pictures are apart as a network sees them: the prior's discriminator, or the user's VGG16."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..metrics.vgg import VGG16, unit
from ..prior.contract import HeadGenerator
from ..prior.discriminator import Discriminator

# (image, raw), (true image, true raw), all [B, 3, H, W] in [-1, 1] -> one number
Perceptual = Callable[[tuple[Tensor, Tensor], tuple[Tensor, Tensor]], Tensor]


def critic_distance(critic: Discriminator) -> Perceptual:
    """The distance of pictures in the features of the prior's discriminator, each level relative to its size."""

    def distance(shown: tuple[Tensor, Tensor], truth: tuple[Tensor, Tensor]) -> Tensor:
        with torch.no_grad():
            levels = critic.features(*truth)
        pairs = zip(critic.features(*shown)[:3], levels[:3], strict=True)
        first, *others = ((a - b).abs().mean() / b.abs().mean().clamp(min=1e-3) for a, b in pairs)
        return sum(others, start=first)

    return distance


LOOKED_AT = 256  # pixels of whole pictures that a VGG16 sees, as in StyleGAN2's projector


def vgg_distance(network: VGG16, shrink: int = 1) -> Perceptual:
    """The distance of pictures in VGG16's features, each scaled to unit length over its channels; raw renders are not looked at.

    Args:
        shrink: pixels that become one, along a side.
    """

    def distance(shown: tuple[Tensor, Tensor], truth: tuple[Tensor, Tensor]) -> Tensor:
        image, true_image = (
            F.avg_pool2d(pair[0], shrink) if shrink > 1 else pair[0] for pair in (shown, truth)
        )
        with torch.no_grad():
            levels = [unit(x) for x in network(true_image)]
        pairs = zip(network(image), levels, strict=True)
        first, *others = ((unit(x) - y).square().sum(1).mean() for x, y in pairs)
        return sum(others, start=first)

    return distance


@dataclass(frozen=True)
class Eyes:
    """What an inversion sees with. Attributes: distance: of pictures; None for pixels alone. name: for people."""

    distance: Perceptual | None
    name: str


def eyes_for(
    prior: HeadGenerator, critic: Discriminator | None, vgg: VGG16 | None, name: str = "your VGG16"
) -> Eyes:
    """The user's VGG16, or else a critic that was trained on pictures of the prior's sizes, or else nothing beside pixels.

    Nothing, too, where the prior does not super-resolve: rays are compared then, and no pictures.

    Args:
        critic, vgg: None where there is none. name: of the VGG16, for people.
    """
    if not prior.super_resolves:
        return Eyes(None, "pixels alone, as the prior does not super-resolve")
    if vgg is not None:
        return Eyes(vgg_distance(vgg, max(1, prior.resolution // LOOKED_AT)), name)
    if critic is not None and fits(critic, prior):
        return Eyes(critic_distance(critic), "the prior's discriminator")
    return Eyes(None, "pixels alone, as no discriminator of the prior's sizes and no VGG16 is there")


def fits(critic: Discriminator, prior: HeadGenerator) -> bool:
    """Whether a critic was trained on pictures of a prior's sizes."""
    return (critic.config.resolution, critic.config.raw_resolution) == (
        prior.resolution,
        prior.config.raw_resolution,
    )
