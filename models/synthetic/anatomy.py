"""The shape of a head: measures from parameters, and signed distances of skin, eyeballs, hair and clothing.

World frame of `models/__init__.py`; lengths in scene units (0.7 m). Every measure is a smooth function of the parameters
and the surface a continuous function of the measures. Left and right agree but for the hair's parting.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from . import sdf
from .head import PARAMETER_NAMES
from .sdf import Coordinates, Point

FLOOR = -0.40  # every head's geometry ends here
BOX_MIN: Point = (-0.40, FLOOR, -0.24)  # all geometry lies inside, and so do the rays that are traced
BOX_MAX: Point = (0.40, 0.24, 0.18)

MOUTH_Y = -0.094
EYE_Y = 0.0
EAR_TILT = math.radians(24)  # how far an ear stands off the head at its back edge


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """Measures of one head, scene units unless said otherwise."""

    skull: Point  # half axes
    jaw: float  # half width of the lower face
    chin: Point  # centre of the chin's ball
    chin_radius: float  # its height and depth
    cheek: float  # radius of the cheekbone's ball
    brow: float  # radius of the brow ridge
    nose_tip: Point
    nose_radius: float
    nose_root_z: float
    nostril_x: float
    lip: float  # radius of a lip in its middle
    mouth_half_width: float
    smile: float  # rise of the mouth's corners
    eye: float  # radius of an eyeball
    eye_x: float  # half the distance of the pupils
    ear: float  # scale
    hair_thickness: float  # over the skull; negative: below the skin, so bald
    hair_density: float  # 0 bald .. 1: how far the scalp shows hair's colour
    hair_bottom: float  # y at which long hair ends; inside the skull when short
    hairline: float  # y of the hairline over the forehead
    parting: float  # x of the parting
    neck: float
    shoulder: float  # half width

    @property
    def eye_centre(self) -> Point:
        """Of the subject's left eyeball (x > 0)."""
        return (self.eye_x, EYE_Y, 0.0985 - self.eye)


class Parts(NamedTuple):
    """Signed distances [N] of what a head is made of."""

    skin: Tensor
    eyes: Tensor
    hair: Tensor
    clothing: Tensor

    def whole(self) -> Tensor:
        """[N]: the union, cut at the floor by the caller."""
        solid = torch.minimum(sdf.union(self.skin, self.eyes, 0.004), self.clothing)
        return sdf.union(solid, self.hair, 0.005)


def anatomy(parameters: Tensor) -> Anatomy:
    """Measures of the head with `parameters` [P] in [-1, 1].

    Raises:
        ValueError: for another shape, or values outside the range.
    """
    if parameters.shape != (len(PARAMETER_NAMES),):
        raise ValueError(f"anatomy: expected {len(PARAMETER_NAMES)} parameters, got {list(parameters.shape)}; pass one head at a time")
    if not bool((parameters.abs() <= 1).all()):
        raise ValueError("anatomy: expected parameters in [-1, 1], got values outside or NaN; clamp them")
    p = dict(zip(PARAMETER_NAMES, parameters.tolist()))
    density = _step(-0.95, -0.55, p["hair_volume"])
    long = _step(-0.3, 1.0, p["hair_length"]) * _step(-0.85, -0.3, p["hair_volume"])
    return Anatomy(
        skull=(0.104 * (1 + 0.06 * p["skull_width"]), 0.108 * (1 + 0.05 * p["skull_height"]), 0.132 * (1 + 0.06 * p["skull_depth"])),
        jaw=0.081 * (1 + 0.10 * p["jaw_width"]),
        chin=(0.0, -0.130 - 0.005 * p["chin"], 0.080 + 0.007 * p["chin"]),
        chin_radius=0.026 + 0.003 * p["jaw_width"],
        cheek=0.028 + 0.006 * p["cheeks"],
        brow=0.012 + 0.0035 * p["brow_ridge"],
        nose_tip=(0.0, -0.050 - 0.007 * p["nose_length"], 0.128 + 0.006 * p["nose_length"]),
        nose_radius=0.0135 + 0.0025 * p["nose_width"],
        nose_root_z=0.101 + 0.006 * p["nose_bridge"],
        nostril_x=0.0145 + 0.004 * p["nose_width"],
        lip=0.0078 + 0.0026 * p["lip_thickness"],
        mouth_half_width=0.031 + 0.005 * p["lip_width"],
        smile=0.001 + 0.006 * p["smile"],
        eye=0.0190 + 0.0014 * p["eye_size"],
        eye_x=0.045 + 0.004 * p["eye_spacing"],
        ear=1 + 0.18 * p["ear_size"],
        hair_thickness=0.012 + 0.016 * p["hair_volume"],
        hair_density=density,
        hair_bottom=0.04 - 0.31 * long,
        hairline=0.092 - 0.024 * p["hair_fringe"],
        parting=0.045 * p["hair_parting"],
        neck=0.065 + 0.008 * p["neck_width"],
        shoulder=0.275 + 0.03 * p["shoulder_width"],
    )


