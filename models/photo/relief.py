"""The surface of a face as the alignment network sees it: distance and normals at every pixel, and how far they are to be believed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..camera import Camera, project
from .network import AlignmentNetwork
from .pose import CANONICAL_LANDMARKS

PUPILS = CANONICAL_LANDMARKS[1][0] - CANONICAL_LANDMARKS[0][0]  # scene units between them
REACH = (
    0.15  # scene units around the middle of the landmarks: further out the network has not learnt surfaces
)
EDGE = 0.03  # scene units over which belief ends there
DOUBTFUL_TURN = math.radians(
    20
)  # between a picture's normals and its mirror image's: belief falls by exp(-1)
DOUBTFUL_DEPTH = 0.1  # pupils' distances, likewise


@dataclass(frozen=True)
class Relief:
    """Of one face in its crop.

    Attributes:
        distance: [1, S, S] scene units along the camera's rays, but for a constant. normal: [3, S, S] unit, camera axes.
        certainty: [1, S, S] in 0 .. 1; 0 where there is no face.
    """

    distance: Tensor
    normal: Tensor
    certainty: Tensor

    def to(self, *args) -> Relief:
        """As `Tensor.to`."""
        return Relief(self.distance.to(*args), self.normal.to(*args), self.certainty.to(*args))


@torch.no_grad()
def face_relief(image: Tensor, mask: Tensor, network: AlignmentNetwork, camera: Camera) -> Relief | None:
    """The relief of a face in an aligned crop; None of networks that tell no surface.

    A picture and its mirror image are looked at: where they disagree, neither is believed.

    Args:
        image: [3, S, S] sRGB in 0 .. 1. mask: [1, S, S] of the person. camera: canonical, unbatched.
    """
    if not network.config.surface:
        return None
    finding = network(torch.stack([image, image.flip(-1)]))
    if finding.depth is None or finding.normals is None:
        return None
    depth, mirrored_depth = finding.depth.float()
    normal, mirrored_normal = finding.normals.float()
    mirrored_depth = mirrored_depth.flip(-1)
    mirrored_normal = mirrored_normal.flip(-1) * normal.new_tensor([-1.0, 1.0, 1.0])[:, None, None]
    turn = (normal * mirrored_normal).sum(0, keepdim=True).clamp(-1, 1).acos()
    apart = (turn / DOUBTFUL_TURN).square() + ((depth - mirrored_depth) / DOUBTFUL_DEPTH).square()
    maps = torch.cat([(depth + mirrored_depth) / 2, normal + mirrored_normal, (-apart).exp()])
    size = image.shape[-2:]
    maps = F.interpolate(maps[None], size=size, mode="bilinear", align_corners=False)[0]
    certainty = maps[4:] * _on_face(camera, size[-1]).to(maps) * (mask > 0.95)
    return Relief(maps[:1] * PUPILS, F.normalize(maps[1:4], dim=0), certainty)


def _on_face(camera: Camera, size: int) -> Tensor:
    """[1, size, size]: 1 around the middle of where canonical landmarks are seen, 0 from `REACH` on."""
    landmarks = torch.tensor(CANONICAL_LANDMARKS).to(camera.cam2world)
    middle = project(camera, landmarks)[0].mean(0)
    scale = float(camera.intrinsics[0, 0] / (camera.position - landmarks.mean(0)).norm())  # widths a unit
    centres = (torch.arange(size).to(middle) + 0.5) / size
    away = torch.hypot(centres[None] - middle[0], centres[:, None] - middle[1]) / scale
    return ((REACH - away) / EDGE).clamp(0, 1)[None]
