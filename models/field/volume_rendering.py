"""Rays -> image, by emission and absorption: the generator family's renderer, in two passes, differentiable.

NeRF (Mildenhall et al. 2020), equations 3 and 5 and section 5.2, with the midpoint rule of EG3D (Chan et al. 2022): S samples
bound S - 1 intervals, raw densities and features are averaged over each, and the coarse pass is used again in the final one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor

from ..bounds import flags, integers, numbers
from .prepared import prepare
from .triplane import FieldConfig

EMPTY, SOLID = -1e3, 1e3  # raw densities


class Field(Protocol):
    """What can be rendered; `TriplaneField` says more of each."""

    @property
    def config(self) -> FieldConfig: ...
    @property
    def device(self) -> torch.device: ...
    @property
    def scattered(self) -> bool: ...  # whether it is a `ScatteredField`

    def raw(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """[B, N, 3] -> raw density [B, N], features [B, N, F]."""
        ...

    def raw_density(self, points: Tensor) -> Tensor:
        """[B, N, 3] -> raw density [B, N], without gradient."""
        ...

    def activate(self, raw: Tensor) -> Tensor:
        """Raw density [...] -> density [...] >= 0 per scene unit."""
        ...

    def rgb(self, features: Tensor, opacity: Tensor) -> Tensor:
        """Features [B, N, F] and opacity [B, N, 1] -> colours [B, N, 3], about 0 .. 1."""
        ...

    def density(self, points: Tensor) -> Tensor:
        """[..., 3] -> density [...] >= 0 per scene unit."""
        ...


class ScatteredField(Field, Protocol):
    """One that also looks up points that lie in no order; `PreparedField` says more."""

    def raw_of(self, points: Tensor, heads: Tensor | None) -> tuple[Tensor, Tensor]:
        """Points [N, 3] of the heads [N] (None: there is one) -> raw density [N], features [N, F]."""
        ...


def looks_up(field: Field) -> TypeGuard[ScatteredField]:
    """Whether a field looks up points that lie in no order."""
    return field.scattered


@dataclass(frozen=True, kw_only=True)
class RenderConfig:
    """How rays are sampled and what becomes of them.

    Attributes:
        coarse: samples of the first pass, spread evenly. fine: samples added where the first pass found matter.
        near, far: scene units along a ray; None for where it enters and leaves the box.
        disparity: spread evenly in 1 / distance.
        white_back: what shines through is white, not black, in every feature.
        cull: samples whose alpha over one scene unit is less are empty; 0 for none.
        binarise: samples whose alpha is less are empty, all others solid; 0 for none. It goes before cull.
        negligible: shares of a ray less than this are not looked at for colour and gradient, only for density.
        chunk_bytes: memory that one chunk of rays may take in `render`; decides rays per chunk, not the result.
        normal_step: scene units, step of the central differences behind normals.
    """

    coarse: int = 48
    fine: int = 48
    near: float | None = None
    far: float | None = None
    disparity: bool = False
    white_back: bool = False
    cull: float = 0.0
    binarise: float = 0.0
    negligible: float = 1e-6
    chunk_bytes: int = 256 * 2**20
    normal_step: float = 0.006

    def __post_init__(self) -> None:
        integers(self, coarse=(0, 512), fine=(0, 512), chunk_bytes=(1, 2**36))
        numbers(
            self,
            near=(-1e4, 1e4),
            far=(-1e4, 1e4),
            cull=(0, 1),
            binarise=(0, 1),
            negligible=(0, 1),
            normal_step=(1e-9, 10),
        )
        flags(self, "disparity", "white_back")
        least = 4 if self.fine else 2
        if self.coarse < least or self.fine < 0:
            raise ValueError(
                f"RenderConfig: expected coarse >= {least} and fine >= 0 samples, got {self.coarse} and {self.fine}"
            )
        if (self.near is None) != (self.far is None) or (self.span and not self.span[0] < self.span[1]):
            raise ValueError(
                f"RenderConfig: expected near < far, or None for both, got {self.near} and {self.far}"
            )
        if self.disparity and (self.near is not None and self.near <= 0):
            raise ValueError(f"RenderConfig: expected near > 0 with disparity, got {self.near}")

    @property
    def span(self) -> tuple[float, float] | None:
        """near and far, where it has them."""
        return None if self.near is None or self.far is None else (self.near, self.far)


@dataclass(frozen=True)
class Draws:
    """The two random draws of a rendering, all in [0, 1).

    Attributes:
        coarse: [B, R, coarse], where in its step each sample lies. fine: [B, R, fine], quantiles of the matter found.
    """

    coarse: Tensor
    fine: Tensor


@dataclass(frozen=True)
class RayRendering:
    """What rays saw.

    Attributes:
        features: [B, R, F] premultiplied by opacity, over black (or over white, see `RenderConfig`).
        depth: [B, R] distance along the ray, the mean over its matter; the farthest sample's of all rays where it is empty.
        opacity: [B, R] in [0, 1].
    """

    features: Tensor
    depth: Tensor
    opacity: Tensor


def ray_weights(density: Tensor, t: Tensor) -> Tensor:
    """How much each interval adds to its ray: w_i = T_i * alpha_i.

    NeRF, equation 3, with alpha_i = 1 - exp(-density_i * delta_i) and T_i = prod_{j<i} (1 - alpha_j).

    Args:
        density: [..., S], >= 0, per scene unit.
        t: [..., S + 1] the intervals' ends along a unit-length ray, scene units, increasing.

    Returns:
        [..., S] in [0, 1]; their sum over S is the ray's opacity.

    Raises:
        ValueError: not one end more than intervals.
    """
    S = density.shape[-1]
    if t.shape[-1] != S + 1:
        raise ValueError(f"ray_weights: {S} samples need {S + 1} bin edges in t, got {t.shape[-1]}")
    thickness = density * t.diff(dim=-1)  # optical thickness, unitless
    in_front = thickness.cumsum(dim=-1) - thickness
    transmittance = torch.exp(
        F.threshold(-in_front, -40.0, -1e3)
    )  # 0, not 1e-18: much smaller numbers make processors slow
    return transmittance * -torch.expm1(-thickness)


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


def ray_range(
    origins: Tensor, directions: Tensor, config: RenderConfig, box_side: float
) -> tuple[Tensor, Tensor]:
    """Between which distances rays are sampled: the config's, or the box's.

    As in EG3D, rays that miss the box are sampled between the nearest entry and the latest entry of those that hit it.

    Args:
        origins, directions: [..., 3].

    Returns:
        near, far [...], scene units.
    """
    if config.span is not None:
        near, far = (torch.full_like(origins[..., 0], distance) for distance in config.span)
        return near, far
    near, far = box_range(origins.detach(), directions.detach(), box_side)
    hit = far > near
    if not hit.any():
        return torch.zeros_like(near), torch.zeros_like(far)
    entries = near[hit]
    return torch.where(hit, near, entries.min()), torch.where(hit, far, entries.max())


def coarse_samples(near: Tensor, far: Tensor, u: Tensor, *, disparity: bool = False) -> Tensor:
    """Distances [..., S], evenly spread from near, each moved on by its share u of a step; the last may lie beyond far.

    Args:
        near, far: [...]. u: [..., S] in [0, 1).
    """
    S = u.shape[-1]
    share = (torch.arange(S, dtype=u.dtype, device=u.device) + u) / (S - 1)
    if disparity:
        return 1 / ((1 - share) / near[..., None] + share / far[..., None])
    return near[..., None] + share * (far - near)[..., None]


@torch.no_grad()
def importance_samples(t: Tensor, weights: Tensor, u: Tensor) -> Tensor:
    """Distances where the matter is: the inverse of the blurred weights' cumulative distribution.

    NeRF, section 5.2, with MipNeRF's (Barron et al. 2021, equation 18) blur. The first and the last interval are left out.

    Args:
        t: [..., S] samples. weights: [..., S - 1] of the intervals between them. u: [..., N] quantiles in [0, 1).

    Returns:
        [..., N] in the order of u, no gradient.
    """
    with_ends = F.pad(weights, (1, 1))
    widest = torch.maximum(with_ends[..., 1:], with_ends[..., :-1])
    mass = (widest[..., 1:-2] + widest[..., 2:-1]) / 2 + 0.01 + 1e-5  # rays without matter are sampled evenly
    mass = mass / mass.sum(-1, keepdim=True)
    cdf = F.pad(mass.cumsum(-1), (1, 0))  # [..., S - 2]
    middle = (t[..., 1:] + t[..., :-1]) / 2
    slope = middle[..., :-1].diff(dim=-1) / mass
    below = torch.searchsorted(cdf, u.contiguous(), right=True).sub_(1).clamp_(0, mass.shape[-1] - 1)
    return (middle[..., :-2] - cdf[..., :-1] * slope).gather(-1, below) + slope.gather(-1, below) * u


def draw(like: Tensor, config: RenderConfig, generator: torch.Generator) -> Draws:
    """Fresh draws for rays of origins `like` [B, R, 3]: the first pass's jitter, then independent quantiles."""
    shapes = [(*like.shape[:-1], count) for count in (config.coarse, config.fine)]
    return Draws(
        *(
            torch.rand(s, generator=generator, device=generator.device, dtype=like.dtype).to(like.device)
            for s in shapes
        )
    )


