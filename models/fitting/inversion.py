"""Photo -> head: from a start, latents and the photo's camera, then the generator, then the planes themselves are fitted to the photo;
last, specks go.

Pivotal tuning (Roich et al. 2022) in the extended latent space W+ (Abdal et al. 2019), on randomly drawn rays, and now and then on a
piece of the super-resolved picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..camera import camera_from_label, label_from_camera
from ..field.geometry import RATE, coarse_offset, moved
from ..field.prepared import prepare
from ..field.triplane import TriplaneField
from ..field.volume_rendering import RenderConfig
from ..head import Head
from ..photo.alignment import AlignedPortrait
from ..prior.contract import HeadGenerator, mean_styles, styles
from ..prior.encoder import PortraitEncoder
from .alike import styles_alike
from .completion import code_of
from .coverage import Coverage, coverage_loss, coverage_of
from .inversion_config import InversionConfig
from .perceptual import Perceptual
from .photo_camera import MEASURES, moved_camera
from .photo_losses import (
    HeldSurface,
    PictureTarget,
    Target,
    crop_loss,
    field_drift,
    held_drift,
    held_surface,
    photo_target,
    picture_target,
    ray_loss,
)
from .relief import HeldRelief, held_relief, relief_loss
from .run import Progress, Proposal, Run, check_finite, falling
from .state import PARTS, SavedState
from .sweep import Sweep, sweep_loss, sweep_of

START_SIZE = 64  # pixels of the photo that the starts of an inversion are held against


@dataclass(frozen=True)
class Pivot:
    """What a stage is held to.

    Attributes:
        stage: which one. field: of its start. surface: of that field, and what of it stays. coverage: of the photo's silhouette.
        relief: of the photo's face, where that field has it.
    """

    stage: int
    field: TriplaneField
    surface: HeldSurface | None = None
    coverage: Coverage | None = None
    relief: HeldRelief | None = None


class Inversion(Run[None]):
    """The variables of one inversion and one step of each stage; `invert` runs it."""

    name = "inversion"
    advice = "check the photo and its mask, or run the prior in float32"

    def __init__(
        self,
        prior: HeadGenerator,
        start: Tensor,
        reference: AlignedPortrait,
        config: InversionConfig,
        generator: torch.Generator,
        perceptual: Perceptual | None = None,
        spread: float = 0.0,
    ) -> None:
        """spread: of styles about their mean, in which the config measures noise; the rest as `invert`."""
        check_finite("inversion", "a photo and a mask", reference.image, reference.mask)
        self.config, self.given = config, reference
        self.start = start.detach().clone()
        self.latents = start.detach().clone().requires_grad_()
        self.pivot_generator = prior
        self.generator = deepcopy(prior).requires_grad_(True)
        self.perceptual, self.spread = perceptual, spread
        self.sampling = RenderConfig(coarse=config.coarse, fine=config.fine)
        if config.projected:
            self.sampling = replace(prior.config.render, white_back=False)
        self.target = photo_target(reference, config.size)
        self.picture = (
            picture_target(reference, prior, background=prior.has_background)
            if config.crop_every and prior.super_resolves
            else None
        )
        self._noise: Tensor | None = None  # of the latents, in this step
        self.pivot: Pivot | None = None
        self.sweep: Sweep | None = None  # of the last stage
        self._planes: Tensor | None = None  # the generator's planes, once it is left alone
        with torch.no_grad():
            self.offset = torch.zeros_like(prior.planes(self.start)).requires_grad_()  # of the planes
        tuned = {f"generator.{name}": p for name, p in self.generator.tuned_parameters()}
        variables = {"latents": self.latents, **tuned, "offset": self.offset}
        self.bend: Tensor | None = None  # of the geometry, on a coarser grid
        if config.shape_share:
            self.bend = coarse_offset(self.offset.detach(), config.shape_share).requires_grad_()
            variables["bend"] = self.bend
        self.move: Tensor | None = None  # of the photo's camera
        self._photo: tuple[Target, PictureTarget | None] | None = None  # once that stands
        if reference.estimated and config.pose_rate:
            self.move = torch.zeros(len(MEASURES), device=self.offset.device).requires_grad_()
            variables["move"] = self.move
        super().__init__(config.steps, generator, variables)

    @property
    def reference(self) -> AlignedPortrait:
        """The photo with its camera as it stands, detached."""
        if self.move is None:
            return self.given
        return replace(self.given, camera=moved_camera(self.given.camera, self.move.detach()))

    def photo(self, stage: int) -> tuple[Target, PictureTarget | None]:
        """What the photo's camera saw, differentiable by that in the first stage."""
        if self.move is None:
            return self.target, self.picture
        if stage == 0 or self._photo is None:
            camera = moved_camera(self.given.camera, self.move if stage == 0 else self.move.detach())
            picture = None if self.picture is None else self.picture.seen_by(camera)
            photo = self.target.seen_by(camera), picture
            if stage == 0:
                return photo
            self._photo = photo
        return self._photo

    def stage(self) -> tuple[int, int]:
        """The stage that `step_count` is in (0 latents, 1 generator, 2 planes, 3 sweep), and the steps that it has done.

        Raises:
            AssertionError: never, for the last stage has no end.
        """
        count = self.step_count
        for stage, steps in enumerate(self.config.stages):
            if count < steps or stage == 3:
                return stage, count
            count -= steps
        raise AssertionError("unreachable")

    @property
    def styles(self) -> Tensor:
        """The latents, with this step's noise: [1, num_ws, w_dim]."""
        return self.latents if self._noise is None else self.latents + self._noise

    def _noise_at(self, stage: int, count: int) -> Tensor | None:
        """Of the latents, [1, num_ws, w_dim]: it fades over the first three quarters of their stage."""
        config = self.config
        if stage or not config.latent_noise:
            return None
        size = self.spread * config.latent_noise * max(0.0, 1 - count / config.latent_steps / 0.75) ** 2
        return size * torch.randn(self.latents.shape, generator=self.draws).to(self.latents)

    def planes(self, stage: int) -> Tensor:
        """The planes [1, 3, C, (D,) H, W] as they stand, differentiable by what the stage fits."""
        if stage < 2:
            return self.generator.planes(self.styles) + self.offset.detach()
        return self._settled() + self.offset

    def _settled(self) -> Tensor:
        """The generator's planes, once it is left alone."""
        if self._planes is None:
            with torch.no_grad():
                self._planes = self.generator.planes(self.latents)
        return self._planes

    def field(self, stage: int) -> TriplaneField:
        """The field as it stands, differentiable by what the stage fits."""
        field = self.generator.field(self.planes(stage), self.styles)
        if stage < 2 or self.bend is None:
            return field
        return replace(field, geometry=moved(self._settled(), self.bend))

    def _held_to(self, stage: int) -> Pivot:
        """What a stage is held to: the field of its start, of the planes' stage the generator's own, which `restore` can make again."""
        if self.pivot is None or self.pivot.stage != stage:
            generator = self.pivot_generator if stage == 1 else self.generator
            with torch.no_grad():
                field = prepare(generator.field(generator.planes(self.latents), self.latents))
            sampling = self.sampling
            relief = held_relief(field, self.reference, sampling) if self.config.keep_relief else None
            self.pivot = Pivot(stage, field, relief=relief)
            if stage == 2:  # tuning the generator changes a head as a whole, and should; its planes do not
                surface = held_surface(field, self.reference, sampling)
                coverage = coverage_of(field, self.reference, sampling)
                self.pivot = Pivot(stage, field, surface, coverage, relief)
        return self.pivot

    def _photo_loss(self, field: TriplaneField) -> Tensor:
        """How far the head is from the photo: on rays, or on a piece of the picture when that is due."""
        config = self.config
        target, picture = self.photo(self.stage()[0])
        if picture is not None and self.step_count % config.crop_every == config.crop_every - 1:
            where = field, self.styles, picture, self.sampling, config.crop, self.draws
            pixels = 1.0 if self.perceptual is None else config.pixels  # nothing else tells who it is
            weights = {"pixels": pixels, "silhouette": config.silhouette}
            eyes = self.perceptual, config.perceptual
            return crop_loss(self.generator, *where, *eyes, self.pieces, **weights)
        return ray_loss(field, target, self.sampling, config.rays, self.draws, self.pieces)

    def proposal(self) -> Proposal[None]:
        """One step of the stage that `step_count` is in."""
        config = self.config
        stage, count = self.stage()
        self._noise = self._noise_at(stage, count)
        field = prepare(self.field(stage))
        if stage == 3:
            return self._sweeping(field, count)
        loss = self._photo_loss(field)
        if stage == 2 or (stage == 1 and config.holds):
            pivot = self._held_to(stage)
            shape, colour = field_drift(field, pivot.field, self.draws, config.points, pivot.coverage)
            loss = loss + config.keep_shape * shape + config.keep_colour * colour
            if pivot.surface is not None:
                loss = loss + config.keep_surface * held_drift(
                    field, pivot.field, pivot.surface, self.draws, config.points
                )
            if pivot.relief is not None:
                loss = loss + config.keep_relief * relief_loss(field, pivot.relief, self.draws)
            if pivot.coverage is not None:
                matter, paint = coverage_loss(field, pivot.coverage, self.draws, config.points)
                loss = loss + config.reach_shape * matter + config.reach_colour * paint
        elif stage == 0:
            loss = loss + config.keep_latents * (self.latents - self.start).square().mean()
            if self.move is not None:
                loss = loss + config.keep_pose * self.move.square().sum()
        planes = [name for name in ("offset", "bend") if name in self.variables]
        generator = [name for name in self.variables if name.startswith("generator.")]
        start = [name for name in ("latents", "move") if name in self.variables]
        names = (start, generator, planes)[stage]
        gradients = torch.autograd.grad(loss, [self.variables[name] for name in names], allow_unused=True)
        rate = (config.latent_rate, config.tuning_rate, config.detail_rate)[stage]
        now = falling(rate, count, config.stages[stage])
        if config.projected and stage < 2:
            now = rate if stage else projector_rate(rate, count, config.latent_steps)
        return Proposal(
            gradients=dict(zip(names, gradients, strict=True)),
            rate=now,
            rates={
                "bend": falling(RATE * rate, count, config.stages[stage]),
                "move": falling(config.pose_rate, count, config.stages[stage]),
            },
            count=count + 1,
            numbers=(loss.detach(), *(gradient for gradient in gradients if gradient is not None)),
            loss=loss.item(),
        )

    def _sweeping(self, field: TriplaneField, count: int) -> Proposal[None]:
        """One step of the last stage."""
        config = self.config
        if self.sweep is None:
            self.sweep = sweep_of(field, self.draws)
            self.learn(self.variables)  # the photo's slopes tell nothing of these
        loss = sweep_loss(field, self.sweep, self.draws)
        name = "offset" if self.bend is None else "bend"
        (gradient,) = torch.autograd.grad(loss, [self.variables[name]])
        return Proposal(
            gradients={name: gradient},
            rate=falling(config.sweep_rate, count, config.sweep_steps),
            count=count + 1,
            numbers=(loss.detach(), gradient),
            loss=loss.item(),
        )

    def beside(self) -> dict[str, Tensor]:
        return {} if self.sweep is None else self.sweep.tensors()

    @torch.no_grad()
    def head(self) -> Head:
        """The head as it stands, detached."""
        generator = deepcopy(self.generator).requires_grad_(False)
        latents = self.latents.detach().clone()
        made = generator.planes(latents)
        planes, bend = made + self.offset.detach(), self.bend
        geometry = None if bend is None or not bend.any() else moved(made, bend.detach())
        field = generator.config.field
        return Head(planes, generator.decoder, field, self.reference, latents, generator, geometry)

    def old_names(self) -> Mapping[str, str]:
        return {f"{i}.{part}": f"{part}.{name}" for i, name in enumerate(self.variables) for part in PARTS}

    def resume_beside(self, saved: SavedState) -> None:
        self.pivot, self._planes, self._photo = None, None, None
        self.sweep = Sweep.of(saved, self.offset.device)


