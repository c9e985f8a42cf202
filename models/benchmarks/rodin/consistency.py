"""Whether pictures of a head are of one head: our field refitted to them (RodinHD's tables 3 and 8), and lines of a turn (figure 9).

The paper fits a NeuS to 300 pictures and judges it by those. Here our field, with a decoder of its own, is fitted to fewer, all around,
and judged by further ones of the same row: what one head cannot explain is lost there. So is fine detail, which few pictures do not pin
down: smooth heads do well, and exact views do not reach them. Compare a row with its refined self, or rows of like detail.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ...avatar.fitting import FitConfig, fit, new_decoder
from ...avatar.new_head import FIELD
from ...avatar.views import views_of
from ...camera import Camera, orbit
from ...metrics.flicker import column_picture
from ...metrics.image import psnr, ssim
from ...metrics.perceptual import PerceptualNetwork, perceptual_distance
from ...training.avatar_views import COUNT, UNSEEN, head_places
from .fitting import picture
from .people import Pictures

Look = Callable[[Camera, int], Pictures]  # cameras [V], pixels -> what they see
SIZE = 128  # pixels of a view
REFIT = FitConfig(steps=200, rays=2048, samples=16, grid=64)
RESOLUTION = 128  # of its planes
FRAMES = 32  # of a turn
REACH = 60  # degrees to either side that it goes
UNITS = {"PSNR": "dB", "SSIM": "", "perceptual": ""}


def refitted(look: Look, seed: int, network: PerceptualNetwork) -> dict[str, float]:
    """How near a field that is fitted to a row's pictures comes to others of them, by `UNITS`. Args: seed: of cameras and draws.

    Raises:
        ValueError: pictures without a head in them, or a fit that goes empty.
    """
    places = head_places(seed, count=COUNT, unseen=UNSEEN)
    pictures = look(places.cameras, SIZE)
    field, draws = replace(FIELD, resolution=RESOLUTION), torch.Generator().manual_seed(seed)
    views = views_of(pictures.rgb, pictures.mask, places.cameras, field.box_side, background=torch.ones(3))
    with torch.enable_grad():
        head = fit(
            views[:COUNT], field, new_decoder(field, draws), REFIT, generator=draws, learn_decoder=True
        )
    ours, truth = picture(head, views[COUNT:]), views[COUNT:].on_white()
    distance = perceptual_distance(network, ours, truth).mean().item()
    return {"PSNR": psnr(ours, truth), "SSIM": ssim(ours, truth), "perceptual": distance}


def turn_cameras() -> Camera:
    """From one side of the face to the other, [FRAMES]."""
    yaw = torch.linspace(-REACH, REACH, FRAMES) * (math.pi / 180)
    return orbit(yaw, torch.zeros(FRAMES))


def line_picture(look: Look, height: int) -> Tensor:
    """Figure 9: one horizontal line of every picture of a turn, below each other, [3, height, SIZE]; smooth where they are of one head.

    Args:
        height: pixels that the turn's pictures are stretched to.
    """
    frames = look(turn_cameras(), SIZE).rgb
    lines = column_picture(frames.mT).mT  # a row is a column of the picture lying down
    return F.interpolate(lines[None], size=(height, SIZE), mode="nearest")[0]
