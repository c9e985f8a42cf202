"""Loose hair: drawn from a style's ranges, grown, gathered into locks, cut."""

from __future__ import annotations

import torch
from torch import Tensor

from ..parts import Body
from ..shape import smoothstep
from ..streams import Draws
from .combs import comb
from .growth import LOWEST, Growth, cut_below, grow, off_the_face, push_out
from .locks import Drift, gather, nearest_lock, rumpled, waved
from .roots import Roots
from .skull import Skull
from .styles import Style


def loose(skull: Skull, body: Body, roots: Roots, style: Style, draws: Draws) -> tuple[Tensor, Tensor]:
    """Strands [N, K, 3] in rest coordinates, and the leader [N] of each one's lock.

    Args:
        roots: N, over the scalp. style: its ranges.
    """
    side = 1.0 if draws.chance(0.5) else -1.0
    part = draws.uniform(*style.part) * (side if style.comb == "across" else 1.0)
    plan, oval = _plan(body, roots, style, draws, part, -side)
    strands = grow(skull, roots, plan, style.points)
    apart = torch.stack(
        [
            torch.where(roots.rest[:, 0] < part, 0.0, 9.0) * (style.comb in ("part", "fringe")),
            9.0 * (oval < 1),
        ],
        1,
    )
    lock = nearest_lock(
        roots, style.locks, torch.cat([apart, 4.0 * plan.fall[:, None] * (style.level is not None)], 1)
    )
    strands = gather(strands, lock, _tightness(roots, style, draws))
    strands = _swung(strands, roots, lock, style, draws)
    strands = rumpled(strands, style.frizz * (0.3 + 2.2 * roots.other**5), draws)
    strands = off_the_face(push_out(skull, strands), oval[:, None])
    if style.level is not None:
        strands = cut_below(strands, _level(roots, lock, style, draws))
    return cut_below(strands, torch.full((len(roots),), LOWEST)), lock


def _plan(
    body: Body, roots: Roots, style: Style, draws: Draws, part: float, side: float
) -> tuple[Growth, Tensor]:
    """How strands grow, and how much of the face's egg they keep free."""
    top = smoothstep(roots.rest[:, 1], 5.5, 10.5)
    drawn = draws.uniform(*style.sides), draws.uniform(*style.top)
    length = torch.lerp(torch.tensor(drawn[0]), torch.tensor(drawn[1]), top) * (0.82 + 0.26 * roots.chance)
    length = length * (1.0 if style.level else 0.35 + 0.65 * smoothstep(roots.density, 0.3, 1.0))
    inner, outer = style.layers
    volume = draws.uniform(0.75, 1.2)
    layer = inner + (outer * volume - inner) * roots.other**1.3 * (0.45 + 0.55 * top)
    if style.comb in ("part", "fringe", "across"):  # hair lies flat beside its parting
        layer = layer * (0.35 + 0.65 * smoothstep((roots.rest[:, 0] - part).abs(), 0.0, 4.5))
    front = _fringe(roots) if style.comb == "fringe" else torch.zeros(len(roots))
    oval = 1 - 0.55 * front - 0.3 * (style.coil > 0.5)
    plan = Growth(
        length=length,
        layer=torch.where(front > 0.5, layer.clamp_max(0.9), layer),
        lift=style.lift * (0.6 + 0.8 * roots.other) * (0.5 + 0.5 * top),
        comb=comb(style.comb, roots, draws, part, side),
        reach=style.reach,
        gravity=style.gravity,
        inertia=style.inertia,
        hug=torch.where(front > 0.5, 0.6, style.hug),
        oval=oval,
        fall=_fall(roots, draws),
    )
    return plan, oval


def _fringe(roots: Roots) -> Tensor:
    """[N] 0 or 1: strands that fall over the forehead."""
    edge = 4.9 + 0.5 * (roots.chance - 0.5)
    return ((roots.rest[:, 2] > 3.4) & (roots.rest[:, 0].abs() < edge) & (roots.rest[:, 1] > 9.0)).float()


def _fall(roots: Roots, draws: Draws) -> Tensor:
    """[N]: what grows behind the ears falls to the back; what grows in front of them to the chest, on both sides, one or none."""
    left, right = (draws.chance(0.6) for _ in range(2))
    border = draws.normal(1.0, 1.5) + 1.5 * (roots.chance - 0.5)
    chest = torch.where(roots.rest[:, 0] > 0, float(left), float(right)) * (roots.rest[:, 2] > border)
    return 2 * chest - 1


def _tightness(roots: Roots, style: Style, draws: Draws) -> Tensor:
    strength = draws.uniform(*style.clump)
    return strength * (1 - 0.8 * (roots.chance > 0.95).float())  # one strand in twenty belongs to no lock


def _swung(strands: Tensor, roots: Roots, lock: Tensor, style: Style, draws: Draws) -> Tensor:
    """Strands with their waves: neighbours in a lock swing together, locks nearly so."""
    amplitude, wavelength = draws.uniform(*style.wave), draws.uniform(*style.wavelength)
    if amplitude < 0.02:
        return strands
    own = torch.from_numpy(draws.generator.uniform(-1, 1, len(lock))).float()
    phase = (
        Drift(draws, 4.0, 1)(roots.rest[lock])[:, 0] * (1.6 + 2.0 * style.coil) + 0.3 * own + 0.8 * own[lock]
    )
    phase = phase + 6.0 * max(0.0, style.coil - 0.5) * own[lock]
    sizes = amplitude * (1 + 0.25 * own[lock])
    return waved(
        strands, roots.normal[:, None], phase, sizes, wavelength * (1 + 0.12 * own[lock]), style.coil
    )


def _level(roots: Roots, lock: Tensor, style: Style, draws: Draws) -> Tensor:
    """[N] height of the cut: level or sloping, with ragged locks."""
    assert style.level is not None
    height = draws.uniform(*style.level)
    slope = draws.normal(0.0, 0.08)
    own = torch.from_numpy(draws.generator.uniform(-1, 1, len(lock))).float()
    ragged = 0.35 + 0.06 * (6.0 - height)
    level = height + slope * roots.rest[:, 2] + ragged * (0.5 * own + 0.5 * own[lock])
    brows = draws.normal(6.3, 0.5) + 0.35 * own + 0.3 * own[lock] + 0.02 * roots.rest[:, 0].square()
    return torch.where(_fringe(roots) > 0.5, brows, level) if style.comb == "fringe" else level
