"""How strands grow over the mean head: combed along it, pulled down, kept outside of it and off the face."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .roots import Roots
from .skull import Skull

FACE_CENTRE, FACE_HALF = (
    (0.0, 2.2),
    (6.7, 8.5),
)  # cm: the oval that hair frames, across and up; hair above it may be cut shorter
FACE_FRONT = 2.0  # cm: the oval counts in front of this
LOWEST = -24.2  # cm: hair ends above where all geometry does


@dataclass(frozen=True, kw_only=True)
class Growth:
    """Of N strands.

    Attributes:
        length: [N] cm. layer: [N] cm above the skin in the end. lift: [N] how much a strand stands off at its root, 0 to 1.
        comb: points [N, 3], arc length (cm) -> where strands are combed to [N, 3].
        reach: cm over which combing gives way to weight. gravity: how fast strands turn down. inertia: how stiff they are.
        hug: how far strands above their layer are drawn back to it at each step, 0 to 1.
        oval: share of the face's oval that is kept free, at the forehead: [N], 1 up to the hairline.
    """

    length: Tensor
    layer: Tensor
    lift: Tensor
    comb: Callable[[Tensor, float], Tensor]
    reach: float = 12.0
    gravity: float = 0.35
    inertia: float = 1.0
    hug: float = 0.0
    oval: Tensor | float = 1.0


def grow(skull: Skull, roots: Roots, plan: Growth, points: int) -> Tensor:
    """Strands [N, points, 3], rest coordinates in centimetres, root first, segments of a strand equally long."""
    at, forward = roots.rest, roots.normal
    way, step = [at], plan.length / (points - 1)
    distance, gradient = skull(at)
    for index in range(1, points):
        share = index / (points - 1)
        reached = share * float(plan.length.mean()) if len(roots) else 0.0
        held = max(0.0, 1 - reached / plan.reach)
        combed = plan.comb(at, reached)
        combed = F.normalize(combed - (combed * gradient).sum(-1, keepdim=True) * gradient, dim=-1)
        rising = (plan.lift * (1 - share) ** 2)[:, None] * roots.normal
        pull = forward * plan.inertia + combed * (0.25 + held) + 2.0 * rising
        pull[:, 1] -= plan.gravity * min(1.0, 0.3 + reached / 8.0) * step
        moved = at + F.normalize(pull, dim=-1) * step[:, None]
        distance, gradient = skull(moved)
        wanted = torch.minimum(plan.layer, 0.05 + 0.6 * step * index)
        moved = moved + gradient * (wanted - distance).clamp_min(0)[:, None]
        if plan.hug:
            moved = moved - gradient * (plan.hug * (distance - plan.layer).clamp_min(0))[:, None]
        moved = off_the_face(moved, plan.oval)
        forward = F.normalize(moved - at, dim=-1)
        at = at + forward * step[:, None]
        way.append(at)
    return torch.stack(way, 1)


def off_the_face(points: Tensor, oval: Tensor | float = 1.0) -> Tensor:
    """Points [N, ..., 3] in front of the face moved aside, out of its oval.

    Args:
        oval: height of the oval above its centre as a share of `FACE_HALF`, one number or [N]; 0 lets hair fall to the eyes.
    """
    x, y, z = points.unbind(-1)
    half = FACE_HALF[1] * torch.where(y > FACE_CENTRE[1], torch.as_tensor(oval, dtype=y.dtype), 1.0)
    across, up = x / FACE_HALF[0], (y - FACE_CENTRE[1]) / half.clamp_min(1e-3)
    radius = (across.square() + up.square()).sqrt().clamp_min(1e-4)
    front = ((z - FACE_FRONT) / 3.0).clamp(0, 1)
    grown = torch.lerp(torch.ones_like(radius), (1 / radius).clamp_min(1.0), front)
    side = torch.where(x < 0, -1.0, 1.0)
    below = y < FACE_CENTRE[1]  # there hair goes aside, never down over the mouth
    wide = (FACE_HALF[0] * (1 - up.square()).clamp_min(0).sqrt()).maximum(x.abs())
    aside = torch.lerp(x, side * wide, front)
    moved_x = torch.where(below, aside, x * grown)
    moved_y = torch.where(below, y, FACE_CENTRE[1] + (y - FACE_CENTRE[1]) * grown)
    return torch.stack([moved_x, moved_y, z], -1)


def push_out(skull: Skull, strands: Tensor, least: float = 0.12) -> Tensor:
    """Strands [N, K, 3] with everything but the roots at least so many centimetres off the skin."""
    distance, gradient = skull(strands)
    ramp = (torch.arange(strands.shape[1]) / 2.0).clamp_max(1.0)
    return strands + gradient * (least * ramp - distance).clamp_min(0)[..., None] * (ramp > 0)[:, None]


def cut(strands: Tensor, share: Tensor) -> Tensor:
    """Strands [N, K, 3] shortened to a share [N] of their length, with as many points as before."""
    points = strands.shape[1]
    at = torch.linspace(0, 1, points)[None] * share[:, None].clamp(1e-3, 1) * (points - 1)
    low = at.long().clamp_max(points - 2)
    index = low[..., None].expand(-1, -1, 3)
    return torch.lerp(strands.gather(1, index), strands.gather(1, index + 1), (at - low)[..., None])


def cut_below(strands: Tensor, height: Tensor) -> Tensor:
    """Strands [N, K, 3] cut where they first fall below a height [N] (cm); those that never do are whole."""
    above = strands[..., 1] >= height[:, None]
    kept = above.int().cumprod(1).sum(1)  # points before the first one below
    before = (kept - 1).clamp(0, strands.shape[1] - 2)
    y = strands[..., 1].gather(1, torch.stack([before, before + 1], 1))
    between = ((y[:, 0] - height) / (y[:, 0] - y[:, 1]).clamp_min(1e-4)).clamp(0, 1)
    share = (before + between) / (strands.shape[1] - 1)
    return cut(strands, torch.where(kept == strands.shape[1], 1.0, share))