def middle_draws(like: Tensor, config: RenderConfig) -> Draws:
    """The middle of every step and even quantiles, for rays of origins `like` [B, R, 3]: the same rays give the same image."""
    coarse = like.new_full((*like.shape[:-1], config.coarse), 0.5)
    quantiles = (torch.arange(config.fine, dtype=like.dtype, device=like.device) + 0.5) / max(1, config.fine)
    return Draws(coarse, quantiles.expand(*like.shape[:-1], -1))


def cut(raw: Tensor, points: Tensor, field: Field, config: RenderConfig) -> Tensor:
    """Raw densities [B, N] at points [B, N, 3] with all that is not to be seen emptied: the crop, then clouds."""
    if field.config.crop:
        beyond = points[..., ::2].abs() > field.config.box_side / 2 - field.config.crop  # x and z
        raw = torch.where(beyond.any(-1), raw.new_tensor(EMPTY), raw)
    if not (config.cull or config.binarise):
        return raw
    thin = -torch.expm1(-field.activate(raw)) < (config.binarise or config.cull)
    return torch.where(thin, raw.new_tensor(EMPTY), raw.new_tensor(SOLID) if config.binarise else raw)


def interval_weights(field: Field, raw: Tensor, t: Tensor) -> Tensor:
    """Weights [..., S - 1] of the intervals between samples t [..., S] with raw densities [..., S], averaged before activation."""
    return ray_weights(field.activate((raw[..., 1:] + raw[..., :-1]) / 2), t)


