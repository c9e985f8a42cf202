"""Perceptual distance: how different two pictures look, by a small network of our own.

The form is LPIPS' (Zhang et al. 2018, eq. 1): unit features, squared differences, learned weights of the channels, the mean over the
picture. The network is not: it is small, and it learnt from procedural heads alone (`train perceptual`), so its figures compare with
other figures of ours only. Its unit: 1 is the mean distance of two different heads of the factory, seen from the front.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..bounds import integer_tuple, integers
from ..checkpoint import shipped_network
from .vgg import unit

LEAST = 4  # pixels a side at the deepest level: less leaves no structure


@dataclass(frozen=True, kw_only=True)
class PerceptualConfig:
    """Size of a perceptual network.

    Attributes:
        stem: channels at full size. channels: of each level, at 1/2, 1/4, ... of it.
    """

    stem: int = 16
    channels: tuple[int, ...] = (24, 48, 80, 96)

    def __post_init__(self) -> None:
        integers(self, stem=(0, 4096))
        integer_tuple(self, "channels", count=(0, 8), each=(0, 4096))
        if not 3 <= len(self.channels) <= 5 or min(self.stem, *self.channels) < 1:
            raise ValueError(
                f"PerceptualConfig: expected 3 to 5 levels of at least one channel, got {self.channels}; use the defaults"
            )


class PerceptualNetwork(nn.Module):
    """Features of a picture at several sizes, and how much each channel counts.

    Levels are halved by averages, so that a shift by a pixel moves features a little instead of changing them; nothing is normalised
    over the picture, so that a change in one place stays there.
    """

    def __init__(self, config: PerceptualConfig, *, operations=torch.nn) -> None:
        super().__init__()
        self.config = config
        self.least = LEAST << len(config.channels)  # 64 pixels for four levels
        widths = (config.stem, *config.channels)
        self.stem = operations.Conv2d(3, config.stem, 3, padding=1)
        self.first = nn.ModuleList(operations.Conv2d(a, b, 3, padding=1) for a, b in pairwise(widths))
        self.second = nn.ModuleList(operations.Conv2d(b, b, 3, padding=1) for b in config.channels)
        self.log_weights = nn.ParameterList(nn.Parameter(torch.zeros(b)) for b in config.channels)

    def forward(self, image: Tensor) -> list[Tensor]:
        """image [B, 3, H, W] sRGB in [0, 1], H, W >= `least` -> features of each level [B, C, H / 2^i, W / 2^i], i = 1, 2, ...

        Raises:
            ValueError: not three channels, or too few pixels.
        """
        if image.ndim != 4 or image.shape[1] != 3 or min(image.shape[-2:]) < self.least:
            raise ValueError(
                f"perceptual: expected images [B, 3, H, W] of at least {self.least} pixels a side, got {list(image.shape)}; enlarge them"
            )
        x = F.leaky_relu(self.stem(image * 2 - 1), 0.1)  # from [0, 1] to [-1, 1]
        levels = []
        for first, second in zip(self.first, self.second, strict=True):
            x = F.leaky_relu(first(F.avg_pool2d(x, 2)), 0.1)
            x = F.leaky_relu(second(x), 0.1)
            levels.append(x)
        return levels

    def weights(self) -> list[Tensor]:
        """How much each channel counts: [C] > 0 for each level."""
        return [value.exp() for value in self.log_weights]


def feature_distance(features_a: list[Tensor], features_b: list[Tensor], weights: list[Tensor]) -> Tensor:
    """Sum over levels of mean over places of sum over channels of w_c (a_c - b_c)^2, a and b of unit length over channels: [B]."""
    levels = zip(features_a, features_b, weights, strict=True)
    parts = (((unit(a) - unit(b)).square() * w[:, None, None]).sum(1).mean((1, 2)) for a, b, w in levels)
    return sum(parts, features_a[0].new_zeros(()))


def perceptual_distance(network: PerceptualNetwork, a: Tensor, b: Tensor) -> Tensor:
    """How different the pictures of two batches look, pair by pair; 0 for equal ones, symmetric.

    Args:
        a, b: [B, 3, H, W] sRGB in [0, 1], H, W >= the network's `least`.

    Returns:
        [B] >= 0; 1 is about as far as another person.

    Raises:
        ValueError: batches of different shapes, or pictures that are too small.
    """
    if a.shape != b.shape:
        raise ValueError(
            f"perceptual_distance: expected two batches of one shape, got {list(a.shape)} and {list(b.shape)}; resize one"
        )
    return feature_distance(network(a), network(b), network.weights())


def embedding(network: PerceptualNetwork, image: Tensor) -> Tensor:
    """One vector a picture for `distribution.kernel_distance`: the deepest level, unit vectors, averaged over the picture.

    Scaled by the root of its length, as the kernel expects products of the order of the length.

    Args:
        image: [B, 3, H, W] sRGB in [0, 1].

    Returns:
        [B, D].
    """
    deepest = network(image)[-1]
    return unit(deepest).mean((2, 3)) * deepest.shape[1] ** 0.5


def shipped_perceptual() -> PerceptualNetwork:
    """The network that comes with the pack, frozen, on the CPU."""
    return shipped_network("perceptual", PerceptualConfig, PerceptualNetwork)