def projector_rate(rate: float, done: int, steps: int) -> float:
    """The learning rate of StyleGAN2's projector (Karras et al. 2020, appendix D): it rises over a twentieth of the steps and falls
    along a cosine over the last quarter. Args: done: before this one."""
    share = done / steps
    fall = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - share) / 0.25))
    return rate * fall * min(1.0, share / 0.05)


@torch.no_grad()
def first_styles(
    prior: HeadGenerator,
    encoder: PortraitEncoder | None,
    reference: AlignedPortrait,
    config: InversionConfig,
    draws: torch.Generator,
) -> tuple[Tensor, float]:
    """The styles [1, num_ws, w_dim] that an inversion begins at: the encoder's; without one the nearest to the photo of a few, the mean
    of W and points around it. And the spread of styles about that mean, 0 where nobody asks."""
    if encoder is not None:
        return styles(prior, code_of(prior, encoder, reference)), 0.0
    candidates, spread = mean_styles(prior, draws, reference.image, config.starts - 1)
    if len(candidates) == 1:
        return candidates, spread
    target, sampling = (
        photo_target(reference, START_SIZE),
        RenderConfig(coarse=config.coarse, fine=config.fine),
    )
    losses = []
    for i in range(len(candidates)):
        ws = candidates[i : i + 1]
        field, same = (
            prior.field(prior.planes(ws), ws),
            torch.Generator().manual_seed(0),
        )  # one draw of rays for all
        losses.append(float(ray_loss(field, target, sampling, config.rays, same)))
    best = min(range(len(losses)), key=losses.__getitem__)
    return candidates[best : best + 1], spread


