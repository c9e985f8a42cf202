"""Views of factory heads that planes are fitted to, and the photo that goes with them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..avatar.views import Views, views_of
from ..camera import Camera, orbit
from ..synthetic.factories import Factory

COUNT = 24  # views that a head is fitted to, all around it
UNSEEN = 4  # further ones, to judge it by
SIZE = 128  # pixels of a view
PORTRAIT = 256  # pixels of the photo
PORTRAIT_REACH = (25.0, 10.0)  # degrees of yaw and pitch up to which photos are taken


@dataclass(frozen=True)
class HeadViews:
    """Views of one head.

    Attributes:
        fitted, unseen: what planes are fitted to, and what judges them. portrait: [3, S, S] in [0, 1], on white. yaw, pitch: [] radians, of the photo's camera.
    """

    fitted: Views
    unseen: Views
    portrait: Tensor
    yaw: Tensor
    pitch: Tensor


@dataclass(frozen=True)
class Places:
    """From where a head is seen. Attributes: cameras: [V] of the views, the unseen ones last. yaw, pitch: [] radians, of the photo's camera."""

    cameras: Camera
    yaw: Tensor
    pitch: Tensor


def head_places(seed: int, *, count: int = COUNT, unseen: int = UNSEEN) -> Places:
    """Those of a seed's head; the same ones at every call, [count + unseen]. Args: as of `head_views`."""
    generator = torch.Generator().manual_seed(seed)
    yaw = (torch.arange(count) + torch.rand(count, generator=generator)) * (2 * math.pi / count) - math.pi
    further = (torch.rand(unseen, generator=generator) * 2 - 1) * math.pi
    pitch = (torch.randn(count + unseen, generator=generator) * math.radians(14)).clamp(
        -math.radians(35), math.radians(50)
    )
    reach = torch.tensor(PORTRAIT_REACH) * (math.pi / 180)
    turn, lift = ((torch.rand(2, generator=generator) * 2 - 1) * reach).unbind()
    return Places(orbit(torch.cat([yaw, further]), pitch), turn, lift)


def head_views(
    factory: Factory,
    seed: int,
    box_side: float,
    *,
    count: int = COUNT,
    unseen: int = UNSEEN,
    size: int = SIZE,
) -> HeadViews:
    """The views of a seed's head; the same ones at every call.

    Args:
        box_side: of the field that will be fitted, scene units. count: views to fit. unseen: further ones. size: their pixels.
    """
    places = head_places(seed, count=count, unseen=unseen)
    exact = factory.exact(seed, places.cameras, size).views
    views = views_of(exact.rgb, exact.mask, places.cameras, box_side, background=torch.ones(3))
    camera = orbit(places.yaw[None], places.pitch[None])
    photo = factory.exact(seed, camera, PORTRAIT).views.rgb[0]
    return HeadViews(views[:count], views[count:], photo, places.yaw, places.pitch)
