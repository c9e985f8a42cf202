"""Two exact views of a factory head and the projection between them, for `bench projection`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...camera import Camera, orbit
from ...metrics.flicker import warp
from ...projection import Projector, projector
from ...synthetic.head import sample_parameters
from ...synthetic.rendering import Views, render_head

SIZE = 256


@dataclass(frozen=True)
class Pair:
    """The front and one more view of a head.

    Attributes:
        views, camera: front first. projection: by the exact depth. visible: bool [S, S], what the front sees of the other view's surface.
    """

    views: Views
    camera: Camera
    projection: Projector
    visible: Tensor


def pairs(seed: int, angle: float, size: int = SIZE) -> list[Pair]:
    """Of one head, both sides. Args: angle: degrees of yaw."""
    cameras = orbit(torch.tensor([0.0, angle, -angle]).deg2rad(), torch.zeros(3))
    every = render_head(sample_parameters(seed), cameras, size)
    neighbours = []
    for i in (1, 2):
        views = Views(*(getattr(every, name)[[0, i]] for name in ("rgb", "mask", "ray_distance", "normal")))
        projection = projector(views.ray_distance[0, 0], views.mask[0, 0], cameras[0], cameras[i])
        _, visible = warp(
            views.rgb[:1], views.ray_distance[:1], cameras[:1], views.ray_distance[1:], cameras[i : i + 1]
        )
        neighbours.append(Pair(views, cameras[[0, i]], projection, visible[0, 0]))
    return neighbours
