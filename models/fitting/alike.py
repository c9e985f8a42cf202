"""Styles of a prior whose head is like another head from all sides: what an inversion begins at where another model has guessed them.

The head may be of any planes and decoder, as an avatar's that was drawn by diffusion: it is only looked at.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..camera import orbit
from ..field.prepared import prepare
from ..field.volume_rendering import RenderConfig
from ..head import Head, head_of
from ..photo.alignment import uncropped
from ..prior.contract import HeadGenerator
from .photo_losses import Target, photo_target, ray_loss
from .run import Proposal, Run, check_finite, falling

VIEWS, PITCH = 8, 10.0  # around the head, and degrees up and down in turn
SIZE = 96  # pixels of a view
STEPS, RATE = 80, 0.03
RAYS, RENDER = 768, RenderConfig(coarse=20, fine=20)
COVERED = 0.05  # of a pixel, from which on its colour is told
KEEP = 0.02  # weight of the styles' mean squared distance from the start's


class Likening(Run[None]):
    """The styles that are moved, and one look at a side of the head that they are to be like."""

    name = "inversion start"
    advice = "begin without a head"

    def __init__(self, prior: HeadGenerator, start: Tensor, head: Head, draws: torch.Generator) -> None:
        check_finite("inversion", "a head to begin with", *head.stacks)
        self.prior, self.start = prior, start.detach().clone()
        self.targets = targets_of(head, start.device)
        super().__init__(STEPS, draws, {"styles": self.start.clone().requires_grad_()})

    @property
    def styles(self) -> Tensor:
        """[1, num_ws, w_dim], as they stand."""
        return self.variables["styles"]

    def proposal(self) -> Proposal[None]:
        """One step on rays of one side."""
        target = self.targets[int(torch.randint(VIEWS, (), generator=self.draws))]
        field = prepare(self.prior.field(self.prior.planes(self.styles), self.styles))
        loss = ray_loss(field, target, RENDER, RAYS, self.draws, self.pieces)
        loss = loss + KEEP * (self.styles - self.start).square().mean()
        (gradient,) = torch.autograd.grad(loss, [self.styles])
        return Proposal(
            gradients={"styles": gradient},
            rate=falling(RATE, self.step_count, self.steps),
            count=self.step_count + 1,
            numbers=(loss.detach(), gradient),
            loss=loss.item(),
        )

    @torch.no_grad()
    def head(self) -> Head:
        """The prior's head as it stands, detached."""
        return head_of(self.prior, self.styles.detach().clone())


@torch.no_grad()
def targets_of(head: Head, device: torch.device) -> list[Target]:
    """What each of the sides shows."""
    yaw = torch.arange(VIEWS) * (2 * math.pi / VIEWS)
    pitch = math.radians(PITCH) * (1 - 2 * (torch.arange(VIEWS) % 2))
    cameras = orbit(yaw, pitch).to(device)
    views = head.render(cameras, SIZE, RENDER, normals=False)
    opaque = 1 + (views.rgb - 1) / views.opacity.clamp(min=COVERED)  # without the white behind it
    return [photo_target(uncropped(opaque[i], views.opacity[i], cameras[i]), SIZE) for i in range(VIEWS)]


@torch.enable_grad()
def styles_alike(
    prior: HeadGenerator,
    start: Tensor,
    head: Head,
    draws: torch.Generator,
    callback: Callable[[int], None] | None = None,
) -> Tensor:
    """Styles [1, num_ws, w_dim] whose head looks like `head` from eight sides; a look costs as much as a step of an inversion.

    Args:
        prior: on one device with the rest; it stays as it is. start: the styles that are moved, and to which they are held.
        draws: a CPU generator. callback: told the looks done, of `STEPS`; may raise to interrupt.

    Raises:
        ValueError: a head whose planes are not finite, too many looks in a row whose numbers are not, or too little memory.
    """
    run = Likening(prior, start, head, draws)
    run.complete(callback=None if callback is None else lambda now: callback(now.step))
    return run.styles.detach()
