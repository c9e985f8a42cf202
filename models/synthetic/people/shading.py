"""How painted points look in a light: skin, eyes, teeth and cloth.

Diffuse light wraps around edges by colour (skin), speculars are two GGX lobes per lamp (Walter et al. 2007, with Schlick's Fresnel),
and the sky's by Karis' fit ("Real Shading in Unreal Engine 4", 2013).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .light import Lamp, Light
from .parts import Paint

FACING = 0.028  # share of light that skin reflects straight back
SHARPER = 0.18  # of skin's speculars, with half the roughness: its film of oil


@dataclass(frozen=True, kw_only=True)
class Points:
    """P visible points of surfaces.

    Attributes:
        normal, coat: [P, 3] unit, the latter of what reflects. view: [P, 3] unit, towards the camera.
        sky: [P, 3] irradiance over pi. lamps: [P, L] visibility. cavity: [P].
    """

    normal: Tensor
    coat: Tensor
    view: Tensor
    sky: Tensor
    lamps: Tensor
    cavity: Tensor


def bent(normal: Tensor, bump: Tensor) -> Tensor:
    """[P, 3] unit normals tilted by the gradient of a height.

    Args:
        normal: [P, 3] unit. bump: [P, 3], its part along the normal is left out.
    """
    return F.normalize(normal * (1 + (bump * normal).sum(1, keepdim=True)) - bump, dim=1)


def irradiance(points: Points, paint: Paint, light: Light) -> Tensor:
    """[P, 3] diffuse light over pi, before the surface's colour."""
    normal = bent(points.normal, paint.bump)
    tilt = light.sky_at(normal) / light.sky_at(points.normal).clamp_min(1e-3)
    openness = _openness(points, light)
    total = points.sky * tilt.clamp(0.3, 2.0) * (openness.sqrt() * points.cavity)[:, None]
    for i, lamp in enumerate(light.lamps):
        facing = (normal @ lamp.direction)[:, None]
        wrapped = ((facing + paint.scatter) / (1 + paint.scatter)).clamp_min(0)
        total = total + wrapped * (points.lamps[:, i] * points.cavity.sqrt())[:, None] * lamp.colour
    return total


def reflection(points: Points, paint: Paint, light: Light) -> Tensor:
    """[P, 3] light that the surface reflects without colouring it."""
    normal = bent(points.coat, paint.bump)
    toward = (normal * points.view).sum(1).clamp(0.02, 1.0)
    total = torch.zeros_like(normal)
    openness = _openness(points, light) * points.cavity
    lamps = [(lamp, points.lamps[:, i]) for i, lamp in enumerate(light.lamps)]
    for lamp, visible in lamps + [(lamp, openness) for lamp in light.soft]:
        strength = _highlight(normal, points.view, toward, paint.roughness, lamp)
        total = total + (strength * visible)[:, None] * lamp.colour
    total = total + (_ambient(toward, paint.roughness) * openness)[:, None] * light.ambient
    return total * paint.specular[:, None]


def _openness(points: Points, light: Light) -> Tensor:
    """[P] share of the sky's light that reaches the points."""
    return (points.sky.mean(1) / light.sky_at(points.normal).mean(1).clamp_min(1e-3)).clamp(0, 1)


def _highlight(normal: Tensor, view: Tensor, toward: Tensor, roughness: Tensor, lamp: Lamp) -> Tensor:
    """[P] what a lamp of colour 1 adds; a large lamp widens the lobe."""
    half = F.normalize(view + lamp.direction, dim=1)
    across = (normal * half).sum(1).clamp(0, 1)
    facing = (normal @ lamp.direction).clamp_min(0)
    fresnel = FACING + (1 - FACING) * (1 - (view * half).sum(1).clamp(0, 1)).pow(5)
    lobes = (1 - SHARPER) * _ggx(across, roughness, lamp.size) + SHARPER * _ggx(
        across, roughness * 0.6, lamp.size
    )
    return lobes * fresnel * facing / (4 * torch.maximum(toward, facing).clamp_min(0.1)) * math.pi


def _ggx(across: Tensor, roughness: Tensor, size: float) -> Tensor:
    """[P] density of facets that reflect the lamp; across [P] is the cosine between normal and half vector."""
    narrow = roughness.square()
    squared = (narrow + 0.35 * size).clamp_max(1).square()
    return squared / (math.pi * (across.square() * (squared - 1) + 1).square())


def _ambient(toward: Tensor, roughness: Tensor) -> Tensor:
    """[P] share of light from everywhere that is reflected to a view at cosine `toward` [P]."""
    a, b = 1 - roughness, 0.0425 - 0.0275 * roughness
    grazing = torch.minimum(a * a, torch.exp2(-9.28 * toward)) * a + b
    return FACING * (-1.04 * grazing + 1.04 - 0.572 * roughness) + (
        1.04 * grazing + 0.022 * roughness - 0.04
    ).clamp_min(0)


def exposed(radiance: Tensor) -> Tensor:
    """sRGB in [0, 1] of linear light, any shape: a film's curve, whose highlights roll off."""
    film = (1 - torch.exp(-1.45 * radiance.clamp_min(0))) ** 1.1
    return torch.where(film <= 0.0031308, 12.92 * film, 1.055 * film.clamp_min(1e-8) ** (1 / 2.4) - 0.055)
