"""Two spheres' planes: points -> angles and radius about two axes -> features, for heads seen from all around.

SphereHead (Li et al. 2024), section 3: a sphere's angles meet along a seam and at two poles, where planes would show it; a second
sphere, turned so that its own lie elsewhere, covers each.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

SPHERES = 2
LEAST = (
    1e-36,
    1e-24,
)  # squared distances from an axis, and from the middle, under which nothing has a slope; there, weights are 0


def on_sphere(turned: tuple[Tensor, Tensor, Tensor]) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
    """Where points lie on one sphere, and how much it counts there.

    Args:
        turned: a, b, c [...] in half box sides, c along the sphere's axis, its seam where b is 0 and a negative.

    Returns:
        theta, phi and radius [...], -1 .. 1 in the box, and the weight [...] in 0 .. 1: 0 at poles and seam,
        (1 + cos(pi theta)) (1 + cos(pi phi)) / 4 = s (s + a) / (2 |.|^2) with s the distance from the axis.
    """
    a, b, c = turned
    aside = a.square() + b.square()
    s = aside.clamp(min=LEAST[0]).sqrt()
    distance = (aside + c.square()).clamp(min=LEAST[1]).sqrt()
    theta = torch.atan2(s, c) * (2 / math.pi) - 1
    phi = torch.atan2(b, torch.where(aside < LEAST[0], torch.ones_like(a).copysign(a), a)) / math.pi
    return (theta, phi, distance * (2 / math.sqrt(3)) - 1), s * (s + a) / (2 * distance.square())


def sphere_features(planes: Tensor, points: Tensor, box_side: float) -> list[Tensor]:
    """Each plane's bilinear samples [B, C, N] at world points, of both spheres by their weights.

    Args:
        planes: [B, 3, C, 2, H, W], a slice a sphere: (theta, phi), (theta, radius), (phi, radius), the first along the width.
        points: [B, N, 3] scene units. box_side: scene units.
    """
    x, y, z = (points * (2 / box_side)).unbind(-1)  # from scene units to half box sides
    samples = []
    total = torch.full_like(x, 1e-8)
    for sphere, turned in zip(planes.to(points.dtype).unbind(3), ((z, y, -x), (-z, -x, y)), strict=True):
        (theta, phi, radius), weight = on_sphere(turned)
        pairs = ((theta, phi), (theta, radius), (phi, radius))
        for plane, pair in zip(sphere.unbind(1), pairs, strict=True):
            texels = plane.contiguous(memory_format=torch.channels_last)
            look_up = F.grid_sample(texels, torch.stack(pair, -1)[:, None], align_corners=False)[:, :, 0]
            samples.append(look_up * weight[:, None])
        total = total + weight
    return [(samples[i] + samples[i + 3]) / total[:, None] for i in range(3)]


def texels_last(planes: Tensor) -> Tensor:
    """The same planes [B, 3, C, 2, H, W], laid out so that a look-up copies none of them."""
    return planes.permute(0, 1, 3, 4, 5, 2).contiguous().permute(0, 1, 5, 2, 3, 4)
