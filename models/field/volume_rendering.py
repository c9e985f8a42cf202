"""Rays -> image, by emission and absorption. The readable renderer: two passes, chunked, differentiable.

NeRF (Mildenhall et al. 2020), equations 3 and 5.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..camera import Camera, rays

Field = Callable[[Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True, kw_only=True)
class RenderConfig:
    """How finely rays are sampled.

    Attributes:
        coarse: bins of the first pass, spread evenly through the box.
        fine: bins added where the first pass found matter.
        chunk_bytes: memory that one chunk of rays may take; decides rays per chunk, not the result.
        normal_step: scene units, step of the central differences behind normals.
    """

    coarse: int = 32
    fine: int = 32
    chunk_bytes: int = 256 * 2**20
    normal_step: float = 0.006

    def __post_init__(self) -> None:
        if self.coarse < 2 or self.fine < 0:
            raise ValueError(f"RenderConfig: expected coarse >= 2 and fine >= 0 samples, got {self.coarse} and {self.fine}")


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


def ray_weights(density: Tensor, t: Tensor) -> Tensor:
    """How much each sample adds to its ray: w_i = T_i * alpha_i.

    NeRF, equation 3, with alpha_i = 1 - exp(-density_i * delta_i) and T_i = prod_{j<i} (1 - alpha_j).

    Args:
        density: [..., S], >= 0, per scene unit.
        t: [..., S + 1] bin edges along a unit-length ray, scene units, increasing.

    Returns:
        [..., S] in [0, 1]; their sum over S is the ray's opacity.
    """
    S = density.shape[-1]
    if t.shape[-1] != S + 1:
        raise ValueError(f"ray_weights: {S} samples need {S + 1} bin edges in t, got {t.shape[-1]}")
    thickness = density * t.diff(dim=-1)  # optical thickness, unitless
    in_front = thickness.cumsum(dim=-1) - thickness
    return torch.exp(-in_front) * -torch.expm1(-thickness)


def box_range(origins: Tensor, directions: Tensor, box_side: float) -> tuple[Tensor, Tensor]:
    """Where rays enter and leave the box -side/2 .. side/2 (the slab test).

    Args:
        origins, directions: [..., 3].

    Returns:
        near, far [...], scene units; far == near where a ray misses.
    """
    safe = torch.where(directions.abs() < 1e-9, torch.full_like(directions, 1e-9), directions)
    a = (-box_side / 2 - origins) / safe
    b = (box_side / 2 - origins) / safe
    near = torch.minimum(a, b).amax(-1).clamp(min=0)
    return near, torch.maximum(torch.maximum(a, b).amin(-1), near)


def importance_edges(t: Tensor, weights: Tensor, count: int) -> Tensor:
    """Bin edges where the matter is: the inverse of the weights' cumulative distribution at even quantiles.

    NeRF, section 5.2, without its random draw: the same rays give the same image.

    Args:
        t: [..., S + 1] edges. weights: [..., S].

    Returns:
        [..., count] increasing, no gradient.
    """
    mass = weights.detach() + 1e-4 / weights.shape[-1]  # rays without matter are sampled evenly
    cdf = mass.cumsum(-1)
    cdf = torch.cat([torch.zeros_like(cdf[..., :1]), cdf / cdf[..., -1:]], -1)
    u = ((torch.arange(count, dtype=t.dtype, device=t.device) + 0.5) / count).expand(*t.shape[:-1], count).contiguous()
    above = torch.searchsorted(cdf.contiguous(), u, right=True).clamp(1, t.shape[-1] - 1)
    c0, c1 = cdf.gather(-1, above - 1), cdf.gather(-1, above)
    t0, t1 = t.detach().gather(-1, above - 1), t.detach().gather(-1, above)
    return t0 + (u - c0) / (c1 - c0).clamp(min=1e-9) * (t1 - t0)


def render_rays(
    field: Field,
    origins: Tensor,
    directions: Tensor,
    config: RenderConfig,
    *,
    box_side: float = 1.0,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Colour, distance and opacity of rays: NeRF, equation 5, in two passes.

    Args:
        origins, directions: [..., R, 3], unit directions.
        generator: jitters the first pass's edges within half a bin, for training; None for the middle.

    Returns:
        colour [..., R, 3] premultiplied (over black), distance [..., R] (0 where empty), opacity [..., R].
    """
    near, far = box_range(origins, directions, box_side)
    steps = torch.linspace(0, 1, config.coarse + 1, dtype=near.dtype, device=near.device).expand(*near.shape, -1)
    if generator is not None:
        jitter = torch.rand(*near.shape, 1, generator=generator, device=generator.device, dtype=near.dtype).to(near.device) - 0.5
        steps = torch.cat([steps[..., :1], steps[..., 1:-1] + jitter / config.coarse, steps[..., -1:]], -1)
    t = near[..., None] + (far - near)[..., None] * steps
    if config.fine:
        with torch.no_grad():
            weights = ray_weights(field(_midpoints(origins, directions, t))[0], t)
        t = torch.cat([t, importance_edges(t, weights, config.fine)], -1).sort(-1).values
    density, colour = field(_midpoints(origins, directions, t))
    weights = ray_weights(density, t)
    opacity = weights.sum(-1)
    distance = (weights * (t[..., 1:] + t[..., :-1]) / 2).sum(-1) / opacity.clamp(min=1e-6)
    return (weights[..., None, :] @ colour)[..., 0, :], distance * (opacity > 1e-6), opacity


