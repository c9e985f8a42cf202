"""Where rays meet a surface given by its signed distance: sphere tracing, in cones first."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .sdf import Coordinates, coordinates, each

Distance = Callable[[Coordinates], Tensor]

RELAXATION = 0.87  # of a step: our distances are first order, hence at times a little too long
TOLERANCE = 1e-4  # scene units
STEPS = 40
CONE_STEPS = 24
CREEP = (
    6e-6  # least step of a ray over the squared number of steps it has made, so that grazing rays get past
)
POLISH = 10  # steps back to the surface of the rays that went a little too far


def march(
    distance: Distance,
    origins: Tensor,
    directions: Tensor,
    near: Tensor,
    far: Tensor,
    slope: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Sphere tracing (Hart 1996) of rays, or of cones around them, with only the active ones evaluated.

    Args:
        distance: coordinates, each [N] -> signed distance [N].
        origins, directions: [R, 3], unit directions.
        near, far: [R] where to start and to give up.
        slope: [R] cone radius per unit of ray length; None for rays.

    Returns:
        t [R], at which the cone comes to within a tolerance of the surface (nothing lies in the cone before), and
        hit [R] bool, false where it left at `far`.
    """
    t = near.clone()
    hit = torch.zeros_like(near, dtype=torch.bool)
    active = torch.nonzero(near < far).squeeze(1)
    tolerance = TOLERANCE if slope is None else 10 * TOLERANCE
    steps = STEPS if slope is None else CONE_STEPS
    wide = torch.zeros_like(near)[active] if slope is None else slope[active]
    here, end = t[active], far[active]
    start, way = coordinates(origins[active]), coordinates(directions[active])
    for i in range(steps):
        if not len(active):
            break
        d = distance(_along(start, way, here)) - wide * here
        arrival = d < tolerance
        here = torch.where(
            arrival, here, here + (RELAXATION * d).clamp_min(CREEP * i * i if slope is None else 0.0)
        )
        going = ~arrival & (here < end)
        if i == steps - 1 and slope is not None:  # a cone may stop anywhere it has come to
            arrival = arrival | going
        finish = ~going if i < steps - 1 else torch.ones_like(going)
        t[active[finish]], hit[active[finish]] = here[finish], arrival[finish]
        active, here, end, wide = active[going], here[going], end[going], wide[going]
        start, way = _rows(start, going), _rows(way, going)
    return t, hit


def _along(start: Coordinates, way: Coordinates, t: Tensor) -> Coordinates:
    """Points at ray lengths t."""
    x, y, z = (o + w * t for o, w in zip(start, way))
    return x, y, z


def _rows(p: Coordinates, index: Tensor) -> Coordinates:
    return each(p, lambda a: a[index])


def polish(distance: Distance, origins: Tensor, directions: Tensor, t: Tensor) -> Tensor:
    """[R] ray lengths after a few signed steps of those rays that ended beside the surface; damped, as slopes exceed 1."""
    t = t.clone()
    beside = torch.arange(len(t), device=t.device)
    for _ in range(POLISH):
        d = distance(coordinates(origins[beside] + t[beside, None] * directions[beside]))
        off = d.abs() > TOLERANCE
        beside = beside[off]
        t[beside] = t[beside] + 0.6 * d[off].clamp(-0.005, 0.005)
    return t


def through_box(
    origins: Tensor, directions: Tensor, low: Sequence[float], high: Sequence[float]
) -> tuple[Tensor, Tensor]:
    """near, far [R] of rays through an axis-aligned box; near >= far where they miss it."""
    inverse = 1 / torch.where(directions.abs() < 1e-12, torch.full_like(directions, 1e-12), directions)
    a = (torch.tensor(low, dtype=origins.dtype, device=origins.device) - origins) * inverse
    b = (torch.tensor(high, dtype=origins.dtype, device=origins.device) - origins) * inverse
    return torch.minimum(a, b).amax(-1).clamp_min(0), torch.maximum(a, b).amin(-1)


def gradient(distance: Distance, points: Tensor) -> Tensor:
    """Unit gradient [N, 3] of the signed distance at points [N, 3], by automatic differentiation."""
    with torch.inference_mode(False), torch.enable_grad():
        p = each(coordinates(points), lambda a: a.clone().requires_grad_())
        slopes = torch.autograd.grad(distance(p).sum(), p)
    return torch.nn.functional.normalize(torch.stack(slopes, -1), dim=-1)
