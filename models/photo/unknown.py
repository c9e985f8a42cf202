"""What a photo does not tell: outside it, behind somebody else, or where matting is in doubt. It is neither person nor background."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate, max_pool2d

from ..camera import Camera, project
from .mean_head import mean_head
from .pose import CANONICAL_LANDMARKS

CUT = 0.03  # share of a part of the mean head outside the photo, from which on it is told
HAIR = 0.1  # crop widths beside the mean head, up to which hair, hats and shoulders of others reach
NEAR = 0.06  # crop widths about the mean head, within which another person may hide some of this one


def outside(inside: Tensor, camera: Camera) -> Tensor | None:
    """1 where a head might go on outside the photo, else 0; None where it nowhere might.

    Farther from the mean head than the widest hair there is background, in a photo or outside it: to leave that open, too, would let
    a fit put matter there.

    Args:
        inside: [1, S, S], 1 within the photo. camera: unbatched, of the crop.
    """
    beyond = (inside < 0.99) & (near_head(camera, inside.shape[-1], inside.device, HAIR) > 0.5)
    return beyond.to(inside) if bool(beyond.any()) else None


def either(*masks: Tensor | None) -> Tensor | None:
    """The largest of masks [1, S, S], those that are None left out; None for none at all."""
    some = [mask for mask in masks if mask is not None and bool(mask.any())]
    return torch.stack(some).amax(0) if some else None


def head_mask(camera: Camera, size: int, device: torch.device) -> Tensor:
    """The mean head [1, size, size] in a crop, 0 or 1; camera: unbatched."""
    silhouette = mean_head(device).silhouette(camera.to(device), 48)
    return interpolate(silhouette, size=(size, size), mode="nearest")[0]


def near_head(camera: Camera, size: int, device: torch.device, reach: float) -> Tensor:
    """[1, size, size]: 1 in a crop at most `reach` crop widths beside the mean head, else 0; camera: unbatched."""
    radius = round(reach * size)
    return max_pool2d(head_mask(camera, size, device)[None], 2 * radius + 1, 1, radius)[0]


def hidden_by(rivals: Tensor | None, mask: Tensor, camera: Camera) -> Tensor | None:
    """1 where this head might go on behind others.

    Args:
        rivals: [1, S, S], where other people stand. mask: [1, S, S], this one's.
    """
    if rivals is None:
        return None
    near = near_head(camera, mask.shape[-1], mask.device, NEAR) > 0.5
    return ((rivals.to(mask) > 0.5) & near & (mask < 0.5)).to(mask)


def cut_notes(inside: Tensor, camera: Camera) -> tuple[str, ...]:
    """On which sides the photo's edge cuts the head, in words.

    Args:
        inside: [1, S, S], 1 within the photo. camera: unbatched, of the crop.
    """
    size = inside.shape[-1]
    head = head_mask(camera, size, inside.device) > 0.5
    beyond = inside < 0.5
    if not bool((head & beyond).any()):
        return ()
    landmarks = project(camera, torch.tensor(CANONICAL_LANDMARKS).to(inside))[0] * size
    row, column = torch.meshgrid(*(torch.arange(size, device=inside.device) + 0.5,) * 2, indexing="ij")
    face, eyes, chin = landmarks.mean(0), landmarks[:2, 1].mean(), landmarks[-1, 1]
    above_chin = row < chin
    parts = {
        "at the top": row < eyes,
        "on the left": above_chin & (column < face[0]),
        "on the right": above_chin & (column >= face[0]),
        "at the chin": above_chin & (row >= landmarks[3:5, 1].mean()),
    }
    notes = []
    for side, part in parts.items():
        whole = head & part
        share = float((whole & beyond).sum() / whole.sum().clamp_min(1))
        if share > CUT:
            notes.append(
                (
                    share,
                    f"the head is cut {side}: about {share:.0%} of that part is outside the photo, and left to the prior",
                )
            )
    return tuple(note for _, note in sorted(notes, reverse=True)[:1])