def _midpoints(origins: Tensor, directions: Tensor, t: Tensor) -> Tensor:
    """Points [..., S, 3] in the middle of the bins t [..., S + 1]."""
    return origins[..., None, :] + directions[..., None, :] * ((t[..., 1:] + t[..., :-1]) / 2)[..., None]


def surface_normals(field: Field, points: Tensor, step: float) -> Tensor:
    """Unit world normals [..., 3] at points [..., 3]: against the density's gradient, by central differences."""
    offsets = step * torch.cat([torch.eye(3), -torch.eye(3)]).to(points)
    density = field(points[..., None, :] + offsets)[0]
    gradient = density[..., :3] - density[..., 3:]
    return torch.nn.functional.normalize(-gradient, dim=-1)


def rays_per_chunk(config: RenderConfig) -> int:
    """Rays whose samples fit `chunk_bytes`: about 110 float32 values are alive per sample."""
    return max(64, config.chunk_bytes // (4 * 110 * (config.coarse + config.fine)))


def render(
    field: Field,
    camera: Camera,
    height: int,
    width: int,
    config: RenderConfig,
    *,
    box_side: float = 1.0,
    background: tuple[float, float, float] = (1.0, 1.0, 1.0),
    normals: bool = True,
    callback: Callable[[int, int], None] | None = None,
) -> Rendering:
    """Whole images of one field from V cameras, in chunks of rays.

    Args:
        field: of one head. camera: [V]. background: sRGB. callback: told (rays done, rays in all) after each chunk.

    Raises:
        ValueError: camera without batch, or inside the box.
    """
    if len(camera.shape) != 1:
        raise ValueError(f"render: expected a batch of cameras [V], got batch dimensions {list(camera.shape)}; index or unsqueeze")
    check_outside(camera, box_side)
    origins, directions = (x.reshape(-1, 3) for x in rays(camera, height, width))
    chunks = []
    step = rays_per_chunk(config)
    for start in range(0, origins.shape[0], step):
        o, d = origins[start : start + step], directions[start : start + step]
        colour, distance, opacity = render_rays(field, o, d, config, box_side=box_side)
        parts = [colour, distance[:, None], opacity[:, None]]
        if normals:
            surface = (o + d * distance[:, None]).detach()
            parts.append(surface_normals(field, surface, config.normal_step) * (opacity > 0.05)[:, None])
        chunks.append(torch.cat(parts, -1))
        if callback is not None:
            callback(min(start + step, origins.shape[0]), origins.shape[0])
    V = camera.shape[0]
    images = torch.cat(chunks).view(V, height, width, -1)
    colour, distance, opacity = images[..., :3], images[..., 3:4], images[..., 4:5]
    rgb = colour + (1 - opacity) * torch.tensor(background, dtype=colour.dtype, device=colour.device)
    normal = None
    if normals:  # from world to camera axes
        normal = torch.einsum("vji,vhwj->vihw", camera.cam2world[:, :3, :3], images[..., 5:8])
    return Rendering(rgb.permute(0, 3, 1, 2), distance.permute(0, 3, 1, 2), opacity.permute(0, 3, 1, 2), normal)


def check_outside(camera: Camera, box_side: float) -> None:
    """Raise a ValueError for a camera inside the box, from which a head cannot be seen."""
    inside = (camera.position.abs() < box_side / 2).all(-1)
    if inside.any():
        position = [round(x, 3) for x in camera.position.reshape(-1, 3)[inside.reshape(-1)][0].tolist()]
        raise ValueError(
            f"camera: expected a position outside the head's box (side {box_side:g}), got {position}; use a larger radius (2.7 is usual)"
        )
