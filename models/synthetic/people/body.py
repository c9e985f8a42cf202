"""The bare head of a person, in the canonical frame."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from .eyes import turned_eyes
from .nature import Nature, nature
from .parts import Body
from .scans import LEFT_EYE, RIGHT_EYE, SKIN, Scans, load_scans
from .shape import NECK_PIVOT, expression, gaze, identity, posture, rotation, smoothstep, turned_neck
from .streams import Draws

PUPILS = 0.09  # scene units between the pupils
PUPIL_Z = 0.0985  # scene units: the corneas' front, as of factory 2
CORNEA = 1.21  # cm from an eyeball's centre to its front
HAIRLINE = (  # degrees away from the front: height in centimetres above which hair grows
    (0, 30, 50, 62, 75, 86, 100, 112, 125, 150, 180),
    (10.6, 10.2, 8.6, 6.2, 3.2, 1.0, 6.4, 4.5, 0.0, -3.5, -4.5),
)


def draw_body(seed: int, scans: Path | None = None) -> Body:
    """The head of a seed. Args: scans: where the model lies, as of `scans.scans_file`.

    Raises:
        ValueError: a negative seed, or no scans.
    """
    return make_body(load_scans(scans), nature(seed), seed)


def make_body(scans: Scans, who: Nature, seed: int) -> Body:
    """The head of a person.

    Args:
        scans: the model. who: age, sex, build, tone. seed: of shape, expression and posture.

    Returns:
        vertices [N, 3] in the canonical frame: the pupils' axes `PUPILS` apart, level, at height 0; the face along +z.
    """
    rest = scans.vertices
    vertices = identity(scans, who, Draws(seed, "shape"))
    looking = gaze(Draws(seed, "gaze"))
    strengths = expression(scans, looking, Draws(seed, "expression"))
    moving = strengths.nonzero()[:, 0]
    vertices = vertices + torch.einsum("e,evc->vc", strengths[moving], scans.expressions[moving])
    angles = posture(Draws(seed, "posture"))
    vertices = turned_neck(vertices, rest, angles)
    vertices, scale, shift = canonical(vertices)
    pupils = torch.stack([vertices[LEFT_EYE].mean(0), vertices[RIGHT_EYE].mean(0)])
    vertices = turned_eyes(vertices, (LEFT_EYE, RIGHT_EYE), looking)
    return Body(
        vertices=vertices,
        rest=rest,
        faces=scans.solid_faces(),
        normals=welded_normals(vertices, scans.solid_faces(), scans.weld),
        scale=scale,
        pupils=pupils,
        landmarks=vertices[scans.landmarks],
        scalp=scalp(rest),
        gaze=looking,
        posture=_torso_pose(angles, scale, shift),
        male=who.male,
        tone=who.tone,
        age=who.age,
        child=who.child,
        weight=who.weight,
        origin=who.origin,
    )


def canonical(vertices: Tensor) -> tuple[Tensor, float, Tensor]:
    """From centimetres to the canonical frame, by a similarity without rotation.

    Args:
        vertices: [N, 3] of the whole model.

    Returns:
        vertices [N, 3], scene units a centimetre, and the shift [3]: canonical = scale * centimetres + shift.
    """
    left, right = vertices[LEFT_EYE].mean(0), vertices[RIGHT_EYE].mean(0)
    scale = PUPILS / float((left - right).norm())
    shift = vertices.new_tensor([0.0, 0.0, PUPIL_Z - CORNEA * scale]) - scale * (left + right) / 2
    return vertices * scale + shift, scale, shift


def welded_normals(vertices: Tensor, faces: Tensor, weld: Tensor) -> Tensor:
    """[N, 3] unit normals, each face by its area; vertices at one place share theirs.

    Args:
        vertices: [N, 3]. faces: [F, 3]. weld: [N] as of `Scans`.
    """
    corners = vertices[faces]
    across = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = torch.zeros_like(vertices)
    for corner in weld[faces].unbind(1):
        total.index_add_(0, corner, across)
    return torch.nn.functional.normalize(total, dim=-1)[weld]


def ears(rest: Tensor) -> Tensor:
    """[N] bool: what belongs to an ear, and the skin around it; rest [N, 3]."""
    x, y, z = rest.unbind(-1)
    return (x.abs() > 6.75) & (y > -4) & (y < 6.6) & (z > -5) & (z < 5.5)


def ear_share(rest: Tensor) -> Tensor:
    """[P] in [0, 1]: what stands off the side of the head; rest coordinates [P, 3]."""
    x, y, z = rest.unbind(-1)
    outside = (
        x.abs() - 7.0 - 0.15 * (z - 0.6) - 0.2 * (y - 1.5).clamp_min(0)
    )  # the skull widens above the ear
    near = 1 - ((y - 1.5) / 5.4).square() - ((z - 0.6) / 5.0).square()
    return smoothstep(outside, 0.1, 0.5) * smoothstep(near, 0.0, 0.25)


def scalp(rest: Tensor) -> Tensor:
    """[N] in [0, 1]: where hair may grow, soft along the hairline.

    Args:
        rest: [N, 3] of the whole model.
    """
    grown = torch.zeros(len(rest))
    grown[:SKIN] = above_hairline(rest[:SKIN]) * (1 - ear_share(rest[:SKIN]))
    return grown


def above_hairline(skin: Tensor) -> Tensor:
    """[P] in [0, 1]: `scalp` at any points of the skin, ears not left out; rest coordinates [P, 3]."""
    away = torch.atan2(skin[:, 0], skin[:, 2] - 1.0).abs() * (180 / math.pi)
    angles, heights = (torch.tensor(values, dtype=torch.float32) for values in HAIRLINE)
    after = torch.searchsorted(angles, away.contiguous()).clamp(1, len(angles) - 1)
    share = (away - angles[after - 1]) / (angles[after] - angles[after - 1])
    line = torch.lerp(heights[after - 1], heights[after], share)
    return smoothstep(skin[:, 1] - line, -0.5, 0.5)


def _torso_pose(angles: Tensor, scale: float, shift: Tensor) -> Tensor:
    """[4, 4]: what the turn of the neck makes of an upright torso, in the canonical frame."""
    pivot = scale * torch.tensor(NECK_PIVOT) + shift
    pose = torch.eye(4)
    pose[:3, :3] = rotation(angles)
    pose[:3, 3] = pivot - pose[:3, :3] @ pivot
    return pose
