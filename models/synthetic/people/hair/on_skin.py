"""Short strands on the skin itself, which follow the face's expression."""

from __future__ import annotations

import torch
from torch import Tensor

from ..parts import Hair
from ..streams import Draws
from .roots import Roots
from .vectors import unit


def lying(
    roots: Roots, away: Tensor, length: Tensor, stand: float, points: int, droop: float = 0.0
) -> Tensor:
    """Strands [N, K, 3] in scene units that leave the skin flat.

    Args:
        away: [N, 3] where to, any length. length: [N] scene units. stand: sine of the angle with the skin. droop: how far they bend down.
    """
    flat = unit(away - (away * roots.up).sum(1, keepdim=True) * roots.up)
    way = unit(flat + stand * roots.up)
    along = torch.linspace(0, 1, points)[None, :, None]
    bent = way[:, None] * along - droop * along.square() * (roots.up - 0.2 * flat)[:, None] * stand
    raised = roots.place + roots.up * 0.0004
    return raised[:, None] + length[:, None, None] * bent


def on_skin(
    strands: Tensor, roots: Roots, shade: Tensor, spread: float, width: float, draws: Draws, name: str
) -> Hair:
    """Hair that is lit as the skin below it; shade [3] or [N, 3] linear, spread: deviation of brightness."""
    own = torch.from_numpy(draws.generator.standard_normal(len(roots))).float()
    colour = (shade * (spread * own).clamp(-0.7, 0.7).exp()[:, None]).clamp_max(0.95)
    return Hair(
        strands=strands,
        normals=roots.up[:, None].expand_as(strands),
        width=torch.full((len(roots),), width),
        colour=colour,
        depth=torch.linspace(0.5, 1, strands.shape[1]).expand(len(roots), -1),
        tip=0.2,
        gloss=0.45,
        name=name,
    )


def kept(roots: Roots, cover) -> Roots:
    """Roots by chance of what covers them."""
    return roots[roots.other < cover(roots.rest)]
