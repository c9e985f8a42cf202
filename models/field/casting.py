"""A field -> whole images of cameras, however its rays are cast."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from ..camera import Camera, rays
from .prepared import prepare
from .volume_rendering import (
    Field,
    RayRendering,
    RenderConfig,
    box_range,
    march,
    ray_range,
    rays_per_chunk,
    surface_normals,
)


@dataclass(frozen=True)
class Rendering:
    """Images of V cameras.

    Attributes:
        rgb: [V, 3, H, W] over the background.
        depth: [V, 1, H, W] distance along the ray, the mean over its matter; 0 where a ray is empty.
        opacity: [V, 1, H, W] in [0, 1].
        normal: [V, 3, H, W] unit, camera space (OpenCV axes); zero where a ray is empty. None where not asked for.
    """

    rgb: Tensor
    depth: Tensor
    opacity: Tensor
    normal: Tensor | None


class Caster(Protocol):
    """One head's rays, cast in whatever way; `MarchingCaster` is the plain one, `occupancy.GridCaster` the fast one."""

    @property
    def field(self) -> Field: ...
    def chunk(self, config: RenderConfig) -> int: ...  # rays that it takes together
    def __call__(self, origins: Tensor, directions: Tensor, config: RenderConfig) -> RayRendering:
        """What rays [1, R, 3], unit directions, see."""
        ...


class MarchingCaster:
    """Every sample along every ray is looked up."""

    def __init__(self, field: Field) -> None:
        self.field: Field = prepare(field)

    def chunk(self, config: RenderConfig) -> int:
        """Rays whose samples fit the config's memory."""
        return rays_per_chunk(config, self.field.config)

    def __call__(self, origins: Tensor, directions: Tensor, config: RenderConfig) -> RayRendering:
        """What rays [1, R, 3] see; those that miss the box, where that bounds them, see nothing."""
        if config.near is None:
            near, far = box_range(origins, directions, self.field.config.box_side)
        else:
            near, far = ray_range(origins, directions, config, self.field.config.box_side)
        return march(self.field, origins, directions, near, far, config, None)[0]


def cast_rays(
    cast: Caster,
    origins: Tensor,
    directions: Tensor,
    config: RenderConfig,
    *,
    callback: Callable[[int, int], None] | None = None,
) -> RayRendering:
    """What rays [1, R, 3] see, by chunks; depth is 0 where a ray is empty: neither other rays nor the chunks change a ray.

    Args:
        callback: told (rays done, rays in all) after each chunk.

    Returns:
        features [1, R, F], depth [1, R], opacity [1, R].
    """
    parts = []
    total, step = origins.shape[1], cast.chunk(config)
    for start in range(0, max(total, 1), step):
        part = slice(start, start + step)
        parts.append(cast(origins[:, part], directions[:, part], config))
        if callback is not None:
            callback(min(part.stop, total), total)
    features, depth, opacity = (
        torch.cat([getattr(x, name) for x in parts], 1) for name in ("features", "depth", "opacity")
    )
    return RayRendering(features, torch.where(opacity > 1e-6, depth, 0), opacity)


def render_features(
    cast: Caster,
    camera: Camera,
    height: int,
    width: int,
    config: RenderConfig,
    *,
    callback: Callable[[int, int], None] | None = None,
) -> RayRendering:
    """One head's features from V cameras, in chunks of rays: R = V * height * width, row by row.

    Unlike in `render_rays`, rays that miss the box, where that bounds them, see nothing.

    Args:
        camera: [V]. callback: as `cast_rays`.

    Returns:
        features [1, R, F], depth [1, R], 0 where a ray is empty, opacity [1, R].

    Raises:
        ValueError: camera without batch, or inside the box.
    """
    if len(camera.shape) != 1:
        raise ValueError(
            f"render: expected a batch of cameras [V], got batch dimensions {list(camera.shape)}; index or unsqueeze"
        )
    check_outside(camera, cast.field.config.box_side)
    origins, directions = (x.reshape(1, -1, 3) for x in rays(camera, height, width))
    return cast_rays(cast, origins, directions, config, callback=callback)


def render(
    cast: Caster,
    camera: Camera,
    height: int,
    width: int,
    config: RenderConfig,
    *,
    background: tuple[float, float, float] = (1.0, 1.0, 1.0),
    normals: bool = True,
    callback: Callable[[int, int], None] | None = None,
) -> Rendering:
    """Whole images [V, c, height, width] of one head from V cameras.

    Args:
        camera: [V]. background: sRGB, in the place of the config's. callback: as `cast_rays`.

    Raises:
        ValueError: as `render_features`.
    """
    samples = render_features(
        cast, camera, height, width, replace(config, white_back=False), callback=callback
    )
    opacity = samples.opacity[..., None]
    rgb = cast.field.rgb(samples.features, opacity)
    rgb = rgb + (1 - opacity) * torch.tensor(background, dtype=rgb.dtype, device=rgb.device)
    normal = (
        camera_normals(cast.field, camera, samples, height, width, config.normal_step) if normals else None
    )
    pictures = (as_images(x, height, width) for x in (rgb, samples.depth[..., None], opacity))
    colours, depth, opacities = pictures
    return Rendering(colours, depth, opacities, normal)


def as_images(values: Tensor, height: int, width: int) -> Tensor:
    """Values of rays [..., R, c] -> images [V, c, height, width]."""
    return values.reshape(-1, height, width, values.shape[-1]).movedim(-1, 1)


def camera_normals(
    field: Field, camera: Camera, samples: RayRendering, height: int, width: int, step: float
) -> Tensor:
    """Camera-space normals [V, 3, height, width] of what `render_features` saw; zero where a ray is almost empty."""
    origins, directions = (x.reshape(1, -1, 3) for x in rays(camera, height, width))
    surface = (origins + directions * samples.depth[..., None]).detach()
    parts = [surface_normals(field, part, step) for part in surface.split(1 << 16, dim=1)]
    normal = as_images(torch.cat(parts, 1) * (samples.opacity > 0.05)[..., None], height, width)
    return torch.einsum("vji,vjhw->vihw", camera.cam2world[:, :3, :3], normal)  # from world to camera axes


def check_outside(camera: Camera, box_side: float) -> None:
    """Raise a ValueError for a camera inside the box, from which a head cannot be seen."""
    inside = (camera.position.abs() < box_side / 2).all(-1)
    if inside.any():
        position = [round(x, 3) for x in camera.position.reshape(-1, 3)[inside.reshape(-1)][0].tolist()]
        raise ValueError(
            f"camera: expected a position outside the head's box (side {box_side:g}), got {position}; use a larger radius (2.7 is usual)"
        )
