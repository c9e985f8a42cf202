"""What a head is fitted to: pictures of it, masks, and the cameras that see it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..camera import Camera

LEAST = 2  # views from which a shape can be told
BLANK = 0.002  # of a mask's pixels, below which there is no head in it


@dataclass(frozen=True)
class Views:
    """V views of one head (RodinHD, section 3.1: RGBA images and their cameras).

    Attributes:
        colour: [V, 3, S, S] sRGB times the mask. mask: [V, 1, S, S] in [0, 1]. cameras: [V].
    """

    colour: Tensor
    mask: Tensor
    cameras: Camera

    def __getitem__(self, rows: slice | Tensor) -> Views:
        return Views(self.colour[rows], self.mask[rows], self.cameras[rows])

    def on_white(self) -> Tensor:
        """The pictures [V, 3, S, S] on white."""
        return self.colour + 1 - self.mask

    def to(self, device: torch.device | str) -> Views:
        """The same on another device."""
        return Views(self.colour.to(device), self.mask.to(device), self.cameras.to(device))


def views_of(
    images: Tensor,
    masks: Tensor | None,
    cameras: Camera,
    box_side: float,
    *,
    background: Tensor | None = None,
) -> Views:
    """Pictures as they come -> `Views`.

    Args:
        images: [V, 3, S, S] in [0, 1]. masks: [V, 1, S, S] in [0, 1]. cameras: [V]. box_side: of the field, scene units.
        background: sRGB [3], the one colour behind the head, which is then taken out of half-covered pixels; None where it is not known.

    Raises:
        ValueError: named are too few views, images that are not square, counts that differ, masks that are missing or show no head,
            cameras inside the head's box, numbers that are not finite.
    """
    if images.ndim != 4 or images.shape[1] != 3 or images.shape[-1] != images.shape[-2]:
        raise ValueError(
            f"fit head: expected square images [V, 3, S, S], got {list(images.shape)}; crop them to squares"
        )
    V = len(images)
    if V < LEAST:
        raise ValueError(
            f"fit head: expected {LEAST} views or more, got {V}; one photo's head is what Invert Portrait makes"
        )
    if masks is None:
        raise ValueError(
            "fit head: expected a mask for each image, got none; wire Render Views' masks, or Align Portrait's for photographs"
        )
    if cameras.shape != (V,):
        raise ValueError(
            f"fit head: expected a camera for each of {V} images, got {list(cameras.shape)}; "
            "wire the cameras that the images were rendered from"
        )
    if masks.shape != (V, 1, *images.shape[-2:]):
        raise ValueError(
            f"fit head: expected masks {[V, 1, *images.shape[-2:]]} beside images {list(images.shape)}, got {list(masks.shape)}; "
            "wire masks of the same count and size"
        )
    if not (images.isfinite().all() and masks.isfinite().all()):
        raise ValueError(
            "fit head: expected images and masks of finite numbers, got NaN or infinity; check the node that made them"
        )
    blank = (masks.mean((1, 2, 3)) < BLANK).nonzero()[:, 0].tolist()
    if blank:
        raise ValueError(
            f"fit head: expected a head in each mask, but nothing is in {', '.join(map(str, blank))} (counted from 0); "
            "leave those views out, or invert the masks"
        )
    inside = (cameras.position.abs() < box_side / 2).all(-1).nonzero()[:, 0].tolist()
    if inside:
        raise ValueError(
            f"fit head: expected cameras outside the head's box (side {box_side:g} scene units), but {', '.join(map(str, inside))} "
            "(counted from 0) lie in it; use a larger radius (2.7 is usual)"
        )
    masks, images = masks.clamp(0, 1), images.clamp(0, 1)
    if background is None:
        return Views(images * masks, masks, cameras)
    behind = (1 - masks) * background.to(images)[:, None, None]
    return Views((images - behind).clamp(min=torch.zeros_like(masks), max=masks), masks, cameras)
