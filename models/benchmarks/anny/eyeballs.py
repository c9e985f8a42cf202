"""Eyeballs at the places and of the sizes of anny's, which are too coarse to be looked at: spheres with a cornea."""

from __future__ import annotations

import torch
from torch import Tensor

from ...synthetic.people.eyes import AXIS, CENTRE, Eyes, coat_normals, gaze_rotation, lid_shade
from ...synthetic.people.parts import Surface
from ...synthetic.people.shape import smoothstep
from .frames import SCALE
from .subdivision import sphere

BULGE = 0.055  # of the radius: how far the cornea stands out
BALL = 1.62  # cm: the scans' eyeball, whose coordinates its paint takes
BEHIND = 0.42  # cm: from their centre back to the ball's middle
RECESS = 0.011  # scene units from an eyeball out to its lids' outside


def eyeballs(
    centres: tuple[Tensor, Tensor], radius: float, gaze: tuple[float, float], paint: Eyes, lids: Tensor
) -> tuple[Surface, float]:
    """Both eyes.

    Args:
        centres: [3] of the left (+x) and the right one, head centimetres. radius: of both. gaze: radians aside and up.
        paint: of factory 3's eyes. lids: [K, 3] points of the skin around them.

    Returns:
        The surface, still in head centimetres, and centimetres from a centre to the cornea's front.
    """
    unit, faces = sphere(40, 56)
    vertices, rest = [], []
    for centre, side in zip(centres, (1.0, -1.0), strict=True):
        vertices.append(centre + radius * _with_cornea(unit) @ gaze_rotation(0.0, gaze).T)
        rest.append(_rest(unit, side))
    placed, told = torch.cat(vertices), torch.cat(rest)
    return (
        Surface(
            vertices=placed,
            faces=torch.cat([faces, faces + len(unit)]),
            rest=told,
            paint=paint,
            name="eyes",
            two_sided=False,
            coat=coat_normals(told, gaze),
            cavity=_shade(placed, lids, centres[0][2]),
            recess=RECESS,
        ),
        radius * (1 + BULGE),
    )


def _with_cornea(unit: Tensor) -> Tensor:
    """[V, 3] a unit sphere about +z that bulges where the iris is."""
    aside = unit[:, :2].norm(dim=1)
    front = smoothstep(0.42 - aside, 0.0, 0.3) * (unit[:, 2] > 0)
    return unit * (1 + BULGE * front)[:, None]


def _rest(unit: Tensor, side: float) -> Tensor:
    """[V, 3] the scans' coordinates of an eyeball whose axis is +z."""
    resting = gaze_rotation(side, (0.0, 0.0))  # from the scans' resting eye to one that looks along +z
    centre = unit.new_tensor([side * CENTRE[0], CENTRE[1], CENTRE[2]])
    axis = unit.new_tensor([side * AXIS[0], AXIS[1], AXIS[2]])
    return centre - BEHIND * axis + BALL * unit @ resting


def _shade(eyes: Tensor, lids: Tensor, front: Tensor) -> Tensor:
    """[V] light that lids let through to eyeballs [V, 3]; lids [K, 3], all head centimetres."""
    together = torch.cat([eyes, lids])
    seen = (eyes[:, 2] > front).nonzero()[:, 0]
    skin = torch.arange(len(eyes), len(together))
    return lid_shade(together * SCALE, seen, skin, SCALE)[: len(eyes)]
