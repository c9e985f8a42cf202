"""Heads spoilt on purpose, for `bench restoration`: hollow, dented, or with the front's face on the back.

Planes are fitted to a changed copy of their own field at random points, so that a spoilt head is one that a generator could have made.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..field.triplane import TriplaneField
from ..head import Head
from ..prior.inversion import adam_step

KINDS = ("hollow", "dented", "doubled")
STEPS, POINTS, RATE = 160, 12_000, 0.03
HOLLOW = ((0.0, 0.03, -0.11), 0.10)  # centre and radius of what is carved out of the back of the head, scene units
DENTS = (((0.11, 0.05, -0.04), 0.05), ((-0.10, 0.0, -0.07), 0.05), ((0.03, 0.14, -0.09), 0.05))
SKIN = 0.02  # scene units over which opacity is compared


def carved(points: Tensor, balls: tuple) -> Tensor:
    """bool [...]: points [..., 3] inside one of the balls."""
    inside = torch.zeros(points.shape[:-1], dtype=torch.bool, device=points.device)
    for centre, radius in balls:
        inside |= (points - points.new_tensor(centre)).norm(dim=-1) < radius
    return inside


def wanted(field: TriplaneField, points: Tensor, kind: str) -> tuple[Tensor, Tensor]:
    """Density [1, N] and colour [1, N, 3] of the spoilt head at points [1, N, 3]."""
    if kind == "doubled":
        mirrored = torch.cat([points[..., :2], points[..., 2:].abs()], -1)  # behind, what is in front
        return field(mirrored)
    density, colour = field(points)
    return torch.where(carved(points, (HOLLOW,) if kind == "hollow" else DENTS), 0.0, density), colour


def spoil(head: Head, kind: str, *, generator: torch.Generator, steps: int = STEPS) -> Head:
    """A head with such a fault; its front is as it was.

    Raises:
        ValueError: another kind.
    """
    if kind not in KINDS:
        raise ValueError(f"spoil: expected a kind among {', '.join(KINDS)}, got {kind!r}; choose one of them")
    field = head.field()
    offset = torch.zeros_like(head.planes).requires_grad_()
    moments = torch.zeros_like(offset), torch.zeros_like(offset)
    for step in range(steps):
        points = (torch.rand(1, POINTS, 3, generator=generator).to(offset) - 0.5) * field.config.box_side
        with torch.no_grad():
            density, colour = wanted(field, points, kind)
        ours, painted = replace(field, planes=head.planes + offset)(points)
        alpha, target = (1 - torch.exp(-SKIN * x) for x in (ours, density))
        loss = (alpha - target).abs().mean() + 0.5 * ((painted - colour).abs().mean(-1) * target).mean()
        (gradient,) = torch.autograd.grad(loss, [offset])
        with torch.no_grad():
            adam_step(offset, gradient, *moments, RATE * min(1, (1 - step / steps) / 0.3), step + 1)
    return replace(head, planes=(head.planes + offset).detach())