def parts(head: Anatomy, p: Coordinates) -> Parts:
    """Signed distances of the four parts at coordinates `p`, each [N]."""
    x, y, z = p
    half = (x.abs(), y, z)
    return Parts(_skin(head, half), sdf.sphere(half, head.eye_centre, head.eye), _hair(head, x, half), _clothing(head, half))


def distance(head: Anatomy, p: Coordinates) -> Tensor:
    """Signed distance [N] of the whole head, cut at the floor."""
    return torch.maximum(parts(head, p).whole(), FLOOR - p[1])


def mouth_line(head: Anatomy, x: Tensor) -> Tensor:
    """y [N] at which the lips meet."""
    u = x / head.mouth_half_width
    return MOUTH_Y + head.smile * (u * u).clamp_max(1.5)


def hairline(head: Anatomy, x: Tensor, z: Tensor) -> Tensor:
    """y [N] under which the scalp ends: high over the forehead, low before and above the ear, lowest in the nape."""
    back = z + 0.012
    front = back / (x * x + back * back + 1e-5).sqrt()  # 1 in front, 0 at the ears, -1 behind
    nape, side = -0.088, 0.018
    tilt = 0.40 * head.parting * (x / 0.09).clamp(-1, 1) - 3.0 * (x * x).clamp_max(0.006)
    return nape + (side - nape) * sdf.step(-0.8, -0.1, front) + (head.hairline + tilt - side) * sdf.step(0.42, 0.86, front)


def _skin(head: Anatomy, p: Coordinates) -> Tensor:
    """Skull, face, ears and neck; `p` has x >= 0."""
    x, y, z = p
    paired = ((x * x + 1.2e-4).sqrt(), y, z)  # no crease where the two sides' bones meet in the middle
    face = sdf.ellipsoid(p, (0.0, -0.045, 0.018), (head.jaw, 0.107, 0.090))
    d = sdf.union(sdf.ellipsoid(p, (0.0, 0.045, -0.020), head.skull), face, 0.035)
    d = sdf.union(d, sdf.ellipsoid(p, head.chin, (head.chin_radius + 0.015, head.chin_radius, head.chin_radius)), 0.030)
    d = sdf.union(d, sdf.sphere(paired, (head.jaw * 0.61, -0.080, 0.014), 0.027), 0.050)  # angle of the jaw
    d = sdf.union(d, sdf.sphere(paired, (0.050, -0.040, 0.060), head.cheek), 0.045)
    d = sdf.union(d, sdf.sphere(paired, (0.037, -0.078, 0.054), 0.026), 0.045)  # the soft of the cheek
    d = sdf.union(d, sdf.capsule(paired, (0.006, 0.026, 0.101), (0.064, 0.026, 0.074), head.brow, head.brow * 0.8), 0.024)
    d = sdf.union(d, sdf.ellipsoid(p, (0.0, -0.092, 0.078), (0.038, 0.036, 0.032)), 0.024)  # the teeth under the lips
    d = sdf.subtraction(d, sdf.ellipsoid(paired, (head.eye_x, EYE_Y + 0.001, 0.110), (0.027, 0.017, 0.026)), 0.016)
    d = sdf.union(d, sdf.capsule(p, (0.0, 0.012, head.nose_root_z), head.nose_tip, 0.009, head.nose_radius), 0.014)
    nostril = (head.nostril_x, head.nose_tip[1] - 0.004, head.nose_tip[2] - 0.017)
    d = sdf.union(d, sdf.sphere(p, nostril, 0.0105), 0.010)
    d = sdf.union(d, _lips(head, p), 0.006)
    d = sdf.union(d, _ears(head, p), 0.014)
    return sdf.union(d, sdf.capsule(p, (0.0, -0.080, -0.032), (0.0, -0.30, -0.052), head.neck, head.neck * 1.06), 0.030)