@torch.no_grad()
def projectable(
    prior: HeadGenerator, reference: AlignedPortrait, config: InversionConfig
) -> tuple[HeadGenerator, AlignedPortrait]:
    """A public generator whose rays begin where its authors let them for an inversion, and the portrait as seen by the camera that the
    whole model moves to, as PanoHead learnt to."""
    render = prior.config.render
    if config.near is not None and render.near is not None and render.near < config.near:
        prior = prior.with_render(replace(render, near=config.near))
    label = label_from_camera(reference.camera)[None]
    code = label.new_zeros(1, prior.config.z_dim)
    return prior, replace(reference, camera=camera_from_label(prior.rendering_label(code, label))[0])


def invert(
    prior: HeadGenerator,
    encoder: PortraitEncoder | None,
    reference: AlignedPortrait,
    config: InversionConfig,
    *,
    generator: torch.Generator,
    perceptual: Perceptual | None = None,
    begin: Head | None = None,
    approach: Callable[[int], None] | None = None,
    state: dict[str, Tensor] | None = None,
    callback: Callable[[Progress], None] | None = None,
) -> Head:
    """Fit a head to an aligned portrait: `first_styles`, W+ optimisation, pivotal tuning, then its planes for what these leave out.

    Args:
        prior, encoder: on one device, with the reference; without an encoder (None) it begins at the mean of W.
        generator: a CPU generator; the seed of all draws.
        perceptual: a distance of pictures, as `photo_losses` has some; None for pixels alone.
        begin: a head of any model, as an avatar that was drawn, on the same device; the styles are first made alike it from all sides.
        approach: told the steps done on that way; may raise to interrupt.
        state: of an earlier call with the same arguments; it goes on there. callback: called after each step.

    Returns:
        The head with its latents and its own tuned generator.

    Raises:
        ValueError: an empty mask, a photo or too many steps in a row whose numbers are not finite, a foreign state,
            or too little memory.
    """
    if reference.mask.max() < 0.5:
        raise ValueError(
            "inversion: expected a mask with a foreground, got an empty one; wire a MASK in which the person is 1"
        )
    if config.projected:
        prior, reference = projectable(prior, reference, config)
    start, spread = first_styles(prior, encoder, reference, config, generator)
    if begin is not None:
        start = styles_alike(prior, start, begin, generator, approach)
    run = Inversion(prior, start, reference, config, generator, perceptual, spread)
    run.complete(state, callback)
    return run.head()
