"""Refined views -> the head itself: its planes are fitted to them, so that every other view and the mesh are better, too.

Beyond TurboPortrait3D, whose views stay pictures. One step refines each view a little differently, so what views agree on may move
surfaces; where they do not, they only paint, and count less.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..camera import Camera, frontal
from ..field.volume_rendering import RenderConfig
from ..head import Head
from ..metrics.flicker import warp
from ..photo.alignment import AlignedPortrait, uncropped
from .photo_losses import (
    PictureTarget,
    Target,
    crop_loss,
    field_drift,
    photo_target,
    picture_target,
    ray_loss,
)
from .run import Progress, Proposal, Run, check_finite, falling
from .state import PARTS


@dataclass(frozen=True, kw_only=True)
class BakeConfig:
    """How views are baked.

    Attributes:
        steps: of Adam. rate: its learning rate. size: pixels to which views are shrunk for fitting. rays: per step and view.
        coarse, fine: samples per ray.
        keep_shape, keep_colour: weights of the field's distance from the one before at random points.
        agreement: difference of colours at which a pixel that another view sees counts 1 / e.
        together: share of the steps after which all views take part; before, they join nearest to the front first.
        crop_every: steps between those on a piece of the super-resolved picture; 0 for none. crop: its side in raw pixels.
    """

    steps: int = 160
    rate: float = 0.02
    size: int = 256
    rays: int = 1024
    coarse: int = 20
    fine: int = 20
    keep_shape: float = 4.0
    keep_colour: float = 0.05
    agreement: float = 0.1
    together: float = 0.4
    crop_every: int = 4
    crop: int = 48

    def __post_init__(self) -> None:
        if (
            min(self.steps, self.crop_every) < 0
            or min(self.size, self.rays, self.crop) < 1
            or not 0 <= self.together <= 1
        ):
            raise ValueError(
                f"BakeConfig: expected steps >= 0, positive size and rays, together from 0 to 1, got {self}"
            )


def nearest_first(cameras: Camera) -> list[int]:
    """Indices of cameras [V], the one nearest to the front first."""
    front = frontal().position.to(cameras.position)
    return torch.argsort((cameras.position - front).norm(dim=-1), stable=True).tolist()


def with_reference(head: Head, views: Tensor, cameras: Camera) -> tuple[Tensor, Camera]:
    """Views [V, 3, S, S] and cameras [V] with the photo that the head was made from before them, where that is known."""
    if head.reference is None:
        return views, cameras
    photo = head.reference.to(views.device)
    image = F.interpolate(
        photo.on_white()[None], size=views.shape[-2:], mode="bilinear", antialias=True
    ).clamp(0, 1)
    return torch.cat([image, views]), photo.camera.before(cameras)


@torch.no_grad()
def agreement(views: Tensor, distance: Tensor, cameras: Camera, tolerance: float) -> Tensor:
    """How much each pixel's colour is that of the other views which see the same point: exp(-difference / tolerance), 1 where none does.

    Args:
        views: [V, 3, S, S]. distance: [V, 1, S, S] along rays, 0 where empty. cameras: [V].

    Returns:
        [V, 1, S, S] in (0, 1].
    """
    V = len(views)
    result = []
    for i in range(V):
        others = [j for j in range(V) if j != i]
        if not others:
            return torch.ones_like(distance)
        here = [i] * len(others)
        warps, visible = warp(views[others], distance[others], cameras[others], distance[here], cameras[here])
        difference = (warps - views[here]).abs().mean(1, keepdim=True)
        witnesses = visible.sum(0).clamp(min=1)
        mean = torch.where(visible, difference, 0).sum(0) / witnesses
        result.append(torch.exp(-mean / tolerance))
    return torch.stack(result)


class Baking(Run[None]):
    """The variables of one baking and its step; `bake` runs it."""

    name = "bake"
    advice = "check the views and the head"

    def __init__(
        self, head: Head, views: Tensor, cameras: Camera, config: BakeConfig, generator: torch.Generator
    ) -> None:
        self.original, self.config = head, config
        self.order = nearest_first(cameras)
        with torch.no_grad():
            rendering = head.render(cameras, config.size, normals=False)
        views = F.interpolate(views, size=(config.size, config.size), mode="bilinear", antialias=True).clamp(
            0, 1
        )
        mask = (rendering.opacity > 0.5).to(views)
        certainty = agreement(views, rendering.depth * mask, cameras, config.agreement)
        photos = [uncropped(views[i], mask[i], cameras[i]) for i in range(len(views))]
        self.targets = [
            weighed(photo_target(photo, config.size), certainty[i]) for i, photo in enumerate(photos)
        ]
        self.pictures = self._pictures(photos)
        self.pivot = head.field()
        self.offset = torch.zeros_like(head.planes).requires_grad_()
        super().__init__(config.steps, generator, {"offset": self.offset})

    def _pictures(self, photos: list[AlignedPortrait]) -> list[PictureTarget]:
        """The views as the head's generator makes pictures; none where it makes none."""
        pair = self.original.styled
        if not self.config.crop_every or pair is None or not pair[0].super_resolves:
            return []
        return [picture_target(photo, pair[0]) for photo in photos]

    def joined(self) -> int:
        """How many views take part in the next step."""
        ready = self.config.together * self.config.steps
        return (
            len(self.order)
            if self.step_count >= ready
            else 1 + int((len(self.order) - 1) * self.step_count / ready)
        )

    def proposal(self) -> Proposal[None]:
        """One step on one view of those that take part, in turns."""
        config, head, count = self.config, self.original, self.step_count
        view = self.order[count % self.joined()]
        field = replace(self.pivot, planes=head.planes + self.offset)
        if head.styled and self.pictures and count % config.crop_every == config.crop_every - 1:
            generator, latents = head.styled
            sampling = RenderConfig(coarse=config.coarse, fine=config.fine, white_back=True)
            piece = self.pictures[view], sampling, config.crop, self.draws
            loss = crop_loss(generator, field, latents, *piece, None, 0.0, self.pieces)
        else:
            sampling = RenderConfig(coarse=config.coarse, fine=config.fine)
            loss = ray_loss(field, self.targets[view], sampling, config.rays, self.draws, self.pieces)
        shape, colour = field_drift(field, self.pivot, self.draws)
        loss = loss + config.keep_shape * shape + config.keep_colour * colour
        (gradient,) = torch.autograd.grad(loss, [self.offset])
        return Proposal(
            gradients={"offset": gradient},
            rate=falling(config.rate, count, config.steps),
            count=count + 1,
            numbers=(loss.detach(), gradient),
            loss=loss.item(),
        )

    @torch.no_grad()
    def head(self) -> Head:
        """The head as it stands, detached."""
        return replace(self.original, planes=(self.original.planes + self.offset).detach())

    def old_names(self) -> Mapping[str, str]:
        return {"offset": "value.offset", **{part: f"{part}.offset" for part in PARTS[1:]}}


