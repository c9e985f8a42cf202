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

FRINGED = ("fringe", "mop")


def loose(skull: Skull, body: Body, roots: Roots, style: Style, draws: Draws) -> tuple[Tensor, Tensor]:
    """Strands [N, K, 3] in rest coordinates, and the leader [N] of each one's lock.

    Args:
        roots: N, over the scalp. style: its ranges.
    """
    side = 1.0 if draws.chance(0.5) else -1.0
    part = draws.uniform(*style.part) * (side if style.comb == "across" else 1.0)
    plan = _plan(body, roots, style, draws, part, -side)
    strands = grow(skull, roots, plan, style.points)
    apart = torch.stack(
        [
            torch.where(roots.rest[:, 0] < part, 0.0, 9.0) * (style.comb in ("part", "fringe")),
            9.0 * (plan.oval < 1),
        ],
        1,
    )
    lock = nearest_lock(
        roots, style.locks, torch.cat([apart, 4.0 * plan.fall[:, None] * (style.level is not None)], 1)
    )
    strands = gather(strands, lock, _tightness(roots, style, draws))
    strands = _swung(skull, strands, roots, lock, style, draws)
    strands = rumpled(strands, style.frizz * (0.3 + 2.2 * roots.other**5), draws)
    strands = off_the_face(push_out(skull, strands), plan.oval[:, None])
    strands = cut_below(strands, _level(roots, lock, style, draws))
    return cut_below(strands, torch.full((len(roots),), LOWEST)), lock


def _plan(body: Body, roots: Roots, style: Style, draws: Draws, part: float, side: float) -> Growth:
    """How strands grow."""
    top = smoothstep(roots.rest[:, 1], 5.5, 10.5)
    drawn = draws.uniform(*style.sides), draws.uniform(*style.top)
    length = torch.lerp(torch.tensor(drawn[0]), torch.tensor(drawn[1]), top) * (0.82 + 0.26 * roots.chance)
    length = length * (1.0 if style.level else 0.35 + 0.65 * smoothstep(roots.density, 0.3, 1.0))
    inner, outer = style.layers
    beside = smoothstep((roots.rest[:, 0] - part).abs(), 0.0, 5.5)
    volume = draws.uniform(0.75, 1.2)
    layer = inner + (outer * volume - inner) * roots.other**1.3 * (0.45 + 0.55 * top)
    parted = style.comb in ("part", "fringe", "across")
    if parted:  # hair lies flat beside its parting
        layer = layer * (0.4 + 0.6 * beside)
    front = _fringe(roots) if style.comb in FRINGED else torch.zeros(len(roots))
    near = smoothstep(roots.rest[:, 2], -1.0, 5.0) * smoothstep(7.0 - roots.rest[:, 0].abs(), 0.0, 3.0)
    near = near * (
        style.comb in FRINGED
    )  # a fringe lies on the forehead, what grows behind it rises from there
    return Growth(
        length=length,
        layer=layer.minimum(0.9 + 4.0 * (1 - near)),
        lift=style.lift
        * (0.6 + 0.8 * roots.other)
        * (0.5 + 0.5 * top)
        * (0.4 + 0.6 * beside if parted else 1.0),
        comb=comb(style.comb, roots, draws, part, side),
        reach=style.reach,
        gravity=style.gravity,
        inertia=style.inertia,
        hug=style.hug + (0.6 - style.hug) * near,
        oval=1 - 0.55 * front,
        fall=_fall(roots, draws),
    )


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


def _swung(skull: Skull, strands: Tensor, roots: Roots, lock: Tensor, style: Style, draws: Draws) -> Tensor:
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
    return waved(strands, skull(strands)[1], phase, sizes, wavelength * (1 + 0.12 * own[lock]), style.coil)


def _level(roots: Roots, lock: Tensor, style: Style, draws: Draws) -> Tensor:
    """[N] height of the cut: level or sloping, with ragged locks; a fringe's above the eyes."""
    own = torch.from_numpy(draws.generator.uniform(-1, 1, len(lock))).float()
    low, high = style.level or (LOWEST, LOWEST)
    height, slope = draws.uniform(low, high), draws.normal(0.0, 0.08)
    ragged = 0.35 + 0.06 * (6.0 - height)
    level = height + slope * roots.rest[:, 2] + ragged * (0.5 * own + 0.5 * own[lock])
    if style.comb not in FRINGED:
        return level
    loose_ends = 1.0 + 2.0 * (style.coil > 0.5)
    brows = draws.normal(6.3, 0.5) + 0.7 * (style.coil > 0.5) + loose_ends * (0.3 * own + 0.3 * own[lock])
    return torch.where(_fringe(roots) > 0.5, brows + 0.02 * roots.rest[:, 0].square(), level)
