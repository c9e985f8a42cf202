"""Signed distances of a head: skin with lids, lips and ears, and what it wears around them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from . import sdf
from .anatomy import EYE_Y, FLOOR, Anatomy, Parts, almond, mouth_gap, mouth_line
from .hair import hair_distance
from .sdf import Coordinates
from .wear import clothing_distance, glasses_distance


def parts(head: Anatomy, p: Coordinates) -> Parts:
    """Signed distances of the five parts at coordinates `p`, each [N]."""
    x, y, z = p
    half = (x.abs(), y, z)
    glasses = glasses_distance(head, half) if head.glasses else None
    eyes = sdf.sphere(half, head.eye_centre, head.eye)
    return Parts(
        _skin(head, half, eyes), eyes, hair_distance(head, p), clothing_distance(head, half), glasses
    )


def distance(head: Anatomy, p: Coordinates) -> Tensor:
    """Signed distance [N] of the whole head, cut at the floor."""
    return torch.maximum(parts(head, p).whole(), FLOOR - p[1])


def _skin(head: Anatomy, p: Coordinates, eyes: Tensor) -> Tensor:
    """Skull, face, lids, ears and neck; `p` has x >= 0."""
    x, y, z = p
    pair = ((x * x + 1.2e-4).sqrt(), y, z)  # no crease where the two sides' bones meet in the middle
    face = sdf.ellipsoid(p, (0.0, -0.045, 0.018), (head.jaw, 0.107, 0.090))
    d = sdf.union(sdf.ellipsoid(p, (0.0, 0.045, -0.020), head.skull), face, 0.035)
    d = sdf.union(d, sdf.ellipsoid(p, (0.0, 0.062, 0.040 + head.forehead), (0.068, 0.050, 0.062)), 0.040)
    d = sdf.union(d, sdf.ellipsoid(p, head.chin, head.chin_radius), 0.030)
    d = sdf.union(
        d, sdf.sphere(pair, (head.jaw * 0.61, head.jaw_y - 0.5 * head.lower_drop, 0.014), 0.027), 0.050
    )  # angle of the jaw
    d = sdf.union(d, sdf.sphere(pair, (0.050, -0.040, 0.060), head.cheekbone), 0.045)
    d = sdf.union(d, sdf.sphere(pair, (0.037, -0.078, 0.054), head.cheek), 0.045)
    d = sdf.union(
        d,
        sdf.capsule(pair, (0.006, 0.026, 0.101), (0.064, 0.026, 0.074), head.brow, head.brow * 0.8),
        0.024,
    )
    d = sdf.union(
        d, sdf.ellipsoid(p, (0.0, -0.092, 0.078), (0.038, 0.036, 0.032)), 0.024
    )  # the teeth under the lips
    hollow = (0.027, 0.0175, 0.026 + 0.003 * head.socket)
    d = sdf.subtraction(d, sdf.ellipsoid(pair, (head.eye_x, EYE_Y + 0.001, 0.110), hollow), 0.016)
    d = torch.minimum(d, _lids(head, p, eyes))
    d = sdf.union(
        d, sdf.capsule(p, (0.0, 0.012, head.nose_root_z), head.nose_tip, 0.009, head.nose_radius), 0.014
    )
    nostril = (head.nostril_x, head.nose_tip[1] - 0.004, head.nose_tip[2] - 0.017)
    d = sdf.union(d, sdf.sphere(p, nostril, 0.0105), 0.010)
    d = sdf.union(d, _lips(head, p), 0.006)
    if head.mouth_open > 0:
        between = (y - mouth_line(head, x)).abs() - mouth_gap(head, x)
        cavity = torch.maximum(torch.maximum(between, x - 0.85 * head.mouth_half_width), 0.080 - z)
        d = sdf.subtraction(d, cavity, min(0.003, head.mouth_open))
    d = sdf.union(d, _ears(head, p), 0.014)
    return sdf.union(
        d, sdf.capsule(p, (0.0, -0.080, -0.032), (0.0, -0.30, -0.052), head.neck, head.neck * 1.06), 0.030
    )


def _lids(head: Anatomy, p: Coordinates, eyes: Tensor) -> Tensor:
    """A shell over the front of the eyeball that leaves the almond open."""
    _, _, edge = almond(head, p[0], p[1])
    shell = eyes - 0.0022
    return sdf.intersection(sdf.intersection(shell, -edge, 0.0016), 0.068 - p[2], 0.004) * 0.9


def _lips(head: Anatomy, p: Coordinates) -> Tensor:
    """Two bent tubes that thin out towards the corners; they meet at `mouth_line` where the mouth is closed."""
    x, y, z = p
    u = (x / head.mouth_half_width).clamp_max(1)
    thin, gap = 1 - 0.75 * u * u, mouth_gap(head, x)
    beyond = (x - head.mouth_half_width).clamp_min(0)
    height = y - mouth_line(head, x)
    forward = z - (0.1045 - 7.0 * x.clamp_max(0.04).square())
    base = beyond * beyond + forward * forward
    top, bottom = head.lip * thin, head.lower_lip * thin
    upper = (base + (height - 0.75 * top - gap).square()).sqrt() - top * 0.95
    lower = (base + (height + 0.80 * bottom + gap).square()).sqrt() - bottom * 1.0
    return torch.minimum(upper, lower) * 0.9


def _ears(head: Anatomy, p: Coordinates) -> Tensor:
    """A tilted disc with a hollow and a lobe."""
    s = head.ear
    x, y, z = p[0] - (head.skull[0] - 0.004), p[1] + 0.006, p[2] + 0.014
    cos, sin = math.cos(head.ear_tilt), math.sin(head.ear_tilt)
    out, along = cos * x + sin * z, cos * z - sin * x
    along = along - 0.15 * y  # leans back at the top
    local = (out, y, along)
    disc = sdf.ellipsoid(local, (0.0, 0.0, 0.0), (0.0095 * s, 0.034 * s, 0.021 * s))
    disc = sdf.union(disc, sdf.sphere(local, (0.0, -0.030 * s, 0.006), 0.009 * s), 0.010)
    hollow = sdf.ellipsoid(local, (0.010 * s, 0.004, 0.002), (0.007 * s, 0.022 * s, 0.012 * s))
    return sdf.subtraction(disc, hollow, 0.006) * 0.9
