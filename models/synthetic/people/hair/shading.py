"""How strands look in a light: a white highlight, a coloured one beside it, light through them from behind, and what they scatter.

Marschner et al., "Light Scattering from Human Hair Fibers", SIGGRAPH 2003, with the approximations of Karis, "Physically Based Hair
Shading in Unreal", SIGGRAPH courses 2016.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..light import Light
from ..parts import Hair
from .locks import tangents
from .ribbons import Ribbons
from .vectors import cross, dot, unit

TILT = 0.06  # radians: how far the cuticle's scales tilt highlights
REFLECTED = 0.0465  # share of light that a fibre reflects at once
ROUND = 0.55  # how far a ribbon's edge looks aside, of a cylinder's 1


def shade(
    hair: Hair, seen: Ribbons, sky: Tensor, lamps: Tensor, light: Light, camera_position: Tensor
) -> tuple[Tensor, Tensor]:
    """Linear colour [P, 3] and unit normals [P, 3] of the samples that see hair.

    Args:
        sky: [N, K, 3] irradiance over pi. lamps: [N, K, L] visibility. camera_position: [3] scene units.
    """
    place, normal, from_sky, visible = (
        seen.of(values) for values in (hair.strands, hair.normals, sky, lamps)
    )
    along = seen.of(tangents(hair.strands))
    along = unit(along)
    view = unit(camera_position - place)
    normal = _rounded(normal, along, view, seen.across)
    colour = hair.colour[seen.strand] * _shades(hair, seen)[:, None]
    total = colour * from_sky
    for index, lamp in enumerate(light.lamps):
        facing = ((normal @ lamp.direction + 0.4) / 1.4).clamp_min(0)
        fibre = _fibre(along, view, normal, lamp.direction, colour, hair.gloss, lamp.size)
        scattered = colour * (facing * (0.6 + 0.4 * _across(along, lamp.direction)))[:, None]
        total = total + (scattered + fibre) * visible[:, index : index + 1] * lamp.colour
    openness = (from_sky.mean(1) / light.sky_at(normal).mean(1).clamp_min(1e-3)).clamp(0, 1)
    for lamp in light.soft:
        fibre = _fibre(along, view, normal, lamp.direction, colour, hair.gloss, 0.5)
        total = total + fibre * openness[:, None] * lamp.colour
    return total + 0.05 * hair.gloss * openness[:, None] * light.ambient, normal


def _rounded(normal: Tensor, along: Tensor, view: Tensor, across: Tensor) -> Tensor:
    """[P, 3] normals of the hair's mass, square to the strand, turned aside towards its edges."""
    square = unit(normal - 0.8 * dot(normal, along)[:, None] * along)
    aside = unit(cross(along, view))
    return unit(square + ROUND * 0.5 * across[:, None] * aside)


def _shades(hair: Hair, seen: Ribbons) -> Tensor:
    """[P]: roots lie dark, tips are bleached; deep strands get less light."""
    share = (seen.point + seen.between) / (hair.strands.shape[1] - 1)
    depth = seen.of(hair.depth[..., None])[:, 0]
    return (0.78 + 0.32 * share) * (0.5 + 0.5 * depth)


def _across(along: Tensor, direction: Tensor) -> Tensor:
    """[P]: sine of the angle between a strand and light [3]."""
    return (1 - (along @ direction).square()).clamp_min(0).sqrt()


def _fibre(
    along: Tensor, view: Tensor, normal: Tensor, direction: Tensor, colour: Tensor, gloss: float, size: float
) -> Tensor:
    """[P, 3]: reflected (R), twice through and back (TRT), and through (TT) for a lamp of colour 1."""
    sin_light, sin_view = along @ direction, dot(along, view)
    cos_light, cos_view = (
        (1 - sin_light.square()).clamp_min(1e-4).sqrt(),
        (1 - sin_view.square()).clamp_min(1e-4).sqrt(),
    )
    half = (sin_light.clamp(-1, 1).asin() + sin_view.clamp(-1, 1).asin()) / 2
    around = ((view @ direction) - sin_light * sin_view) / (cos_light * cos_view)  # cosine of the azimuth
    around = around.clamp(-1, 1)
    width = 0.16 + 0.25 * size
    facing = ((normal @ direction + 0.25) / 1.25).clamp(0, 1)
    first = _lobe(half + TILT, width) * 0.25 * ((1 + around) / 2).sqrt() * REFLECTED
    tint = colour.clamp_min(1e-4).pow(0.6)
    second = _lobe(half - 1.5 * TILT, 1.8 * width) * torch.exp(3.5 * (around - 1)) * 0.28
    through = _lobe(half - 0.5 * TILT, 1.2 * width) * torch.exp(-3.6 * around - 3.6) * 0.8
    white = (first * facing * gloss)[:, None]
    tinted = (second * facing * gloss)[:, None] * tint * 0.35 + through[:, None] * colour * 0.6
    return math.pi * (white + tinted)


def _lobe(angle: Tensor, width: float) -> Tensor:
    """[P] a Gaussian's density."""
    return torch.exp(-0.5 * (angle / width).square()) / (width * math.sqrt(2 * math.pi))