def at_ends(weights: Tensor) -> Tensor:
    """Weights of intervals [..., S - 1] -> of the samples between them [..., S].

    The mean over an interval is half of each end: weighing the ends spares sorting and averaging features.
    """
    return (F.pad(weights, (1, 0)) + F.pad(weights, (0, 1))) / 2


@torch.no_grad()
def raw_densities(
    field: Field, origins: Tensor, directions: Tensor, t: Tensor, config: RenderConfig
) -> Tensor:
    """Raw densities [B, R, S] at distances t [B, R, S] along rays [B, R, 3], without gradient."""
    points = (origins[..., None, :] + directions[..., None, :] * t[..., None]).flatten(1, 2)
    return cut(field.raw_density(points), points, field, config).view_as(t)


def shade(
    field: Field, origins: Tensor, directions: Tensor, t: Tensor, raw: Tensor, config: RenderConfig
) -> RayRendering:
    """Emission and absorption at given samples, with gradient.

    Args:
        origins, directions: [B, R, 3]. t, raw: [B, R, S] distances, increasing, and raw densities without gradient.

    Returns:
        What the rays saw, infinitely far where they are empty.
    """
    moving = origins.requires_grad or directions.requires_grad or t.requires_grad
    if moving or not looks_up(field):
        points = (origins[..., None, :] + directions[..., None, :] * t[..., None]).flatten(1, 2)
        raw, features = field.raw(points)
        weights = interval_weights(field, cut(raw, points, field, config).view_as(t), t)
        return summed(
            (at_ends(weights)[..., None, :] @ features.view(*t.shape, features.shape[-1]))[..., 0, :],
            weights,
            t,
            config,
        )
    weights = interval_weights(field, raw, t)
    visible = at_ends(weights) > config.negligible
    ray = visible.flatten(0, 1).nonzero()[:, 0]
    points = origins.flatten(0, 1)[ray] + directions.flatten(0, 1)[ray] * t[visible][:, None]
    raw_again, features = field.raw_of(points, ray // t.shape[1])
    if raw_again.requires_grad:
        weights = interval_weights(
            field, raw.masked_scatter(visible, cut(raw_again, points, field, config)), t
        )
    return summed(sum_over_rays(features, at_ends(weights)[visible], ray, t.shape[:2]), weights, t, config)


def sum_over_rays(features: Tensor, weights: Tensor, ray: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Features [N, F] times weights [N], summed where they belong to the same ray [N] -> [*shape, F]."""
    total = features.new_zeros(math.prod(shape), features.shape[-1])
    return total.index_add(0, ray, features * weights[:, None]).view(*shape, features.shape[-1])


def summed(features: Tensor, weights: Tensor, t: Tensor, config: RenderConfig) -> RayRendering:
    """What rays saw: features [..., F], from weights [..., S - 1] of the intervals between t [..., S]; empty ones infinitely far."""
    opacity = weights.sum(-1)
    distance = (weights * (t[..., 1:] + t[..., :-1]) / 2).sum(-1)
    hit = opacity > 0
    depth = torch.where(hit, distance / torch.where(hit, opacity, 1), torch.inf)
    if config.white_back:
        features = features + (1 - opacity)[..., None]
    return RayRendering(features, depth, opacity)


def march(
    field: Field,
    origins: Tensor,
    directions: Tensor,
    near: Tensor,
    far: Tensor,
    config: RenderConfig,
    draws: Draws | None,
) -> tuple[RayRendering, Tensor]:
    """Both passes along rays [B, R, 3] between near and far [B, R].

    Returns:
        What the rays saw, infinitely far where they are empty, and the samples' distances [B, R, S], sorted.
    """
    draws = draws or middle_draws(origins, config)
    t = coarse_samples(near, far, draws.coarse, disparity=config.disparity)
    raw = raw_densities(field, origins, directions, t, config)
    if config.fine:
        more = importance_samples(t, interval_weights(field, raw, t), draws.fine)
        more_raw = raw_densities(field, origins, directions, more, config)
        t, order = torch.cat([t, more], -1).sort(-1)
        raw = torch.cat([raw, more_raw], -1).gather(-1, order)
    return shade(field, origins, directions, t, raw, config), t


def render_rays(
    field: Field, origins: Tensor, directions: Tensor, config: RenderConfig, *, draws: Draws | None = None
) -> RayRendering:
    """What rays see, as the family renders its training images: one range of depths for the whole batch.

    Args:
        origins, directions: [B, R, 3], unit directions, for B heads. draws: None for the deterministic middle.
    """
    field = prepare(field)
    near, far = ray_range(origins, directions, config, field.config.box_side)
    parts = []
    low, high = torch.inf, -torch.inf
    for part in chunks(origins, config, field.config):
        some = draws and Draws(draws.coarse[:, part], draws.fine[:, part])
        rays, t = march(
            field, origins[:, part], directions[:, part], near[:, part], far[:, part], config, some
        )
        parts.append((rays.features, rays.depth, rays.opacity))
        low, high = min(low, t.min().item()), max(high, t.max().item())
    features, depth, opacity = (torch.cat(x, 1) for x in zip(*parts, strict=True))
    return RayRendering(features, depth.clamp(low, high), opacity)


def surface_normals(field: Field, points: Tensor, step: float) -> Tensor:
    """Unit world normals [..., 3] at points [..., 3]: against the density's gradient, by central differences."""
    offsets = step * torch.cat([torch.eye(3), -torch.eye(3)]).to(points)
    density = field.density(points[..., None, :] + offsets)
    gradient = density[..., :3] - density[..., 3:]
    return F.normalize(-gradient, dim=-1)


def rays_per_chunk(config: RenderConfig, field: FieldConfig) -> int:
    """Rays whose samples fit `chunk_bytes`, by the float32 values that are alive per sample at once."""
    values = 4 * field.channels + 2 * field.hidden + 2 * field.features
    return max(64, config.chunk_bytes // (4 * values * (config.coarse + config.fine)))


def chunks(origins: Tensor, config: RenderConfig, field: FieldConfig) -> list[slice]:
    """Parts of the rays [B, R, 3]; at least one."""
    B, R = origins.shape[:2]
    step = max(1, rays_per_chunk(config, field) // B)
    return [slice(start, start + step) for start in range(0, max(R, 1), step)]
