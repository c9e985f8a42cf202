"""How strands grow over the mean head: combed along it, pulled down, kept outside of it and off the face."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..shape import smoothstep
from .roots import Roots
from .skull import Skull
from .vectors import dot, unit

FACE_CENTRE, FACE_HALF = (
    (0.0, 2.2, 9.5),
    (7.8, 8.5, 6.8),
)  # cm: the egg in front that hair frames, across, up and back
FALLS = -7.5  # cm: where hair that hangs decides for the chest or the back
LOWEST = -24.2  # cm: hair ends above where all geometry does


@dataclass(frozen=True, kw_only=True)
class Growth:
    """Of N strands.

    Attributes:
        length: [N] cm. layer: [N] cm above the skin in the end. lift: [N] how much a strand stands off at its root, 0 to 1.
        comb: points [N, 3], arc length (cm) -> where strands are combed to [N, 3].
        reach: cm over which combing gives way to weight. gravity: how fast strands turn down. inertia: how stiff they are.
        hug: how far strands above their layer are drawn back to it at each step, 0 to 1, [N] or one number.
        oval: share of the face's height that is kept free above its middle: [N], 1 up to the hairline.
        fall: [N] -1 to 1: hair over the shoulders falls to the back or to the chest.
    """

    length: Tensor
    layer: Tensor
    lift: Tensor
    comb: Callable[[Tensor, float], Tensor]
    oval: Tensor
    fall: Tensor
    reach: float = 12.0
    gravity: float = 0.35
    inertia: float = 1.0
    hug: Tensor | float = 0.0


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
        combed = unit(combed - dot(combed, gradient)[..., None] * gradient)
        rising = (plan.lift * (1 - share) ** 2)[:, None] * roots.normal
        pull = forward * plan.inertia + combed * (0.25 + held) + 2.0 * rising
        pull[:, 1] -= plan.gravity * min(1.0, 0.3 + reached / 8.0) * step
        pull = pull + _hanging(at, plan.fall) * step.clamp_max(2.0)[:, None]
        moved = at + unit(pull) * step[:, None]
        distance, gradient = skull(moved)
        wanted = torch.minimum(plan.layer, 0.05 + 0.6 * step * index)
        gradient = _shed(moved, gradient, plan.fall)
        moved = moved + gradient * (wanted - distance).clamp_min(0)[:, None]
        moved = moved - gradient * (plan.hug * (distance - plan.layer).clamp(0, 2))[:, None]
        moved = off_the_face(moved, plan.oval)
        forward = unit(moved - at)
        at = at + forward * step[:, None]
        way.append(at)
    return torch.stack(way, 1)


def _hanging(at: Tensor, fall: Tensor) -> Tensor:
    """[N, 3] what turns strands that hang: back beside the face, in to the neck, to the chest or the back at the shoulders."""
    x, y, z = at.unbind(-1)
    beside = smoothstep(z, 2.5, 6.5) * smoothstep(9.5 - y, 0.0, 3.0) * smoothstep(y, -9.0, -4.0)
    neck = smoothstep(4.0 - y, 0.0, 8.0) * smoothstep(x.abs(), 4.5, 9.0)
    low = smoothstep(FALLS + 3.0 - y, 0.0, 4.0) * smoothstep(y, -19.0, -15.0)
    low = low * smoothstep(torch.where(fall > 0, 7.0, 3.0) - z * fall, 0.0, 4.0)  # until it hangs clear
    middle = 0.4 * smoothstep(-z, 3.0, 8.0) * smoothstep(FALLS - y, 0.0, 4.0)  # behind, together
    return torch.stack(
        [-x.sign() * (0.08 * neck + 0.1 * middle), torch.zeros_like(x), 0.8 * low * fall - 0.6 * beside], 1
    )


def _shed(at: Tensor, gradient: Tensor, fall: Tensor) -> Tensor:
    """[N, 3] unit: shoulders turn hair to the chest or the back, not aside."""
    share = smoothstep(FALLS + 1.0 - at[:, 1], 0.0, 3.0)
    x, y, z = gradient.unbind(-1)
    turned = torch.stack([x * (1 - 0.85 * share), y, z + 0.9 * share * fall], 1)
    return unit(turned)


def off_the_face(points: Tensor, oval: Tensor | float = 1.0) -> Tensor:
    """Points [N, ..., 3] in front of the face moved out of the egg that hair frames: aside and back, above its middle also up.

    Args:
        oval: height of the egg above its middle as a share of `FACE_HALF`, one number or [N, ...].
    """
    x, y, z = (points - points.new_tensor(FACE_CENTRE)).unbind(-1)
    upper = y > 0
    high = FACE_HALF[1] * torch.where(upper, torch.as_tensor(oval, dtype=y.dtype), 1.0)
    across, up, back = x / FACE_HALF[0], y / high.clamp_min(1e-3), z.clamp_max(0) / FACE_HALF[2]
    room = (1 - up.square() - back.square()).clamp_min(0).sqrt()
    within = (across.abs() < room) & (up.abs() < 1)
    grown = 1 / (across.square() + up.square() + back.square()).sqrt().clamp_min(0.05)
    side = torch.where(x < 0, -1.0, 1.0)
    moved_x = torch.where(within, torch.where(upper, x * grown, side * room * FACE_HALF[0]), x)
    moved_y = torch.where(within & upper, y * grown, y)
    moved_z = torch.where(within, torch.minimum(z, z * grown.clamp_max(1.5)) - 0.25 * (up < 0.6), z)
    moved = torch.stack([moved_x, moved_y, moved_z], -1)
    return moved + points.new_tensor(FACE_CENTRE)


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
