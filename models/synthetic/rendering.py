"""Exact views of a synthetic head."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..camera import Camera, rays
from . import tracing
from .anatomy import BOX_MAX, BOX_MIN, EYE_Y, Anatomy, anatomy, mouth_line
from .paint import colour, palette
from .solid import distance

BLOCKS = (8, 2)  # sides of the pixel blocks that share a cone before each pixel gets its own ray


@dataclass(frozen=True)
class Views:
    """V views of one head.

    Attributes:
        rgb: [V, 3, S, S] sRGB, on white unless a background was given.
        mask: [V, 1, S, S], 0 or 1.
        ray_distance: [V, 1, S, S] along unit rays; 0 where the mask is 0.
        normal: [V, 3, S, S] camera space (OpenCV axes), unit; 0 where the mask is 0.
    """

    rgb: Tensor
    mask: Tensor
    ray_distance: Tensor
    normal: Tensor


@torch.no_grad()
def render_head(parameters: Tensor, camera: Camera, size: int, *, background: Tensor | None = None) -> Views:
    """Views of the head with `parameters` from a batch of cameras.

    Args:
        parameters: [P] in [-1, 1], the order of `head.PARAMETER_NAMES`.
        camera: batch [V].
        size: S, pixels.
        background: [3, S, S] or [V, 3, S, S] sRGB; None for white.

    Raises:
        ValueError: for a camera without one batch dimension, or parameters outside their range.
    """
    if len(camera.shape) != 1:
        raise ValueError(
            f"render_head: expected cameras [V], got batch {list(camera.shape)}; index or flatten the camera first"
        )
    head, paints = anatomy(parameters), palette(parameters)
    origins, directions = (a.reshape(-1, 3) for a in rays(camera, size, size))
    t, hit = _trace(head, camera, size, origins, directions)
    where = torch.nonzero(hit).squeeze(1)
    t[where] = tracing.polish(lambda p: distance(head, p), origins[where], directions[where], t[where])
    points = origins[where] + t[where, None] * directions[where]
    normals = tracing.gradient(lambda p: distance(head, p), points)
    view = torch.div(where, size * size, rounding_mode="floor")
    in_camera = (normals[:, None, :] @ camera.cam2world[view, :3, :3]).squeeze(1)
    white = torch.ones(3, 1, 1, dtype=origins.dtype, device=origins.device)
    behind = (white if background is None else background.to(origins)).expand(
        len(camera.cam2world), 3, size, size
    )
    rgb = behind.permute(0, 2, 3, 1).reshape(-1, 3).clone()
    footprint = _footprint(camera, size, view, directions[where], normals, t[where])
    rgb[where] = colour(head, paints, points, normals, footprint)
    normal = torch.zeros_like(rgb)
    normal[where] = in_camera
    return Views(
        *(_images(a, size) for a in (rgb, hit[:, None].to(rgb), torch.where(hit, t, 0.0)[:, None], normal))
    )


@torch.no_grad()
def landmarks(parameters: Tensor) -> dict[str, Tensor]:
    """World points [3] on the surface: pupils, nose tip, mouth corners ("right" is the subject's right, -x) and chin.

    All lie where a ray along -z meets the head, but for the chin, which is met from below and in front.
    """
    head = anatomy(parameters)
    mouth_y = float(mouth_line(head, torch.tensor(head.mouth_half_width)))
    front = (0.0, 0.0, 1.0)
    below = (0.0, -0.6, 0.8)
    points = {
        "right_pupil": ((-head.eye_x, EYE_Y, 0.0), front),
        "left_pupil": ((head.eye_x, EYE_Y, 0.0), front),
        "nose_tip": ((0.0, head.nose_tip[1], 0.0), front),
        "right_mouth": ((-head.mouth_half_width, mouth_y, 0.0), front),
        "left_mouth": ((head.mouth_half_width, mouth_y, 0.0), front),
        "chin": (head.chin, below),
    }
    targets, ways = (
        parameters.new_tensor([v[i] for v in points.values()], dtype=torch.float32) for i in (0, 1)
    )
    start = torch.full((len(points),), 0.25).to(targets)
    t, _ = tracing.march(
        lambda p: distance(head, p),
        targets + ways * start[:, None],
        -ways,
        torch.zeros_like(start),
        start * 2,
    )
    return dict(zip(points, targets + ways * (start - t)[:, None]))


def _trace(
    head: Anatomy, camera: Camera, size: int, origins: Tensor, directions: Tensor
) -> tuple[Tensor, Tensor]:
    """Ray length t [V S S] and hit [V S S] of every pixel, starting from where cones around pixel blocks met the head."""

    def field(p):
        return distance(head, p)

    near, far = tracing.through_box(origins, directions, BOX_MIN, BOX_MAX)
    for block in BLOCKS:
        if size % block or size < 4 * block:
            continue
        near = torch.maximum(near, _block_start(field, camera, size, block, near))
    return tracing.march(field, origins, directions, near, far)


def _block_start(field: tracing.Distance, camera: Camera, size: int, block: int, near: Tensor) -> Tensor:
    """[V S S] a ray length up to which a whole block of pixels is empty; infinite where its cone misses the head."""
    coarse = size // block
    origins, directions = (a.reshape(-1, 3) for a in rays(camera, coarse, coarse))
    low, far = tracing.through_box(
        origins, directions, tuple(a - 0.1 for a in BOX_MIN), tuple(a + 0.1 for a in BOX_MAX)
    )
    start = near.reshape(-1, coarse, block, coarse, block).amin((2, 4)).reshape(-1)
    focal = camera.intrinsics[:, 0, 0].repeat_interleave(coarse * coarse)
    slope = 0.72 * (block - 1) / size / focal  # half the diagonal between a block's outermost pixel centres
    t, hit = tracing.march(
        field, origins, directions, torch.maximum(low, torch.where(start.isinf(), far, start)), far, slope
    )
    t = torch.where(hit, t, torch.full_like(t, torch.inf))
    return t.reshape(-1, coarse, 1, coarse, 1).expand(-1, coarse, block, coarse, block).reshape(-1)


def _footprint(
    camera: Camera, size: int, view: Tensor, directions: Tensor, normals: Tensor, t: Tensor
) -> Tensor:
    """[2, N, 3]: from a point, how far a pixel reaches to the right and down along the surface's tangent plane."""
    pixel = t / (size * camera.intrinsics[view, 0, 0])
    slant = (normals * directions).sum(-1, keepdim=True).clamp_max(-0.3)
    across = camera.cam2world[view, :3, :2].permute(2, 0, 1) * pixel[:, None]
    return across - directions * (across * normals).sum(-1, keepdim=True) / slant


def _images(values: Tensor, size: int) -> Tensor:
    """[V S S, C] -> [V, C, S, S]."""
    return values.reshape(-1, size, size, values.shape[-1]).permute(0, 3, 1, 2).contiguous()
