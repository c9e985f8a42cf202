"""What networks read off pictures of a face: expression, pose and shape, as RodinHD's table 7 reads them by a face reconstruction.

No network here reconstructs a face's coefficients, so landmarks and angles stand for them:

- AED: mean distance of the points of brows, eyes and lips between a row's picture and the exact view, as the alignment network reads both,
  once the 68 points of one lie as well as can be on the other's; ASD: likewise of jaw and nose; both in hundredths of the pupils' distance.
- APD: mean difference of yaw and of pitch, as the encoder reads them, degrees.
- "off the exact" are the same of a row's reading and what the factory drew: points of the scan, the camera's angles, and, of the
  person's code, the numbers that the encoder can tell (measures of skull and ears, sex, age, weight). The row of exact views has what the
  readings themselves are wrong by. Of the code's modes of scans and its expression the encoder tells next to nothing (correlations of 0.13
  and 0 over ten people), so they are left out. Factory 2 has pose only.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...camera import FOCAL, RADIUS, project
from ...checkpoint import read, shipped
from ...metrics.identity import CROP_SIDE, CROP_TOP, head_crop
from ...photo.network import POINTS, AlignmentNetwork, alignment_network_from
from ...prior.encoder import PortraitEncoder, shipped_encoder
from ...synthetic.people.codes import AMOUNTS, LEADING
from .people import FRONTS, Subject, exact_poses, yaws

JAW, BROWS, NOSE, EYES, LIPS = range(17), range(17, 27), range(27, 36), range(36, 48), range(48, 68)
MOVED, SHAPED = [*BROWS, *EYES, *LIPS], [*JAW, *NOSE]  # by expressions; by who it is
PUPILS = 0.09 * FOCAL / RADIUS  # picture widths
MEASURES = slice(LEADING, LEADING + 12 + 4)  # of a code: measures, and what nature a person has
UNITS = {
    "AED": "% of the pupils' distance",
    "APD": "degrees",
    "ASD": "% of the pupils' distance",
    "expression off the exact": "% of the pupils' distance",
    "pose off the exact": "degrees",
    "shape off the exact": "% of the pupils' distance",
    "code off the exact": "",
}


@dataclass(frozen=True)
class Reading:
    """Of F pictures. Attributes: points: [F, 68, 2] picture widths. pose: [F, 2] degrees of yaw and pitch. amounts: [F, A] of a code."""

    points: Tensor
    pose: Tensor
    amounts: Tensor


class Readers:
    """The networks that read."""

    def __init__(self, aligner: AlignmentNetwork, encoder: PortraitEncoder) -> None:
        self.aligner, self.encoder = aligner, encoder

    @torch.no_grad()
    def read(self, rgb: Tensor) -> Reading:
        """Of canonical frames [F, 3, S, S] near the front, in [0, 1] on white."""
        places = self.aligner(head_crop(rgb)).points()[0]
        corner = places.new_tensor([(1 - CROP_SIDE) / 2, CROP_TOP])
        amounts, pose = self.encoder.amounts(rgb)
        return Reading(places * CROP_SIDE + corner, pose.rad2deg(), amounts)


def shipped_readers() -> Readers:
    """Those that come with the pack, on the CPU."""
    return Readers(alignment_network_from(*read(shipped("alignment"), "alignment")), shipped_encoder())


def distances(points: Tensor, truth: Tensor) -> Tensor:
    """How far points [F, L, 2] lie from others [F, L, 2] once moved, turned and scaled onto them, [F, L] in % of the pupils' distance."""
    ours, theirs = (torch.view_as_complex(x.double().contiguous()) for x in (points, truth))
    ours, theirs = (x - x.mean(-1, keepdim=True) for x in (ours, theirs))
    turn = (ours.conj() * theirs).sum(-1, keepdim=True) / ours.abs().square().sum(-1, keepdim=True)
    return (turn * ours - theirs).abs() * (100 / PUPILS)


def reading_figures(rgb: Tensor, truth: Tensor, subject: Subject, readers: Readers) -> dict[str, float]:
    """By `UNITS`, of views [V, 3, S, S] at `people.ANGLES` and the exact ones; those near the front are read."""
    index = yaws(FRONTS)
    ours, theirs = (readers.read(x[index]) for x in (rgb, truth))
    figures = {
        "APD": (ours.pose - theirs.pose).abs().mean().item(),
        "pose off the exact": (ours.pose - exact_poses(index)).abs().mean().item(),
    }
    if ours.points.shape[1] == POINTS["68"]:
        figures |= _named(distances(ours.points, theirs.points), "AED", "ASD")
        points = exact_points(subject, index)
        if points is not None:
            off = distances(ours.points, points)
            figures |= _named(off, "expression off the exact", "shape off the exact")
    code = subject.code
    if code is not None and len(code) - 1 == ours.amounts.shape[1] == AMOUNTS:
        away = (ours.amounts - code[:-1]).abs()[:, MEASURES]
        figures["code off the exact"] = away.mean().item()
    return figures


def _named(away: Tensor, expression: str, shape: str) -> dict[str, float]:
    """Means of distances [F, 68] of points that expressions move, and of the others."""
    return {expression: away[:, MOVED].mean().item(), shape: away[:, SHAPED].mean().item()}


def exact_points(subject: Subject, index: list[int]) -> Tensor | None:
    """The 68 points in some views, [F, 68, 2] picture widths; None of a factory that tells none."""
    points = subject.points
    if points is None:
        return None
    return torch.stack([project(subject.cameras[i], points)[0] for i in index])
