"""Clothing and glasses: their shape and paint."""

from __future__ import annotations

import torch
from torch import Tensor

from . import sdf
from .anatomy import Anatomy, Parts
from .noise import noise
from .sdf import Coordinates

Colour = tuple[float, float, float]


def clothing_distance(head: Anatomy, p: Coordinates) -> Tensor:
    """[N]: chest and shoulders, and the collar of a shirt or a jacket."""
    chest = sdf.ellipsoid(p, (0.0, -0.44, -0.035), (head.shoulder * 0.95, 0.215, 0.140))
    end, drop = head.shoulder - 0.065, head.shoulder_drop
    shoulder = sdf.capsule(p, (0.07, -0.272, -0.050), (end, -0.312 - drop, -0.055), 0.058, 0.068)
    body = sdf.union(chest, shoulder, 0.060)
    if head.clothing_style in ("shirt", "jacket"):
        x, y, z = p
        round_neck = (
            (x.square() + (z + 0.048).square() + 1e-8).sqrt() - head.neck - 0.010 - 0.16 * (-0.19 - y)
        )
        band = sdf.intersection(
            round_neck.abs() - 0.0045, (y + 0.196 + 0.55 * (z + 0.03).clamp_min(0)).abs() - 0.024, 0.006
        )
        body = sdf.union(body, band * 0.8, 0.010)
    return body


def glasses_distance(head: Anatomy, p: Coordinates) -> Tensor:
    """[N]: two rims, a bridge and temples; `p` has x >= 0."""
    x, y, z = p
    w, h, r = head.lens
    middle, front = head.eye_x - 0.001, 0.1175
    away_x, away_y = (x - middle).abs() - (w - r), (y + 0.003).abs() - (h - r)
    rim = (
        (away_x.clamp_min(0).square() + away_y.clamp_min(0).square() + 1e-12).sqrt()
        + torch.maximum(away_x, away_y).clamp_max(0)
        - r
    )
    bend = z - front + 3.0 * (x - 0.02).clamp_min(0).square()
    d = (rim.square() + bend.square() + 1e-12).sqrt() - 0.0025
    outer = middle + w
    d = torch.minimum(
        d, sdf.capsule(p, (0.0, 0.004, front + 0.003), (middle - w, 0.002, front), 0.0020, 0.0020)
    )
    hinge = (outer, 0.006, front - 3.0 * (outer - 0.02) ** 2)
    return (
        torch.minimum(d, sdf.capsule(p, hinge, (head.skull[0] + 0.004, 0.008, -0.018), 0.0022, 0.0020)) * 0.9
    )


def clothed(head: Anatomy, part: Parts, p: Coordinates) -> Tensor:
    """[N] 0 .. 1: where cloth covers the surface."""
    return (
        sdf.step(-0.001, 0.001, _from_collar(head, p))
        * sdf.step(0.006, 0.0, part.clothing)
        * sdf.step(-0.15, -0.175, p[1])
    )


def clothing_paint(head: Anatomy, cloth: Colour, second: Colour, pattern: float, p: Coordinates) -> Tensor:
    """sRGB [N, 3] before light: folds, a collar, stripes where `pattern` (0 .. 1) says so, a jacket over a shirt."""
    x, y, z = p
    folds = torch.sin(34 * x.abs() + 26 * y) * torch.sin(21 * y - 17 * z) + 0.6 * noise(
        (x * 26, y * 26, z * 26), 11
    )
    collar = torch.exp(-((_from_collar(head, p) - 0.008) / 0.006).square())
    level = 1 + 0.07 * folds - 0.22 * collar
    c = x.new_tensor(cloth).expand(len(x), 3)
    stripes = pattern * sdf.step(-0.25, 0.25, torch.sin(210 * y + 9 * torch.sin(7 * x)))
    c = c + (x.new_tensor(second) - c) * stripes[:, None]
    if head.clothing_style == "shirt":
        placket = sdf.step(0.011, 0.009, x.abs()) * sdf.step(0.0, 0.03, z)
        seam = torch.exp(-((x.abs() - 0.010) / 0.0014).square()) * sdf.step(0.0, 0.03, z)
        button = (
            sdf.step(0.0042, 0.0030, (x.square() + ((y + 0.262).remainder(0.045) - 0.0225).square()).sqrt())
            * placket
        )
        c = c * (1 + 0.05 * placket - 0.35 * seam - 0.45 * button)[:, None]
    if head.clothing_style == "jacket":
        opening = 0.012 + 0.42 * (y + 0.315).clamp_min(0)
        shirt = sdf.step(0.001, -0.001, x.abs() - opening) * sdf.step(-0.02, 0.01, z)
        edge = torch.exp(-((x.abs() - opening - 0.022) / 0.0022).square()) * sdf.step(-0.02, 0.01, z)
        c = c * (1 - 0.35 * edge)[:, None]
        c = c + (x.new_tensor((0.90, 0.91, 0.93)) - c) * shirt[:, None]
    return c * level[:, None]


def _from_collar(head: Anatomy, p: Coordinates) -> Tensor:
    """[N] how far out of the neckline a point is; the neckline is deeper in front, most of all a V's."""
    x, y, z = p
    round_neck = (x.square() + (z + 0.048).square() + 1e-8).sqrt() + 0.04 * sdf.step(-0.02, -0.09, z)
    if head.clothing_style in ("shirt", "jacket"):
        return (
            round_neck
            - head.neck
            - 0.006
            - 0.10 * sdf.step(-0.02, 0.06, z) * (y + 0.235).clamp(-0.08, 0.0).neg()
        )
    crew = round_neck - 0.086 - 0.12 * sdf.step(-0.02, 0.06, z) * (y + 0.235).clamp(-0.08, 0.0).neg()
    if head.clothing_style == "crew":
        return crew
    v = (x.abs() - 0.62 * (y + 0.322)) * 0.85  # > 0 outside the V
    return torch.minimum(crew, v + 0.3 * sdf.step(0.02, -0.02, z))
