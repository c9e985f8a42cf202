"""Identity similarity: is it the same person, by a small network of our own.

It learnt from procedural heads alone (`train identity`), so its figures compare with other figures of ours only, never with ArcFace's.
A person is here skull, face, skin, eyes, brows, beard and hair; expression, light, clothing, glasses and the view are not.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..bounds import integer_tuple, integers
from ..checkpoint import shipped_network

CROP_SIDE = 0.64  # frame widths: the square around the head in a canonical frame, in the middle across
CROP_TOP = 0.16  # frame widths above it
CROP_SIZE = 128  # pixels


@dataclass(frozen=True, kw_only=True)
class IdentityConfig:
    """Size of an identity network.

    Attributes:
        channels: per halving of the crop. dimensions: of the embedding.
    """

    channels: tuple[int, ...] = (24, 40, 64, 88, 104)
    dimensions: int = 64

    def __post_init__(self) -> None:
        integers(self, dimensions=(0, 8192))
        integer_tuple(self, "channels", count=(1, 7), each=(1, 4096))
        if (
            any(width % 8 for width in self.channels)
            or self.dimensions < 2
            or CROP_SIZE % 2 ** len(self.channels)
        ):
            raise ValueError(
                f"IdentityConfig: expected channels in eights and 2 dimensions or more, got {self}; use the defaults"
            )


class IdentityNetwork(nn.Module):
    """A crop of a head -> a unit vector that is near for one person and far for two."""

    def __init__(self, config: IdentityConfig, *, operations=torch.nn) -> None:
        super().__init__()
        self.config = config
        widths = (3, *config.channels)
        self.convs = nn.ModuleList(
            operations.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(widths)
        )
        self.more = nn.ModuleList(operations.Conv2d(b, b, 3, padding=1) for b in config.channels)
        self.norms = nn.ModuleList(operations.GroupNorm(8, b) for b in config.channels)
        side = CROP_SIZE // 2 ** len(config.channels)
        self.gather = operations.Conv2d(
            widths[-1], widths[-1], side, groups=widths[-1]
        )  # each channel weighs the places of its own
        self.out = operations.Linear(widths[-1], config.dimensions)

    def forward(self, crop: Tensor) -> Tensor:
        """crop [B, 3, 128, 128] sRGB in [0, 1], on white, `head_crop` -> [B, dimensions], of length 1.

        Raises:
            ValueError: crops of another shape.
        """
        if crop.ndim != 4 or crop.shape[1:] != (3, CROP_SIZE, CROP_SIZE):
            raise ValueError(
                f"identity: expected crops [B, 3, {CROP_SIZE}, {CROP_SIZE}], got {list(crop.shape)}; use head_crop"
            )
        x = crop * 2 - 1  # from [0, 1] to [-1, 1]
        for down, more, norm in zip(self.convs, self.more, self.norms, strict=True):
            x = F.silu(norm(down(x)))
            x = x + F.silu(more(x))
        return F.normalize(self.out(self.gather(x).flatten(1)), dim=1)


def head_crop(image: Tensor) -> Tensor:
    """The head out of canonical frames [B, 3, S, S] in [0, 1] of any view: [B, 3, 128, 128].

    Raises:
        ValueError: frames that are no batch, not square, or smaller than 32 pixels.
    """
    S = image.shape[-1]
    if image.ndim != 4 or image.shape[-2] != S or S < 32:
        raise ValueError(
            f"head_crop: expected square canonical frames [B, 3, S, S], S >= 32, got {list(image.shape)}; align them first"
        )
    side, top = round(CROP_SIDE * S), round(CROP_TOP * S)
    left = (S - side) // 2
    crop = image[:, :, top : top + side, left : left + side]
    return F.interpolate(crop, size=(CROP_SIZE, CROP_SIZE), mode="bilinear", antialias=True)


def identity_similarity(network: IdentityNetwork, a: Tensor, b: Tensor) -> Tensor:
    """Cosine of the embeddings of two batches of canonical frames on white, pair by pair, at any two views within 75 degrees of the front.

    Args:
        a: [B, 3, S, S] sRGB in [0, 1]. b: [B, 3, T, T].

    Returns:
        [B] in -1 .. 1, 1 for equal pictures.

    Raises:
        ValueError: batches of different lengths, or frames that are not square.
    """
    if len(a) != len(b):
        raise ValueError(
            f"identity_similarity: expected as many pictures in both batches, got {len(a)} and {len(b)}; pair them"
        )
    return (network(head_crop(a)) * network(head_crop(b))).sum(1)


def shipped_identity() -> IdentityNetwork:
    """The network that comes with the pack, frozen, on the CPU."""
    return shipped_network("identity", IdentityConfig, IdentityNetwork)
