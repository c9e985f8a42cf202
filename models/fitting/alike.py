"""Styles of a prior whose head is like another head from all sides: what an inversion begins at where another model has guessed them.

The head may be of any planes and decoder, as an avatar's that was drawn by diffusion: it is only looked at.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..camera import orbit
from ..field.prepared import prepare
from ..field.volume_rendering import RenderConfig
from ..head import Head
from ..photo.alignment import uncropped
from ..prior.contract import HeadGenerator
from .photo_losses import photo_target, ray_loss
from .run import check_finite, falling

VIEWS, PITCH = 8, 10.0  # around the head, and degrees up and down in turn
SIZE = 96  # pixels of a view
STEPS, RATE = 80, 0.03
RAYS, RENDER = 768, RenderConfig(coarse=20, fine=20)
COVERED = 0.05  # of a pixel, from which on its colour is told
KEEP = 0.02  # weight of the styles' mean squared distance from the start's


@torch.enable_grad()
def styles_alike(prior: HeadGenerator, start: Tensor, head: Head, draws: torch.Generator) -> Tensor:
    """Styles [1, num_ws, w_dim] whose head looks like `head` from eight sides; a look costs as much as a step of an inversion.

    Args:
        prior: on one device with the rest; it stays as it is. start: the styles that are moved, and to which they are held.
        draws: a CPU generator.

    Raises:
        ValueError: a head whose planes are not finite.
    """
    check_finite("inversion", "a head to begin with", *head.stacks)
    yaw = torch.arange(VIEWS) * (2 * math.pi / VIEWS)
    pitch = math.radians(PITCH) * (1 - 2 * (torch.arange(VIEWS) % 2))
    cameras = orbit(yaw, pitch).to(start.device)
    with torch.no_grad():
        views = head.render(cameras, SIZE, RENDER, normals=False)
        opaque = 1 + (views.rgb - 1) / views.opacity.clamp(min=COVERED)  # without the white behind it
        targets = [
            photo_target(uncropped(image, mask, camera), SIZE)
            for image, mask, camera in zip(
                opaque, views.opacity, (cameras[i] for i in range(VIEWS)), strict=True
            )
        ]
    moved = start.detach().clone().requires_grad_()
    optimiser = torch.optim.Adam([moved])
    for step in range(STEPS):
        target = targets[int(torch.randint(VIEWS, (), generator=draws))]
        field = prepare(prior.field(prior.planes(moved), moved))
        loss = ray_loss(field, target, RENDER, RAYS, draws) + KEEP * (moved - start).square().mean()
        (moved.grad,) = torch.autograd.grad(loss, [moved])
        optimiser.param_groups[0]["lr"] = falling(RATE, step, STEPS)
        optimiser.step()
    return moved.detach()
