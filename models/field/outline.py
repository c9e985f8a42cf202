"""Silhouettes of super-resolved pictures, from the field itself: super-resolution has only raw pixels to guess them from.

A raw render of a sharp field is a staircase at its outline, and enlarging keeps the steps. The few rays of the final picture that pass
near an outline are cast instead.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..camera import Camera, rays
from .occupancy import OccupancyGrid, render_rays_fast
from .prepared import prepare
from .volume_rendering import Field, RayRendering, RenderConfig, box_range, chunks, march

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


def render_pixels(
    field: Field, grid: OccupancyGrid | None, camera: Camera, chosen: Tensor, config: RenderConfig
) -> tuple[RayRendering, Tensor]:
    """What the rays of some pixels see over black.

    Args:
        grid: of the field, or None. camera: [V]. chosen: bool [V, S, S].

    Returns:
        Of N = chosen.sum() rays: features [1, N, F], depth (0 where empty), opacity [1, N]; and their rgb [N, 3], premultiplied.
    """
    S = chosen.shape[-1]
    origins, directions = (x[chosen][None] for x in rays(camera, S, S))
    if grid is not None:
        seen = render_rays_fast(field, grid, origins, directions, config)
    else:
        near, far = box_range(origins, directions, field.config.box_side)
        ready, parts = prepare(field), []
        for part in chunks(origins, config, field.config):
            parts.append(march(ready, origins[:, part], directions[:, part], near[:, part], far[:, part], config, None)[0])
        seen = RayRendering(*(torch.cat([getattr(x, name) for x in parts], 1) for name in ("features", "depth", "opacity")))
    depth = torch.where(seen.opacity > 1e-6, seen.depth, 0)
    return RayRendering(seen.features, depth, seen.opacity), field.rgb(seen.features, seen.opacity[..., None])[0]
