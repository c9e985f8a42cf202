"""How a surface looks that has no exact one to be held against: its roughness, and the matter that is not on it."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def roughness(normals: Tensor, mask: Tensor) -> float:
    """Mean angle between the normals of pixels side by side, in degrees; dimples raise it, and so does the form itself.

    Compare pictures of one kind of thing at one size only: a pixel half as wide halves the angle.

    Args:
        normals: [B, 3, H, W] in one frame a picture, of any length but zero. mask: [B, 1, H, W], inside where over 0.5.

    Returns:
        Degrees; NaN where no two neighbours lie inside.
    """
    unit, inside = F.normalize(normals, dim=1), mask > 0.5
    angles = [
        _angle(a, b)[both]
        for (a, b), (one, other) in zip(_neighbours(unit), _neighbours(inside), strict=True)
        for both in [one & other]
    ]
    return torch.rad2deg(torch.cat(angles).mean()).item()


def _neighbours(image: Tensor) -> list[tuple[Tensor, Tensor]]:
    """[B, C, H, W] -> pairs of pixels side by side, then of those one above the other."""
    return [(image[..., :-1], image[..., 1:]), (image[..., :-1, :], image[..., 1:, :])]


def _angle(a: Tensor, b: Tensor) -> Tensor:
    """[B, 1, ...] radians between unit vectors [B, 3, ...], by both their chords: exact near 0, where the cosine is flat."""
    return 2 * torch.atan2((a - b).norm(dim=1, keepdim=True), (a + b).norm(dim=1, keepdim=True))


def stray_matter(solid: Tensor) -> tuple[int, float]:
    """Pieces that hang in the air beside the largest one; what its hollow hides is none.

    Args:
        solid: [X, Y, Z], matter where true; cells that share a corner belong together.

    Returns:
        pieces; their share of all matter that is not hidden, 0 where there is none.
    """
    pieces, main = stray_pieces(solid)
    stray = int((pieces > 0).sum())
    return len(pieces.unique()) - 1 if stray else 0, stray / (stray + main) if stray else 0.0


def stray_pieces(solid: Tensor) -> tuple[Tensor, int]:
    """Those pieces: [X, Y, Z], another number above 0 for each, 0 where there is none; and how many cells the largest has.

    Args:
        solid: as of `stray_matter`.
    """
    from scipy import ndimage

    matter = solid.cpu().numpy()
    pieces = np.zeros(matter.shape, dtype=np.int32)
    ndimage.label(matter, structure=np.ones((3, 3, 3)), output=pieces)
    sizes = np.bincount(pieces.ravel())
    if len(sizes) < 2:
        return torch.zeros_like(solid, dtype=torch.int32), 0
    main = int(sizes[1:].argmax()) + 1
    solid_main = np.zeros(matter.shape, dtype=bool)
    ndimage.binary_fill_holes(pieces == main, output=solid_main)
    pieces[solid_main] = 0
    return torch.from_numpy(pieces).to(solid.device), int(sizes[main])
