"""An aligned portrait cropped anew, for a prior whose heads are larger or smaller, or lie elsewhere, in front of the same camera."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from ..camera import project
from .alignment import MAX_PHOTO, AlignedPortrait, resample
from .pose import CANONICAL_LANDMARKS


def crop_of_landmarks(reference: AlignedPortrait, scale: float, offset: tuple[float, float, float]) -> Tensor:
    """[2, 3] float64, from the new crop to the one that is there, both of width 1: where the canonical landmarks fall in both, in the
    least squares; larger heads mean smaller crops."""
    points = torch.tensor(CANONICAL_LANDMARKS, dtype=torch.float64)
    camera = reference.camera.to("cpu", torch.float64)
    before, _ = project(camera, points)
    after, _ = project(camera, points * scale + torch.tensor(offset, dtype=torch.float64))
    (a, b), (mean_a, mean_b) = (before, after), (before.mean(0), after.mean(0))
    side = ((b - mean_b) * (a - mean_a)).sum() / (b - mean_b).square().sum()
    return torch.cat([side * torch.eye(2, dtype=torch.float64), (mean_a - side * mean_b)[:, None]], 1)


def reframed(
    reference: AlignedPortrait, scale: float, offset: tuple[float, float, float], size: int
) -> AlignedPortrait:
    """The portrait as a prior's training would have cropped it, out of what was kept of the photo; its camera stays.

    Args:
        scale, offset: from the canonical head to the prior's, scene units. size: pixels of the new crop.

    Returns:
        The portrait without relief, which is in the canonical head's units; white and unknown where the old crop ends.

    Raises:
        ValueError: a scale of 0 or less.
    """
    if not scale > 0:
        raise ValueError(f"reframed: expected a scale above 0, got {scale}; use a prior's own frame")
    inner = crop_of_landmarks(reference, scale, offset)
    image, inside = _cut(reference.finest(), inner, size)
    planes = reference.mask if reference.unknown is None else torch.cat([reference.mask, reference.unknown])
    mask, *unknown = (plane[None] for plane in _cut(planes, inner, size)[0])
    beyond = (inside < 0.5).to(image)
    dark = beyond if not unknown else torch.maximum((unknown[0] > 0.5).to(image), beyond)
    affine = reference.crop_to_photo @ _square(inner, reference.image.shape[-1], size)
    return replace(
        reference,
        image=image * inside + 1 - inside,
        mask=mask * inside,
        crop_to_photo=affine,
        unknown=dark if bool(dark.any()) else None,
        photo=_fine(reference, inner, size),
        relief=None,
    )


def _square(inner: Tensor, size_from: int, size_to: int) -> Tensor:
    """[3, 3]: `crop_of_landmarks` in pixels, from a crop of `size_to` pixels to one of `size_from`."""
    pixels = inner * size_from
    pixels = torch.cat([pixels[:, :2] / size_to, pixels[:, 2:]], 1)
    return torch.cat([pixels, pixels.new_tensor([[0.0, 0.0, 1.0]])])


def _cut(values: Tensor, inner: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """As `resample`, of values [C, P, P] for a crop of `size` pixels."""
    return resample(values, _square(inner, values.shape[-1], size)[:2], size)


def _fine(reference: AlignedPortrait, inner: Tensor, size: int) -> Tensor | None:
    """The new crop [3, P, P] uint8 with a pixel for a pixel of what is kept; None where `size` is as fine."""
    finest = reference.finest()
    side = min(math.ceil(float(inner[0, 0]) * finest.shape[-1]), MAX_PHOTO)
    if side <= size:
        return None
    image, inside = _cut(finest, inner, side)
    return ((image * inside + 1 - inside) * 255).round().to(torch.uint8)