def weighed(target: Target, sure: Tensor) -> Target:
    """A view's rays, drawn as often as they are sure [1, S, S]: a pixel on which views differ is looked at less, but not never."""
    return replace(target, weight=target.weight * sure.flatten().clamp(min=0.1))


def bake(
    head: Head,
    views: Tensor,
    cameras: Camera,
    config: BakeConfig,
    *,
    generator: torch.Generator,
    state: dict[str, Tensor] | None = None,
    callback: Callable[[Progress], None] | None = None,
) -> Head:
    """Fit a head's planes to refined views of it, nearest to the front first.

    Args:
        views: [V, 3, H, W] in [0, 1], on white, square. cameras: [V], of the views. Both on the head's device.
        generator: a CPU generator; the seed of all draws. state: of an earlier call with the same arguments; it goes on there.
        callback: called after each step.

    Returns:
        The head with other planes; its decoder and super-resolution stay.

    Raises:
        ValueError: not one square view per camera, views or too many steps in a row whose numbers are not finite,
            a foreign state, or too little memory.
    """
    if (
        views.ndim != 4
        or views.shape[1] != 3
        or views.shape[-1] != views.shape[-2]
        or cameras.shape != (len(views),)
        or not len(views)
    ):
        raise ValueError(
            f"bake: expected square views [V, 3, S, S] and a camera for each, got {list(views.shape)} and {list(cameras.shape)} cameras; "
            "wire the views and the cameras that they were rendered from"
        )
    check_finite("bake", "views", views)
    run = Baking(head, views, cameras, config, generator)
    run.complete(state, callback)
    return run.head()
