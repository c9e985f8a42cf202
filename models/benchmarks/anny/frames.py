"""The frames that a body passes through: anny's, head centimetres, the canonical head, and the coordinates that paint lives in.

Head centimetres: +y up, the face along +z, the middle between the eyeballs' centres at `EYES`, the centres `APART` centimetres apart,
whoever it is: where the scan model of factory 3 has them. So what factory 3 paints by its mean head's coordinates fits after a small bend.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...synthetic.people.body import PUPIL_Z, PUPILS
from ...synthetic.people.eyes import CENTRE

EYES = (0.0, CENTRE[1], CENTRE[2])
APART = 2 * CENTRE[0]
SCALE = PUPILS / APART  # scene units a head centimetre
LIPS = (  # of anny's average grown-up, subject's left, and where the scans' mean has the same; head centimetres
    ((0.0, -2.77, 12.28), (0.0, -2.52, 11.84)),
    ((0.57, -2.68, 12.20), (0.6, -2.38, 11.76)),
    ((1.15, -2.78, 11.94), (1.2, -2.66, 11.45)),
    ((1.78, -3.07, 11.52), (1.85, -2.96, 11.0)),
    ((2.32, -3.46, 10.99), (2.42, -3.32, 10.4)),
    ((2.47, -3.84, 10.61), (2.62, -3.53, 10.1)),
    ((0.0, -3.69, 11.60), (0.0, -3.40, 11.27)),
    ((1.10, -3.68, 11.40), (1.1, -3.42, 11.0)),
    ((1.75, -3.72, 11.0), (1.85, -3.47, 10.5)),
    ((2.25, -4.37, 10.82), (2.4, -3.86, 10.3)),
    ((1.87, -4.66, 11.06), (1.95, -4.14, 10.7)),
    ((1.36, -4.89, 11.34), (1.4, -4.33, 11.1)),
    ((0.66, -5.03, 11.59), (0.66, -4.45, 11.5)),
    ((0.0, -5.08, 11.68), (0.0, -4.5, 11.55)),
)
FACE = (
    ((4.64, 3.48, 9.45), (4.46, 3.43, 8.6)),
    ((1.94, 3.29, 9.89), (1.84, 3.25, 9.2)),
    ((3.3, 3.92, 10.05), (3.33, 3.93, 9.5)),
    ((3.3, 3.05, 10.0), (3.3, 3.06, 9.4)),
    ((1.12, 5.25, 11.3), (1.17, 5.3, 10.6)),
    ((2.4, 5.55, 11.1), (2.4, 5.95, 10.4)),
    ((3.57, 5.65, 10.85), (3.57, 6.28, 9.9)),
    ((5.18, 5.2, 9.75), (5.12, 6.0, 8.8)),
    ((6.1, 4.5, 8.6), (6.0, 5.35, 7.7)),
    ((0.0, 3.93, 11.02), (0.0, 3.74, 10.73)),
    ((0.0, 1.19, 12.09), (0.0, 1.4, 12.4)),
    ((0.0, -0.13, 12.94), (0.0, 0.41, 13.07)),
    ((0.0, -1.47, 11.94), (0.0, -1.2, 11.57)),
    ((1.27, -1.04, 11.37), (1.25, -1.1, 10.87)),
    ((1.91, -0.56, 10.92), (1.81, -0.45, 10.5)),
    ((4.74, -0.89, 9.54), (4.69, -0.92, 9.19)),
    ((0.0, -5.73, 11.0), (0.0, -5.3, 11.0)),
    ((0.0, -7.98, 10.15), (0.0, -7.6, 10.3)),
    ((2.92, -7.59, 7.5), (2.95, -7.1, 7.6)),
    ((6.54, -1.78, 5.2), (6.53, -1.9, 5.6)),
    ((0.0, 9.19, 10.63), (0.0, 9.05, 9.85)),
    ((4.67, 7.14, 9.66), (4.9, 6.95, 8.5)),
    ((9.2, 3.6, -0.6), (9.1, 5.8, -0.8)),
    ((7.9, -1.45, 1.3), (7.9, -1.64, 1.0)),
    ((0.0, 15.44, 1.13), (0.0, 14.5, 0.0)),
    ((0.0, 7.53, -9.93), (0.0, 7.5, -8.9)),
    ((7.6, 8.76, -0.38), (7.69, 8.44, -0.31)),
    ((0.0, 0.17, -7.88), (0.0, 0.43, -7.41)),
    ((0.0, -10.0, 4.32), (0.0, -9.6, 5.0)),
    ((5.5, -5.6, -0.19), (5.78, -5.7, 0.23)),
    ((0.0, -24.0, 4.0), (0.0, -24.0, 4.0)),
    ((20.0, -24.0, 0.0), (20.0, -24.0, 0.0)),
    ((0.0, -24.0, -14.0), (0.0, -24.0, -14.0)),
)


def upright(vertices: Tensor) -> Tensor:
    """[..., 3] from anny's axes (metres, +z up, the face along -y) to ours (+y up, the face along +z)."""
    x, y, z = vertices.unbind(-1)
    return torch.stack([x, z, -y], -1)


def head_centimetres(vertices: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Vertices [N, 3], +y up and the face along +z in any unit, brought to head centimetres without rotation.

    Args:
        left, right: [3] centres of the subject's eyeballs in the same frame.

    Raises:
        ValueError: eyes at one place.
    """
    apart = float((left - right).norm())
    if not apart > 0:
        raise ValueError(
            "head_centimetres: expected two eyes apart, got both at one place; check the mesh's eyes"
        )
    return (vertices - (left + right) / 2) * (APART / apart) + vertices.new_tensor(EYES)


def canonical(points: Tensor, radius: float) -> Tensor:
    """From head centimetres to the canonical frame: pupils `PUPILS` apart at height 0, corneas' fronts at `PUPIL_Z`.

    Args:
        points: [..., 3]. radius: centimetres from an eyeball's centre to its front.
    """
    moved = points - points.new_tensor(EYES) - points.new_tensor([0.0, 0.0, radius])
    return SCALE * moved + points.new_tensor([0.0, 0.0, PUPIL_Z])


def to_rest(points: Tensor) -> Tensor:
    """From head centimetres of anny's average grown-up to the coordinates of factory 3's mean head, by a biharmonic spline.

    Args:
        points: [N, 3].
    """
    source, target = (torch.tensor(places, dtype=torch.float64) for places in zip(*LIPS, *FACE, strict=True))
    beside = source[:, 0] > 0
    mirror = source.new_tensor([-1.0, 1.0, 1.0])
    source = torch.cat([source, source[beside] * mirror])
    moves = torch.cat([target, target[beside] * mirror]) - source
    kernel = torch.cdist(source, source)
    affine = torch.cat([torch.ones(len(source), 1, dtype=source.dtype), source], 1)
    whole = torch.cat([torch.cat([kernel, affine], 1), torch.cat([affine.T, affine.new_zeros(4, 4)], 1)])
    weights = torch.linalg.solve(whole, torch.cat([moves, moves.new_zeros(4, 3)]))
    at = points.double()
    bend = torch.cdist(at, source) @ weights[: len(source)] + weights[len(source)] + at @ weights[-3:]
    return points + bend.to(points.dtype)


def centimetres(points: Tensor, radius: float) -> Tensor:
    """The inverse of `canonical`."""
    moved = (points - points.new_tensor([0.0, 0.0, PUPIL_Z])) / SCALE
    return moved + points.new_tensor(EYES) + points.new_tensor([0.0, 0.0, radius])
