"""Rays of the factory's views for `train prior`: drawn where a picture has detail, sampled where its surface is known to be."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..camera import RADIUS, orbit, rays
from ..field.triplane import FieldConfig, TriplaneField
from ..field.volume_rendering import box_range, interval_weights
from ..presence import present
from ..synthetic.renders import Renders

GRAZING = 0.3  # cosine: steeper surface has no normal that its pixels tell
BEHIND = 3.0  # weight of slopes seen from behind, against 1 from the front
SLOPE_STEP = 0.003  # scene units: corners from the point, about the texel of a plane
FACE = (
    0.08,
    -0.12,
    0.05,
)  # scene units: half the width, bottom and top of what may not print through to the back
FACE_DEPTH = 0.1  # scene units: how far before and behind the middle the two surfaces lie
BLUR = 0.06  # scene units: what is smoother than this is no face
FAINT = 0.1  # of the front's structure: a print that nobody sees
TETRAHEDRON = ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1))  # differences of four corners give a slope


@dataclass(frozen=True)
class RayBatch:
    """Rays of B heads.

    Attributes:
        origins, directions: [B, R, 3]. rgb: [B, R, 3] on white. mask: [B, R].
        distance: [B, R] of the exact surface where the mask is 1; where it is 0, of the surface that passes near by, or 0.
        normal: [B, R, 3] of the exact surface, world axes, length 1; 0 where it is not known. None for rays that need none.
    """

    origins: Tensor
    directions: Tensor
    rgb: Tensor
    mask: Tensor
    distance: Tensor
    normal: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class GuidedSampling:
    """Attributes: free: samples before the surface. near: about it. band: scene units before and behind it that these cover.
    limb: scene units behind a surface that a ray passes by, where it comes nearest to it."""

    free: int = 5
    near: int = 10
    band: float = 0.035
    limb: float = 0.1


def interest(rgb: Tensor, mask: Tensor) -> Tensor:
    """How likely a ray is drawn [..., S, S]: inside the silhouette, at details, at its edge, seldom elsewhere.

    Args:
        rgb: [..., 3, S, S]. mask: [..., S, S].
    """
    grey = rgb.mean(-3)
    detail = F.pad((grey[..., 1:, :] - grey[..., :-1, :]).abs(), (0, 0, 0, 1)) + F.pad(
        (grey[..., 1:] - grey[..., :-1]).abs(), (0, 1)
    )
    S = mask.shape[-1]
    reach = S // 28 | 1
    edge = F.max_pool2d(mask.reshape(-1, 1, S, S), reach, 1, reach // 2).view_as(mask)
    return mask * (0.25 + 5 * detail.clamp(max=0.4)) + 0.12 * edge + 0.03


def reach_out(distance: Tensor, mask: Tensor, reach: int) -> Tensor:
    """Distances [..., S, S] of the nearest surface within `reach` pixels, where the mask [..., S, S] is 0; 0 where there is none.

    Rays that just miss a head are told where: sampled evenly through the box they would overlook a shell about it, and heads grow fat.
    """
    S = mask.shape[-1]
    flat = torch.where(mask > 0.5, distance, torch.inf).reshape(-1, 1, S, S)
    width = 2 * reach + 1
    nearest = -F.max_pool2d(
        F.max_pool2d(-flat, (1, width), 1, (0, reach)), (width, 1), 1, (reach, 0)
    ).view_as(mask)
    return torch.where(mask > 0.5, distance, torch.where(nearest.isfinite(), nearest, 0))


def surface_normals(points: Tensor, directions: Tensor, mask: Tensor) -> Tensor:
    """Normals [..., S, S, 3] of surface points [..., S, S, 3] seen along directions; 0 at silhouettes and inner edges."""
    across = F.pad(points[..., 1:-1, 2:, :] - points[..., 1:-1, :-2, :], (0, 0, 1, 1, 1, 1))
    down = F.pad(points[..., 2:, 1:-1, :] - points[..., :-2, 1:-1, :], (0, 0, 1, 1, 1, 1))
    normal = F.normalize(torch.linalg.cross(down, across), dim=-1)
    S = mask.shape[-1]
    inner = 1 - F.max_pool2d(1 - F.pad(mask.reshape(-1, 1, S, S), [1] * 4), 3, 1).view_as(mask)
    return normal * (inner * (-(normal * directions).sum(-1) > GRAZING))[..., None]


def draw_views(yaw: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` different views [B, count] of those at `yaw` [B, V], from behind with three times the weight: few see the back, and
    what no ray has seen shows a ghost of the face."""
    behind = yaw.abs() > math.radians(100)
    return torch.multinomial(1.0 + 2 * behind.float(), count, generator=generator)