def _lips(head: Anatomy, p: Coordinates) -> Tensor:
    """Two bent tubes that thin out towards the corners and meet at `mouth_line`."""
    x, y, z = p
    u = (x / head.mouth_half_width).clamp_max(1)
    radius = head.lip * (1 - 0.75 * u * u)
    beyond = (x - head.mouth_half_width).clamp_min(0)
    height = y - mouth_line(head, x)
    forward = z - (0.1045 - 7.0 * x.clamp_max(0.04).square())
    base = beyond * beyond + forward * forward
    upper = (base + (height - 0.75 * radius).square()).sqrt() - radius * 0.95
    lower = (base + (height + 0.85 * radius).square()).sqrt() - radius * 1.1
    return torch.minimum(upper, lower) * 0.9


def _ears(head: Anatomy, p: Coordinates) -> Tensor:
    """A tilted disc with a hollow."""
    s = head.ear
    x, y, z = p[0] - (head.skull[0] - 0.004), p[1] + 0.006, p[2] + 0.014
    cos, sin = math.cos(EAR_TILT), math.sin(EAR_TILT)
    out, along = cos * x + sin * z, cos * z - sin * x
    along = along - 0.15 * y  # leans back at the top
    local = (out, y, along)
    disc = sdf.ellipsoid(local, (0.0, 0.0, 0.0), (0.0095 * s, 0.034 * s, 0.021 * s))
    hollow = sdf.ellipsoid(local, (0.010 * s, 0.004, 0.002), (0.007 * s, 0.022 * s, 0.012 * s))
    return sdf.subtraction(disc, hollow, 0.006) * 0.9


def _hair(head: Anatomy, x: Tensor, p: Coordinates) -> Tensor:
    """A cap over the skull that ends at the hairline, and long hair behind and beside the face."""
    side, y, z = p
    t = head.hair_thickness
    groove = torch.exp(-((x - head.parting) / 0.007).square()) * sdf.step(-0.06, 0.0, z) * (0.35 * max(t, 0.0))
    a, b, c = head.skull
    cap = sdf.ellipsoid(p, (0.0, 0.045, -0.022), (a + t, b + t, c + t)) + groove
    cap = sdf.intersection(cap, (hairline(head, x, z) - y) * 0.7, 0.024)
    around = sdf.ellipse(side, z + 0.040, a + 0.8 * t, c - 0.022 + 0.8 * t)
    ends = torch.maximum(head.hair_bottom - y, y - 0.05)
    curtain = sdf.intersection(around, ends, 0.035)
    front = z - (-0.045 + 0.070 * sdf.step(0.045, 0.085, side))  # leaves the neck free
    curtain = sdf.intersection(curtain, front * 0.6, 0.020)
    return sdf.union(cap, curtain, 0.020) * 0.95 + 0.015 * (1 - head.hair_density)


def _clothing(head: Anatomy, p: Coordinates) -> Tensor:
    """Chest and shoulders."""
    chest = sdf.ellipsoid(p, (0.0, -0.44, -0.035), (head.shoulder * 0.95, 0.215, 0.140))
    end = head.shoulder - 0.065
    shoulder = sdf.capsule(p, (0.07, -0.272, -0.050), (end, -0.312, -0.055), 0.058, 0.068)
    return sdf.union(chest, shoulder, 0.060)


def _step(edge_0: float, edge_1: float, x: float) -> float:
    t = min(max((x - edge_0) / (edge_1 - edge_0), 0.0), 1.0)
    return t * t * (3 - 2 * t)
