"""Signed distance functions and smooth set operations, on coordinates given one axis at a time.

Distances are scene units, negative inside. Points are (x, y, z), each [N]: apart, they are contiguous and need no
stacking, which is most of the speed on a CPU. Formulas after Quilez, "Distance functions" and "Smooth minimum".
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Point = tuple[float, float, float]
Coordinates = tuple[Tensor, Tensor, Tensor]


def coordinates(points: Tensor) -> Coordinates:
    """Points [N, 3], one axis at a time."""
    x, y, z = points.unbind(1)
    return x, y, z


def each(p: Coordinates, change: Callable[[Tensor], Tensor]) -> Coordinates:
    """The same change of every axis."""
    x, y, z = p
    return change(x), change(y), change(z)


def sphere(p: Coordinates, centre: Point, radius: float) -> Tensor:
    """[N] distance to a sphere; exact."""
    x, y, z = (a - c for a, c in zip(p, centre))
    return (x * x + y * y + z * z).sqrt() - radius


def ellipsoid(p: Coordinates, centre: Point, radii: Point) -> Tensor:
    """[N] distance to an axis-aligned ellipsoid; first order, exact on the surface: k0 (k0 - 1) / k1."""
    x, y, z = ((a - c) / r for a, c, r in zip(p, centre, radii))
    k0 = (x * x + y * y + z * z).sqrt()
    x, y, z = x / radii[0], y / radii[1], z / radii[2]
    k1 = (x * x + y * y + z * z).sqrt().clamp_min(1e-6)
    return k0 * (k0 - 1) / k1


def ellipse(x: Tensor, z: Tensor, radius_x: float, radius_z: float) -> Tensor:
    """[N] distance to an elliptic cylinder along y around the origin; first order."""
    u, w = x / radius_x, z / radius_z
    k0 = (u * u + w * w).sqrt()
    u, w = u / radius_x, w / radius_z
    return k0 * (k0 - 1) / (u * u + w * w).sqrt().clamp_min(1e-6)


def capsule(p: Coordinates, start: Point, end: Point, radius_start: float, radius_end: float) -> Tensor:
    """[N] distance to a segment with a radius that changes linearly along it; a lower bound when the radii are close."""
    ax, ay, az = (e - s for s, e in zip(start, end))
    x, y, z = (a - s for a, s in zip(p, start))
    h = ((x * ax + y * ay + z * az) / (ax * ax + ay * ay + az * az)).clamp(0, 1)
    x, y, z = x - ax * h, y - ay * h, z - az * h
    return (x * x + y * y + z * z).sqrt() - (radius_start + (radius_end - radius_start) * h)


def union(a: Tensor, b: Tensor, width: float) -> Tensor:
    """[N] smooth minimum of a, b [N]: min(a, b) where they differ by `width` or more, quadratic between."""
    h = (width - (a - b).abs()).clamp_min(0)
    return torch.minimum(a, b) - h * h * (0.25 / width)


def intersection(a: Tensor, b: Tensor, width: float) -> Tensor:
    """[N] smooth maximum, as `union`."""
    h = (width - (a - b).abs()).clamp_min(0)
    return torch.maximum(a, b) + h * h * (0.25 / width)


def subtraction(a: Tensor, b: Tensor, width: float) -> Tensor:
    """[N]: `a` [N] with `b` [N] carved out of it, smoothly."""
    return intersection(a, -b, width)


def step(edge_0: float, edge_1: float, x: Tensor) -> Tensor:
    """[N] smooth step: 0 before `edge_0`, 1 after `edge_1` (reversed with reversed edges), cubic between."""
    t = ((x - edge_0) / (edge_1 - edge_0)).clamp(0, 1)
    return t * t * (3 - 2 * t)
