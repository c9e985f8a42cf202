"""From where a head is refined, and whose picture drives whose."""

from __future__ import annotations

import math

import torch

from ..camera import Camera, orbit, yaw_pitch
from ..diffusion.new_views import PHOTO, chains
from .noise_resampling import UNDRIVEN

STEEP = math.radians(30)  # of pitch, from which on a camera is no part of the ring


def refinement_cameras(count: int, device: torch.device) -> Camera:
    """A ring of `count` views but for the front, then one camera above and one below."""
    step = 2 * math.pi / count
    yaw = torch.tensor([step * i for i in range(1, count)] + [0.0, 0.0])
    pitch = torch.tensor([0.0] * (count - 1) + [math.radians(50), -math.radians(35)])
    return orbit(yaw, pitch).to(device)


def view_order(cameras: Camera) -> list[tuple[int, int]]:
    """Of cameras [V], the photo's first: (view, driver), drivers before those they drive; steep cameras last,
    each by its nearest."""
    yaw, pitch = (x.cpu() for x in yaw_pitch(cameras))
    ring = [i for i in range(1, len(yaw)) if abs(float(pitch[i])) < STEEP]
    order = [(0, UNDRIVEN)]
    order += [
        (ring[view], 0 if driver == PHOTO else ring[driver])
        for view, driver in chains(yaw[ring], float(yaw[0]))
    ]
    place = cameras.position
    for i in range(1, len(yaw)):
        if i not in ring:
            near = [0, *ring]
            order.append((i, near[int((place[near] - place[i]).norm(dim=-1).argmin())]))
    return order
