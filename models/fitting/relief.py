"""A face's shape held to the relief that the alignment network sees in the photo, by its certainty.

A photo's colours hardly say where a surface is. The network has seen faces of known shape: it says how the surface runs; where it
stands, the head itself says, for a picture does not tell its distance.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..camera import rays
from ..field.casting import MarchingCaster, render_features
from ..field.triplane import TriplaneField
from ..field.volume_rendering import RenderConfig
from ..photo.alignment import AlignedPortrait
from .coverage import EMPTY, SOLID

SIZE = 96  # pixels at which reliefs are read
LEAST = 0.2  # certainty from which on a pixel counts
WORTH = 64  # pixels, as many as have to be certain
BESIDE = 0.012  # scene units before and behind the surface, where there is to be nothing and matter
STEP = 0.008  # scene units of the differences that normals are read from


@dataclass(frozen=True)
class HeldRelief:
    """Surface in the head's own place.

    Attributes:
        points: [N, 3]. normals: [N, 3] unit, world. certainty: [N] in 0 .. 1.
    """

    points: Tensor
    normals: Tensor
    certainty: Tensor


@torch.no_grad()
def held_relief(
    field: TriplaneField, reference: AlignedPortrait, sampling: RenderConfig
) -> HeldRelief | None:
    """A photo's relief, moved along the rays until it lies where a field has its surface; None where a photo has none."""
    if reference.relief is None:
        return None
    distance, normal, certainty = (
        F.interpolate(x[None], size=(SIZE, SIZE), mode="bilinear", antialias=True)[0]
        for x in (reference.relief.distance, reference.relief.normal, reference.relief.certainty)
    )
    own = render_features(MarchingCaster(field), reference.camera[None], SIZE, SIZE, sampling)
    solid = own.opacity.view(SIZE, SIZE) > 0.9
    some = (certainty[0] > LEAST) & solid
    if int(some.sum()) < WORTH:
        return None
    offset = (own.depth.view(SIZE, SIZE) - distance[0])[some].median()
    origins, directions = rays(reference.camera, SIZE, SIZE)
    points = (origins + directions * (distance[0] + offset)[..., None])[some]
    turn = reference.camera.cam2world[:3, :3].to(normal)
    normals = F.normalize(normal[:, some].mT @ turn.mT, dim=-1)
    return HeldRelief(points, normals, certainty[0][some])


def relief_loss(
    field: TriplaneField, relief: HeldRelief, generator: torch.Generator, count: int = 512
) -> Tensor:
    """How far a field's surface is from a relief at drawn points, []: in shares of solid before and behind it, and one less the cosine
    between normals.

    Args:
        count: points that are drawn.
    """
    config = field.config
    pick = torch.randint(len(relief.points), (count,), generator=generator).to(relief.points.device)
    points, normals, certainty = relief.points[pick], relief.normals[pick], relief.certainty[pick]
    steps = STEP * torch.cat([torch.eye(3), -torch.eye(3)]).to(points)
    beside = BESIDE * torch.stack([normals, -normals])  # before, behind
    around = torch.cat([points + beside, points + steps[:, None]])  # [8, count, 3]
    raw = field.raw(around.reshape(1, -1, 3))[0].view(8, count)
    solid = config.raw_of(SOLID * config.surface_density)
    place = (raw[0] + config.density_shift - EMPTY).relu() / solid + (1 - raw[1] / solid).relu()
    gradient = (raw[5:8] - raw[2:5]).T  # towards less
    turn = 1 - F.cosine_similarity(gradient, normals, dim=-1)
    return (certainty * (place + turn)).mean()
