"""Photo -> head: from a start, latents and the photo's camera, then the generator, then the planes themselves are fitted to the photo;
last, specks go.

Pivotal tuning (Roich et al. 2022) in the extended latent space W+ (Abdal et al. 2019), on randomly drawn rays, and now and then on a
piece of the super-resolved picture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..field.geometry import RATE, coarse_offset, moved
from ..field.prepared import prepare
from ..field.triplane import TriplaneField
from ..field.volume_rendering import RenderConfig
from ..head import Head
from ..photo.alignment import AlignedPortrait
from ..prior.contract import HeadGenerator, mean_styles, styles
from ..prior.encoder import PortraitEncoder
from .completion import code_of
from .coverage import Coverage, coverage_loss, coverage_of
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
from .sweep import Sweep, looked_again, sweep_loss, sweep_of


@dataclass(frozen=True, kw_only=True)
class InversionConfig:
    """How long and how an inversion fits.

    Attributes:
        latent_steps, tuning_steps, detail_steps, sweep_steps: of the stages: latents, generator, planes, and these without the photo.
        latent_rate, tuning_rate, detail_rate, sweep_rate: Adam's learning rates. pose_rate: of the photo's camera, where that is an
            estimate, in the latents' stage; 0 leaves it.
        size: pixels to which the photo is shrunk for fitting.
        rays: per step. coarse, fine: samples per ray.
        keep_latents: weight of the latents' mean squared distance from the start's. keep_pose: of the camera's squared move.
        keep_shape, keep_colour: weights of the tuned field's distance from the untuned one at random points, which holds unseen sides.
        keep_surface: weight of its distance at the surface that `held_surface` names, in the planes' stage.
        keep_relief: weight of the distance from the relief of the face that the photo came with, in the stages of generator and planes.
        reach_shape, reach_colour: weights of matter, and its colour, where the photo's silhouette and the generator's disagree.
        points: per step at which fields are compared.
        shape_share: texels of the planes along one of the grid on which the density's may move in that stage (`field.geometry`); 0 for
            planes that colour and density share.
        crop_every: steps between those that look at a piece of the super-resolved picture; 0 for none. crop: its side in raw pixels.
        perceptual: weight of such a piece's perceptual distance.
    """

    latent_steps: int = 25
    tuning_steps: int = 25
    detail_steps: int = 140
    sweep_steps: int = 80
    latent_rate: float = 0.03
    tuning_rate: float = 2.5e-3
    detail_rate: float = 0.15
    sweep_rate: float = 0.04
    pose_rate: float = 0.1
    size: int = 256
    rays: int = 1024
    coarse: int = 20
    fine: int = 20
    keep_latents: float = 0.02
    keep_pose: float = 0.01
    keep_shape: float = 4.0
    keep_colour: float = 0.3
    keep_surface: float = 1.0
    keep_relief: float = 0.3
    reach_shape: float = 0.5
    reach_colour: float = 0.2
    points: int = 2048
    shape_share: int = 2
    crop_every: int = 3
    crop: int = 48
    perceptual: float = 0.1

    def __post_init__(self) -> None:
        if min(*self.stages, self.crop_every) < 0 or min(self.size, self.rays, self.crop) < 1:
            raise ValueError(f"InversionConfig: expected steps >= 0 and positive size and rays, got {self}")

    @property
    def steps(self) -> int:
        """Steps of all stages."""
        return sum(self.stages)

    @property
    def stages(self) -> tuple[int, int, int, int]:
        """Steps of each stage."""
        return self.latent_steps, self.tuning_steps, self.detail_steps, self.sweep_steps


START_SIZE = 64  # pixels of the photo that the starts of an inversion are held against
PRESETS = {
    "quick": InversionConfig(),
    "full": InversionConfig(
        latent_steps=80, tuning_steps=120, detail_steps=400, sweep_steps=120, tuning_rate=1e-3, rays=2048
    ),
}


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
    ) -> None:
        check_finite("inversion", "a photo and a mask", reference.image, reference.mask)
        self.config, self.given = config, reference
        self.start = start.detach().clone()
        self.latents = start.detach().clone().requires_grad_()
        self.pivot_generator = prior
        self.generator = deepcopy(prior).requires_grad_(True)
        self.perceptual = perceptual
        self.target = photo_target(reference, config.size)
        self.picture = (
            picture_target(reference, prior) if config.crop_every and prior.super_resolves else None
        )
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

    def planes(self, stage: int) -> Tensor:
        """The planes [1, 3, C, (D,) H, W] as they stand, differentiable by what the stage fits."""
        if stage < 2:
            return self.generator.planes(self.latents) + self.offset.detach()
        return self._settled() + self.offset

    def _settled(self) -> Tensor:
        """The generator's planes, once it is left alone."""
        if self._planes is None:
            with torch.no_grad():
                self._planes = self.generator.planes(self.latents)
        return self._planes

    def field(self, stage: int) -> TriplaneField:
        """The field as it stands, differentiable by what the stage fits."""
        field = self.generator.field(self.planes(stage), self.latents)
        if stage < 2 or self.bend is None:
            return field
        return replace(field, geometry=moved(self._settled(), self.bend))

    def _held_to(self, stage: int) -> Pivot:
        """What a stage is held to: the field of its start, of the planes' stage the generator's own, which `restore` can make again."""
        if self.pivot is None or self.pivot.stage != stage:
            generator = self.pivot_generator if stage == 1 else self.generator
            with torch.no_grad():
                field = prepare(generator.field(generator.planes(self.latents), self.latents))
            sampling = RenderConfig(coarse=self.config.coarse, fine=self.config.fine)
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
            sampling = RenderConfig(coarse=config.coarse, fine=config.fine, white_back=True)
            where = field, self.latents, picture, sampling, config.crop, self.draws
            return crop_loss(self.generator, *where, self.perceptual, config.perceptual, self.pieces)
        sampling = RenderConfig(coarse=config.coarse, fine=config.fine)
        return ray_loss(field, target, sampling, config.rays, self.draws, self.pieces)

    def proposal(self) -> Proposal[None]:
        """One step of the stage that `step_count` is in."""
        config = self.config
        stage, count = self.stage()
        field = prepare(self.field(stage))
        if stage == 3:
            return self._sweeping(field, count)
        loss = self._photo_loss(field)
        if stage:
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
        else:
            loss = loss + config.keep_latents * (self.latents - self.start).square().mean()
            if self.move is not None:
                loss = loss + config.keep_pose * self.move.square().sum()
        planes = [name for name in ("offset", "bend") if name in self.variables]
        generator = [name for name in self.variables if name.startswith("generator.")]
        start = [name for name in ("latents", "move") if name in self.variables]
        names = (start, generator, planes)[stage]
        gradients = torch.autograd.grad(loss, [self.variables[name] for name in names], allow_unused=True)
        rate = (config.latent_rate, config.tuning_rate, config.detail_rate)[stage]
        return Proposal(
            gradients=dict(zip(names, gradients, strict=True)),
            rate=falling(rate, count, config.stages[stage]),
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
        elif count == config.sweep_steps // 2:
            self.sweep = looked_again(field, self.sweep)
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


@torch.no_grad()
def first_styles(
    prior: HeadGenerator,
    encoder: PortraitEncoder | None,
    reference: AlignedPortrait,
    config: InversionConfig,
    draws: torch.Generator,
) -> Tensor:
    """The styles [1, num_ws, w_dim] that an inversion begins at: the encoder's; without one the nearest to the photo of a few, the mean
    of W and points around it."""
    if encoder is not None:
        return styles(prior, code_of(prior, encoder, reference))
    candidates = mean_styles(prior, draws, reference.image)
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
    return candidates[best : best + 1]


def invert(
    prior: HeadGenerator,
    encoder: PortraitEncoder | None,
    reference: AlignedPortrait,
    config: InversionConfig,
    *,
    generator: torch.Generator,
    perceptual: Perceptual | None = None,
    state: dict[str, Tensor] | None = None,
    callback: Callable[[Progress], None] | None = None,
) -> Head:
    """Fit a head to an aligned portrait: `first_styles`, W+ optimisation, pivotal tuning, then its planes for what these leave out.

    Args:
        prior, encoder: on one device, with the reference; without an encoder (None) it begins at the mean of W.
        generator: a CPU generator; the seed of all draws.
        perceptual: a distance of pictures, as `photo_losses` has some; None for pixels alone.
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
    start = first_styles(prior, encoder, reference, config, generator)
    run = Inversion(prior, start, reference, config, generator, perceptual)
    run.complete(state, callback)
    return run.head()
