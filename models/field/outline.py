"""Silhouettes of super-resolved pictures, from the field itself: super-resolution has only raw pixels to guess them from.

A raw render of a sharp field is a staircase at its outline, and enlarging keeps the steps. The few rays of the final picture that pass
near an outline are cast instead.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ..camera import Camera, rays
from .casting import Caster, cast_rays
from .volume_rendering import RayRendering, RenderConfig

EDGE = 0.02  # difference of opacity between neighbouring raw pixels that makes an outline


def outline(opacity: Tensor, size: int) -> Tensor:
    """Where in pictures of `size` pixels an outline passes within a raw pixel.

    Args:
        opacity: [V, 1, R, R] of the raw render.

    Returns:
        bool [V, size, size].
    """
    spread = F.max_pool2d(opacity, 3, 1, 1) + F.max_pool2d(-opacity, 3, 1, 1)
    return F.interpolate(spread, size=(size, size), mode="nearest-exact")[:, 0] > EDGE


def empty(opacity: Tensor, size: int) -> Tensor:
    """Where pictures of `size` pixels show nothing but what is behind a head: super-resolution is not quite even there, least at borders.

    Args:
        opacity: [V, 1, R, R] of the raw render.

    Returns:
        bool [V, size, size].
    """
    return F.interpolate(F.max_pool2d(opacity, 3, 1, 1), size=(size, size), mode="nearest-exact")[:, 0] < EDGE


def render_pixels(
    cast: Caster, camera: Camera, pixels: Tensor, config: RenderConfig
) -> tuple[RayRendering, Tensor]:
    """What the rays of some pixels see over black.

    Args:
        camera: [V]. pixels: bool [V, S, S].

    Returns:
        Of N = pixels.sum() rays: features [1, N, F], depth (0 where empty), opacity [1, N]; and their rgb [N, 3], premultiplied.
    """
    S = pixels.shape[-1]
    origins, directions = (x[pixels][None] for x in rays(camera, S, S))
    samples = cast_rays(cast, origins, directions, config)
    return samples, cast.field.rgb(samples.features, samples.opacity[..., None])[0]
