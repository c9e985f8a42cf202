"""Shape metrics of views: silhouettes, distances, normals."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

MILLIMETRES_PER_UNIT = 700.0  # for printing: a scene unit is about 0.7 metres


def silhouette_iou(a: Tensor, b: Tensor) -> float:
    """Intersection over union of two masks of one shape [B, 1, H, W], inside where over 0.5; 1 where both are empty."""
    a, b = a > 0.5, b > 0.5
    union = (a | b).sum().item()
    return (a & b).sum().item() / union if union else 1.0


def depth_error(ours: Tensor, exact: Tensor, mask: Tensor) -> float:
    """Mean absolute difference of distances along the rays, in scene units.

    Args:
        ours, exact: [B, 1, H, W]. mask: [B, 1, H, W], inside both silhouettes where over 0.5.

    Raises:
        ValueError: empty mask.
    """
    return (ours - exact).abs()[_inside("depth_error", mask)].mean().item()


def normal_error(ours: Tensor, exact: Tensor, mask: Tensor) -> float:
    """Mean angle between normals, in degrees.

    Args:
        ours, exact: [B, 3, H, W] in one frame, of any length but zero. mask: [B, 1, H, W], inside both silhouettes where over 0.5.

    Raises:
        ValueError: empty mask.
    """
    inside = _inside("normal_error", mask)
    a, b = (F.normalize(x, dim=1) for x in (ours, exact))
    # The angle by both its chords: exact near 0 and 180 degrees, where the cosine is flat.
    angle = 2 * torch.atan2((a - b).norm(dim=1, keepdim=True), (a + b).norm(dim=1, keepdim=True))
    return torch.rad2deg(angle[inside].mean()).item()


def _inside(name: str, mask: Tensor) -> Tensor:
    """[B, 1, H, W] bool with at least one pixel."""
    inside = mask > 0.5
    if not inside.any():
        raise ValueError(f"{name}: expected silhouettes that overlap, got an empty mask; check cameras and masks")
    return inside