def draw_rays(
    renders: Renders, index: Tensor, views: int, count: int, generator: torch.Generator, device
) -> RayBatch:
    """`count` rays from each of `views` views of the heads `index` [B], without repetition."""
    pick = (index[:, None], draw_views(renders.yaw[index], views, generator))
    rgb = renders.rgb[pick].to(device).float() / 255  # [B, V, 3, S, S]
    mask = renders.mask[pick].to(device).float()
    S = mask.shape[-1]
    weights = interest(rgb, mask).flatten(2)
    # Gumbel: a weighted draw without replacement
    noise = torch.rand(weights.shape, generator=generator).to(device).clamp(1e-9, 1 - 1e-7)
    pixel = (weights.log() - (-noise.log()).log()).topk(count, dim=-1).indices  # [B, V, R]
    camera = orbit(renders.yaw[pick], renders.pitch[pick]).to(device)
    origins, directions = rays(camera, S, S)

    def at(image: Tensor) -> Tensor:  # [B, V, S, S, c] -> [B, V * R, c]
        flat = image.flatten(2, 3)
        return flat.gather(2, pixel[..., None].expand(-1, -1, -1, flat.shape[-1])).flatten(1, 2)

    exact = renders.beyond[pick].to(device).float() + RADIUS
    normal = surface_normals(origins + directions * exact[..., None], directions, mask)
    distance = reach_out(exact, mask, S // 28)
    channels = at(
        torch.cat([origins, directions, rgb.movedim(2, -1), mask[..., None], distance[..., None], normal], -1)
    )
    origins, directions, rgb, mask, distance, normal = channels.split([3, 3, 3, 1, 1, 3], -1)
    return RayBatch(origins, directions, rgb, mask[..., 0], distance[..., 0], normal)


def guided_samples(
    batch: RayBatch, sampling: GuidedSampling, box_side: float, generator: torch.Generator
) -> Tensor:
    """Distances [B, R, free + near], sorted: some through the free space, most about the surface; even where none is near."""
    near, far = box_range(batch.origins, batch.directions, box_side)
    far = torch.maximum(far, near + 1e-3)
    has_surface = batch.distance > 0
    limb = torch.where(batch.mask > 0.5, sampling.band, sampling.limb)
    front = torch.where(
        has_surface, (batch.distance - sampling.band).clamp(min=near), near + (far - near) / 3
    )
    end = torch.where(has_surface, torch.maximum(batch.distance + limb, front + 1e-3), far)

    def spread(a: Tensor, b: Tensor, count: int) -> Tensor:
        u = (
            torch.arange(count, device=a.device) + torch.rand(*a.shape, count, generator=generator).to(a)
        ) / count
        return a[..., None] + (b - a)[..., None] * u

    return torch.cat([spread(near, front, sampling.free), spread(front, end, sampling.near)], -1)


@dataclass(frozen=True)
class Seen:
    """What guided rays saw: features [B, R, F] over black; opacity, spread (weighted distance from the exact surface) [B, R]."""

    features: Tensor
    opacity: Tensor
    spread: Tensor


def render_guided(field: TriplaneField, batch: RayBatch, t: Tensor) -> Seen:
    """The family's compositing at given samples t [B, R, S]."""
    points = (batch.origins[..., None, :] + batch.directions[..., None, :] * t[..., None]).flatten(1, 2)
    raw, features = field.raw(points)
    weights = interval_weights(field, raw.view_as(t), t)
    ends = (F.pad(weights, (1, 0)) + F.pad(weights, (0, 1))) / 2
    composite = (ends[..., None, :] @ features.view(*t.shape, -1))[..., 0, :]
    middle = (t[..., 1:] + t[..., :-1]) / 2
    spread = (weights * (middle - batch.distance[..., None]).abs()).sum(-1)
    return Seen(composite, weights.sum(-1), spread)


def relief_loss(field: TriplaneField, batch: RayBatch, share: float, generator: torch.Generator) -> Tensor:
    """How far the field's slope turns from the exact normal, 1 - cosine, on a random share of the rays with known normals.

    Colours and distances hardly feel a bump of a millimetre; light on a mesh does, and so does the back, which few views show.

    Args:
        share: of the rays, 0 .. 1.

    Returns:
        [] in 0 .. 2.
    """
    B, R, _ = batch.origins.shape
    pick = torch.randperm(R, generator=generator)[: max(1, round(share * R))].to(batch.origins.device)
    points = (batch.origins + batch.directions * batch.distance[..., None])[:, pick]
    corners = points.new_tensor(TETRAHEDRON)
    raw, _ = field.raw((points[:, :, None] + SLOPE_STEP * corners).flatten(1, 2))
    inwards = F.normalize(raw.view(B, -1, 4) @ corners, dim=-1)
    normal = present(
        batch.normal, "rays with the surface's normals", "draw them from renders that have some"
    )[:, pick]
    behind = batch.origins[:, pick, 2] < 0
    weight = normal.square().sum(-1) * torch.where(behind, BEHIND, 1.0)
    return ((1 + (inwards * normal).sum(-1)) * weight).sum() / weight.sum().clamp_min(1)


def print_behind(planes: Tensor, config: FieldConfig) -> Tensor:
    """How much of the face's structure a tri-grid tells the back of the head, too: the mean squared correlation of the features that the
    xy plane gives the two surfaces.

    Slices that fill the box share what is learnt at the face with the surface behind it, at no cost in any other loss: hair is as likely
    with a faint face in it.

    Args:
        planes: [B, 3, C, D, H, W]; without slices there is nothing to part.

    Returns:
        [] in 0 .. 1.
    """
    if not config.depth or "xy" not in config.plane_axes:
        return planes.new_zeros(())
    shares = torch.stack(config.slice_weights(planes.new_tensor([FACE_DEPTH, -FACE_DEPTH])))  # [D, 2]
    texel = config.box_side / config.resolution
    half, bottom, top = (round(reach / texel) for reach in FACE)
    middle = config.resolution // 2
    face = planes[
        :, config.plane_axes.index("xy"), :, :, middle + bottom : middle + top, middle - half : middle + half
    ]
    surfaces = torch.einsum("bcdhw,dn->nbchw", face, shares).flatten(1, 2)
    window = 2 * round(BLUR / texel / 2) + 1
    detail = surfaces - F.avg_pool2d(surfaces, window, 1, window // 2, count_include_pad=False)
    front, back = detail.flatten(2)
    strength = front.square().sum(-1)
    scale = strength * (back.square().sum(-1) + FAINT**2 * strength)
    return ((front * back).sum(-1).square() / scale.clamp_min(1e-12)).mean()


def ray_losses(rendering: Seen, batch: RayBatch, backdrop: Tensor) -> dict[str, Tensor]:
    """Losses, each []: colour over a random backdrop [3], opacity, weights' spread about exact distances."""
    rgb = rendering.features[..., :3] + (1 - rendering.opacity)[..., None] * backdrop
    truth = torch.where(batch.mask[..., None] > 0.5, batch.rgb, backdrop)
    error = rgb - truth
    return {
        "colour": error.abs().mean() + 2 * error.square().mean(),
        "opacity": F.binary_cross_entropy(rendering.opacity.clamp(1e-4, 1 - 1e-4), batch.mask),
        "distance": (rendering.spread * batch.mask).mean() * 10,
    }
