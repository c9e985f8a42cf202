"""Hair in ropes: locs, braids and cornrows, each a bundle of strands around a guide."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..parts import Body
from ..shape import smoothstep
from ..streams import Draws
from .combs import comb
from .growth import LOWEST, Growth, cut_below, grow
from .locks import arc, frames
from .roots import scatter
from .skull import Skull
from .vectors import unit

FRONT, BACK = (0.0, 8.2, 9.6), (0.0, -3.6, -8.0)  # cm: where all cornrows would meet
ROWS_POINTS = 72
STICKS_OUT = 10.8  # cm: a rope that reaches farther to the front hangs before the forehead and is left out
PERIOD = 2.3  # cm: from one crossing of a braid's strand to the next but two


def locs(skull: Skull, body: Body, density: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
    """Strands [N, K, 3] of about a hundred ropes in rest coordinates, and the rope [N] of each."""
    guides = _guides(skull, body, density, 140, 22, (9.0, 30.0), draws)
    thick = draws.uniform(0.36, 0.52)
    own = torch.from_numpy(draws.generator.uniform(0.8, 1.2, len(guides))).float()
    knots = 1 + 0.1 * torch.from_numpy(draws.generator.standard_normal(guides.shape[:2])).float()
    taper = 1 - 0.35 * torch.linspace(0, 1, guides.shape[1]) ** 2
    radius = thick * own[:, None] * knots * taper
    return _bundle(guides, radius, 22, 0.5, draws)


def braids(skull: Skull, body: Body, density: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
    """Strands of box braids, as of `locs`."""
    guides = _refined(_guides(skull, body, density, 165, 20, (18.0, 46.0), draws), 60)
    return _plaited(guides, torch.full(guides.shape[:2], draws.uniform(0.28, 0.4)), 4, draws)


def cornrows(skull: Skull, body: Body, cover, draws: Draws) -> tuple[Tensor, Tensor]:
    """Strands of plaits that lie on the scalp from the hairline to the nape, as of `locs`.

    Args:
        cover: rest coordinates [P, 3] -> where hair grows [P].
    """
    count = int(draws.uniform(8, 13.99))
    sides = torch.linspace(-1.12, 1.12, count) + 0.12 * draws.normal()
    front, back = torch.tensor(FRONT), torch.tensor(BACK)
    axis, middle = unit(front - back), (front + back) / 2
    up = unit(torch.tensor([0.0, 1.0, 0.0]) - axis[1] * axis)
    along = torch.linspace(0.12, math.pi - 0.12, 3 * ROWS_POINTS)[None, :, None]
    across = sides.cos()[:, None, None] * up + sides.sin()[:, None, None] * torch.tensor([1.0, 0.0, 0.0])
    at = middle + 11.0 * (along.cos() * axis + along.sin() * across)
    for _ in range(6):
        distance, gradient = skull(at)
        at = at - gradient * (distance - 0.22)[..., None]
    grown = cover(at.reshape(-1, 3)).view(at.shape[:2]) > 0.5
    rows = torch.stack([_stretch(row, kept) for row, kept in zip(at, grown, strict=True) if kept.sum() > 20])
    size = 7.6 * math.pi / 2.6 / count  # rows leave a line of scalp between them
    width = (
        (size * 0.62 * torch.sin(torch.linspace(0.5, 2.7, ROWS_POINTS))).clamp_max(0.75).expand(len(rows), -1)
    )
    return _plaited(rows, width, 9, draws, skull)


def _guides(
    skull: Skull,
    body: Body,
    density: Tensor,
    count: int,
    points: int,
    lengths: tuple[float, float],
    draws: Draws,
) -> Tensor:
    """One strand [G, K, 3] for each rope."""
    roots = scatter(body, skull, density, count, draws)
    length = draws.uniform(*lengths)
    top = smoothstep(roots.rest[:, 1], 3.0, 10.5)
    part = draws.normal(0.0, 1.5)
    fall = torch.where(roots.rest[:, 2] > draws.normal(1.5, 1.5), 1.0, -1.0)
    plan = Growth(
        length=length * (0.75 + 0.35 * top) * (0.85 + 0.2 * roots.chance),
        layer=0.4 + 1.6 * roots.other * (0.4 + 0.6 * top),
        lift=0.18 * (0.5 + roots.other) * (0.4 + 0.6 * top),
        comb=comb("part", roots, draws, part),
        gravity=0.6,
        reach=9.0,
        oval=torch.ones(len(roots)),
        fall=fall,
    )
    guides = cut_below(grow(skull, roots, plan, points), torch.full((len(roots),), LOWEST))
    return guides[guides[..., 2].amax(1) < STICKS_OUT]


def _refined(guides: Tensor, points: int) -> Tensor:
    """Guides [G, K, 3] with more points, smooth between the old ones (Catmull-Rom)."""
    at = torch.linspace(0, guides.shape[1] - 1, points)
    low = at.long().clamp_max(guides.shape[1] - 2)
    t = (at - low)[:, None]
    before, after = guides[:, (low - 1).clamp_min(0)], guides[:, (low + 2).clamp_max(guides.shape[1] - 1)]
    start, end = guides[:, low], guides[:, low + 1]
    bend = 2 * before - 5 * start + 4 * end - after
    return start + 0.5 * t * (end - before + t * (bend + t * (3 * (start - end) + after - before)))


def _stretch(row: Tensor, kept: Tensor) -> Tensor:
    """[ROWS_POINTS, 3]: the longest part of a row [K, 3] whose points are kept [K], evenly divided again."""
    change = torch.nn.functional.pad(kept.int(), (1, 1)).diff()
    starts, ends = (change == 1).nonzero()[:, 0], (change == -1).nonzero()[:, 0]
    longest = int((ends - starts).argmax())
    part = row[starts[longest] : ends[longest]]
    at = torch.linspace(0, len(part) - 1, ROWS_POINTS)
    low = at.long().clamp_max(len(part) - 2)
    return torch.lerp(part[low], part[low + 1], (at - low)[:, None])


def _bundle(
    guides: Tensor, radius: Tensor, strands: int, turns: float, draws: Draws
) -> tuple[Tensor, Tensor]:
    """Strands wound around guides.

    Args:
        guides: [G, K, 3]. radius: [G, K] cm. strands: of each. turns: radians a centimetre.

    Returns:
        strands [G strands, K, 3] and the guide [G strands] of each.
    """
    count, points, _ = guides.shape
    aside, out = frames(guides, guides.new_tensor([0.0, 0.3, 1.0]).expand(count, 1, 3))
    start = torch.from_numpy(draws.generator.uniform(0, 2 * math.pi, (count, strands, 1))).float()
    size = torch.from_numpy(draws.generator.uniform(0.8, 1.05, (count, strands, 1))).float() * radius[:, None]
    angle = start + turns * arc(guides)[:, None]
    offset = angle.cos()[..., None] * aside[:, None] + angle.sin()[..., None] * out[:, None]
    bundle = guides[:, None] + size[..., None] * offset
    return bundle.reshape(-1, points, 3), torch.arange(count).repeat_interleave(strands)


def _plaited(
    guides: Tensor, radius: Tensor, strands: int, draws: Draws, skull: Skull | None = None
) -> tuple[Tensor, Tensor]:
    """Three bundles that cross each other along every guide, as of `_bundle`; a skull: plaits lie flat on it."""
    count, points, _ = guides.shape
    outward = guides.new_tensor([0.0, 0.3, 1.0]).expand(count, 1, 3) if skull is None else skull(guides)[1]
    aside, out = frames(guides, outward)
    angle = 2 * math.pi * arc(guides) / PERIOD
    bundles, owners = [], []
    for third in range(3):
        phase = angle + third * 2 * math.pi / 3
        swing = (
            0.62
            * radius[..., None]
            * (phase.sin()[..., None] * aside + 0.55 * (2 * phase).sin()[..., None] * out)
        )
        bundle, owner = _bundle(guides + swing, 0.46 * radius, strands, 1.2, draws)
        bundles.append(bundle)
        owners.append(owner)
    return torch.cat(bundles), torch.cat(owners)
