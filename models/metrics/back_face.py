"""Face on the back: is there a second face on the back of a head (Janus), or a faint print of the one in front?

How it sees one. The head is seen from yaw 0 and from yaw 180 (`cameras`), and the back view is mirrored left-right, so that
one pixel is one (x, y) in both. A face that leaks through planes shared by front and back lies at the same x, y; one that a
diffusion prior painted there lies nearly so. Both views are reduced to what makes a face and hardly anything else at the
back of a head: the structure between BAND[0] and BAND[1] scene units (lids, irises, brows, nostrils, lips; not the shading
of a skull), the same left and right (hair is not), inside the box of eyes, nose and mouth. Then

    share = <front, back> / <front, front>

is the share of the front's pattern that is found on the back: 0 without one, f where the back is f parts face and 1 - f
parts hair, 1 for a whole second face. It is taken twice, on the luminance (a print) and on the slopes of the surface (a
relief: sockets, nose, lips), each the largest over shifts of up to REACH up or down.

What an exact head gives by chance (strands, the nape's hairline, a collar) is the control: `thresholds` of many exact heads'
shares. Not seen: a second face that looks to the side, or at another size; a head whose front has no face.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..camera import FOCAL, RADIUS, Camera, orbit
from .image import luminance, masked_blur

BOX = (-0.06, 0.06, -0.115, 0.040)  # scene units: left, right, bottom, top of eyes, brows, nose and mouth
FACE_Z = 0.1  # scene units: about where the face's surface lies
BAND = (0.0035, 0.011)  # scene units: sigmas of the two blurs whose difference is kept
REACH = 0.02  # scene units


@dataclass(frozen=True)
class BackFace:
    """Share of the front's face found on the back; 0 for none, 1 for all.

    Attributes:
        colour: [B] in luminance. relief: [B] in the surface's slopes.
    """

    colour: Tensor
    relief: Tensor

    @property
    def score(self) -> Tensor:
        """[B]: the larger of the two."""
        return torch.maximum(self.colour, self.relief)

    def above(self, limits: BackFace) -> Tensor:
        """[B] bool: a face on the back, by colour or by relief. limits: `thresholds` of exact heads."""
        return (self.colour > limits.colour) | (self.relief > limits.relief)


def cameras() -> Camera:
    """The two canonical views [2] that the metric takes: front and back."""
    return orbit(torch.tensor([0.0, math.pi]), torch.zeros(2))


def thresholds(control: BackFace, quantile: float = 0.99) -> BackFace:
    """What exact heads stay below by chance: a quantile of each share, as 0-dim tensors.

    Raises:
        ValueError: fewer than 64 heads, which tell nothing about one in a hundred.
    """
    if len(control.colour) < 64:
        raise ValueError(f"thresholds: expected at least 64 exact heads, got {len(control.colour)}; measure more of them")
    return BackFace(torch.quantile(control.colour, quantile), torch.quantile(control.relief, quantile))


def back_face(rgb: Tensor, mask: Tensor, distance: Tensor) -> BackFace:
    """The share of the front's face that is found on the back, of B heads.

    Args:
        rgb: [B, 2, 3, S, S] in [0, 1], from `cameras()`; S about 128.
        mask: [B, 2, 1, S, S], matter where over 0.5. distance: [B, 2, 1, S, S] along the rays, scene units; free outside.

    Raises:
        ValueError: shapes that are not front and back views.
    """
    B, S = len(rgb), rgb.shape[-1]
    if rgb.shape != (B, 2, 3, S, S) or mask.shape != (B, 2, 1, S, S) or distance.shape != mask.shape:
        raise ValueError(
            "back_face: expected front and back as rgb [B, 2, 3, S, S], mask and distance [B, 2, 1, S, S], got "
            f"{list(rgb.shape)}, {list(mask.shape)}, {list(distance.shape)}; render `cameras()`"
        )
    solid = (mask > 0.5).to(rgb)
    parts = []
    for pattern in (_print, _relief):
        (front, front_mask), (back, back_mask) = pattern(rgb[:, 0], solid[:, 0], distance[:, 0]), pattern(
            rgb[:, 1].flip(-1), solid[:, 1].flip(-1), distance[:, 1].flip(-1)
        )
        parts.append(_share(front, front_mask * _box(S).to(rgb), back, back_mask))
    return BackFace(*parts)


def _print(rgb: Tensor, mask: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
    """What is painted: [B, 1, S, S], and where it is known."""
    pattern = _band(luminance(rgb), mask)
    return (pattern + pattern.flip(-1)) / 2, mask * mask.flip(-1)


def _relief(rgb: Tensor, mask: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
    """What is modelled: the x and y components of the normals, [B, 2, S, S], and where they are known.

    Normals are bounded, so that a step between two parts, as at a collar, weighs no more than a steep nose.
    """
    S = mask.shape[-1]
    pixel = distance[..., 1:-1, 1:-1].clamp_min(1e-3) / (FOCAL * S)  # scene units that a pixel covers at the surface
    across = (distance[..., 1:-1, 2:] - distance[..., 1:-1, :-2]) / (2 * pixel)
    down = (distance[..., 2:, 1:-1] - distance[..., :-2, 1:-1]) / (2 * pixel)
    known = torch.nn.functional.pad(-torch.nn.functional.max_pool2d(-mask, 3, 1), [1] * 4)
    slopes = torch.cat([across, down], dim=1)
    normals = torch.nn.functional.pad(slopes * torch.rsqrt(1 + slopes.square().sum(1, keepdim=True)), [1] * 4) * known
    pattern = _band(normals, known)
    mirrored = pattern.flip(-1) * pattern.new_tensor([-1.0, 1.0])[:, None, None]
    return (pattern + mirrored) / 2, known * known.flip(-1)


def _band(values: Tensor, mask: Tensor) -> Tensor:
    """Structure of the sizes of BAND within the mask: a difference of Gaussians, [B, C, S, S]."""
    pixels = mask.shape[-1] * FOCAL / (RADIUS - FACE_Z)  # per scene unit
    fine, coarse = (masked_blur(values, mask, sigma * pixels) for sigma in BAND)
    return (fine - coarse) * mask


def _box(size: int) -> Tensor:
    """[size, size]: 1 where eyes, nose and mouth are in both views, 0 elsewhere."""
    place = ((torch.arange(size) + 0.5) / size - 0.5) * (RADIUS - FACE_Z) / FOCAL  # scene units, right and down
    left, right, bottom, top = BOX
    columns, rows = (place > left) & (place < right), (-place > bottom) & (-place < top)
    return (rows[:, None] & columns).float()


def _share(front: Tensor, region: Tensor, back: Tensor, known: Tensor) -> Tensor:
    """[B]: the largest of <front, back> / <front, front> over vertical shifts of the back; 0 where the front is empty."""
    S = front.shape[-1]
    reach = round(REACH * S * FOCAL / (RADIUS - FACE_Z))
    energy = (region * front.square()).sum((1, 2, 3))
    found = [
        (region * front * torch.roll(back * known, shift, -2)).sum((1, 2, 3)) / energy.clamp_min(1e-9) for shift in range(-reach, reach + 1)
    ]
    return torch.stack(found).amax(0)
