"""Planes fitted to views of one head through a decoder (RodinHD, section 3.1: stage 2, and the inner loop of algorithm 1).

The paper moves the planes themselves for 25,000 steps. Here they are the sum of planes of growing resolution, so that a few hundred
steps do: coarse ones settle first and reach places that no ray has crossed, fine ones add what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..bounds import flags, integers, numbers
from ..camera import rays
from ..field.decoders import decoder_of
from ..field.prepared import prepare
from ..field.triplane import Decoder, FieldConfig, TriplaneField
from ..field.volume_rendering import Draws, RayRendering, looks_up, ray_weights, sum_over_rays
from ..fitting.rays import in_pieces
from ..fitting.run import Progress, Proposal, Run, falling
from ..fitting.state import SavedState
from ..head import Head
from ..presence import present
from . import hull
from .regularisers import l2, total_variation
from .views import Views

COARSEST = 16  # texels along a side of the coarsest planes
ANYWHERE = 8192  # points a step at which the void is asked to be empty
VOID_STEP = 0.02  # scene units of matter in the void that count as seen
NEGLIGIBLE = 1e-6  # of a ray's light: less needs no slope
HELD_SHARE = 0.1  # of the steps, at whose beginning opacity counts more
FIRST_GAIN, DENSITY_GAIN = 4.0, 2.0  # of a new decoder's first layer, and of its density's row
COLLAPSED = 0.1  # opacity of what the masks show, under which a fit has gone empty


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """How planes are fitted.

    Attributes:
        steps: of Adam. rate: its learning rate, of planes. decoder_rate: share of it that the decoder has, where it learns.
        rays: per step (paper: 8192). samples: per ray, of those that are worth a look. grid: cells along the box's side.
        refresh_every: steps between looks at the grid. first: standard deviation of planes that begin at random.
        smooth, small: weights of `regularisers.total_variation` and `l2` (paper: 1e-2 and 1e-4).
        opacity: weight of the mask's error; held: times as much at the beginning, when planes could still go empty.
        void: weight of matter where a mask shows none. detail, edge: how much more often pixels with detail and beside outlines are drawn.
        clamp: whether planes are held to -1 .. 1, as diffusion needs them.
    """

    steps: int = 600
    rate: float = 0.02
    decoder_rate: float = 1.0
    rays: int = 2048
    samples: int = 20
    grid: int = 128
    refresh_every: int = 16
    first: float = 0.005
    smooth: float = 1e-2
    small: float = 1e-4
    opacity: float = 1.0
    held: float = 1.5
    void: float = 1.0
    detail: float = 5.0
    edge: float = 0.5
    clamp: bool = True

    def __post_init__(self) -> None:
        integers(
            self,
            steps=(0, 10**7),
            rays=(1, 2**20),
            samples=(2, 1024),
            grid=(8, 256),
            refresh_every=(1, 10**6),
        )
        numbers(
            self,
            rate=(1e-9, 10),
            decoder_rate=(0, 10),
            first=(0, 10),
            smooth=(0, 1e3),
            small=(0, 1e3),
            opacity=(0, 1e3),
            held=(0, 1e3),
            void=(0, 1e3),
            detail=(0, 1e3),
            edge=(0, 1e3),
        )
        flags(self, "clamp")


@torch.no_grad()
def new_decoder(field: FieldConfig, generator: torch.Generator) -> nn.Module:
    """A decoder that has learnt nothing, for planes of -1 .. 1: amplified so far that these make both walls and void.

    Args:
        field: of perceptrons; others begin as they are built. generator: a CPU generator.
    """
    decoder = decoder_of(field)
    if isinstance(decoder, Decoder):
        for weights in decoder.parameters():
            weights.copy_(torch.randn(weights.shape, generator=generator) * (weights.ndim > 1))
        decoder.get_parameter("net.0.weight").mul_(FIRST_GAIN)
        decoder.get_parameter("net.2.weight")[0].mul_(DENSITY_GAIN)
    return decoder


def sizes_of(resolution: int) -> list[int]:
    """Resolutions of the planes that are summed up, coarsest first."""
    sizes = [resolution]
    while sizes[0] // 2 >= COARSEST:
        sizes.insert(0, sizes[0] // 2)
    return sizes


def resized(planes: Tensor, resolution: int) -> Tensor:
    """Planes [1, 3, C, (D,) R, R] at another resolution."""
    if planes.shape[-1] == resolution:
        return planes
    flat = F.interpolate(
        planes.flatten(1, -3), size=(resolution, resolution), mode="bilinear", align_corners=False
    )
    return flat.view(*planes.shape[:-2], resolution, resolution)


def chances(views: Views, config: FitConfig) -> Tensor:
    """How likely each pixel is drawn [V * S * S]: inside the masks, at details and beside outlines more often, seldom elsewhere."""
    grey = views.on_white().mean(1, keepdim=True)  # where outlines are details, too
    across, down = (F.pad(grey.diff(dim=axis).abs(), pad) for axis, pad in ((-1, (0, 1)), (-2, (0, 0, 0, 1))))
    reach = max(7, views.mask.shape[-1] // 28 | 1)  # as wide as the hull is about the masks
    beside = F.max_pool2d(views.mask, reach, 1, reach // 2) * (1 - views.mask)
    inside = views.mask * (0.25 + config.detail * (across + down).clamp(max=0.4))
    return (inside + config.edge * beside + 0.03).flatten()


class Fitting(Run[float]):
    """The variables of one fit and its step; `fit` runs it. It reports the opacity of what the masks show.

    The decoder is used as it is, and learns in its place where it learns.
    """

    name = "fit head"
    advice = "check images, masks and cameras"

    def __init__(
        self,
        views: Views,
        field: FieldConfig,
        decoder: nn.Module,
        config: FitConfig,
        generator: torch.Generator,
        *,
        start: Tensor | None = None,
        learn_decoder: bool = False,
    ) -> None:
        self.views, self.field, self.config = views, field, config
        self.decoder = decoder.requires_grad_(learn_decoder)
        self.grid = hull.carve(views.cameras, views.mask, field.box_side, config.grid)
        S = views.mask.shape[-1]
        self.origins, self.directions = (x.reshape(-1, 3) for x in rays(views.cameras, S, S))
        self.colour = views.colour.movedim(1, -1).reshape(-1, 3)
        self.mask = views.mask.flatten()
        self.ladder = chances(views, config).double().cumsum(0)
        self.start = None if start is None else resized(start, field.resolution).to(views.mask)
        variables = {f"planes.{size}": self._first(size, generator) for size in sizes_of(field.resolution)}
        self.levels = list(variables)
        if learn_decoder:
            variables |= {f"decoder.{name}": value for name, value in self.decoder.named_parameters()}
        super().__init__(config.steps, generator, variables)

    def _first(self, size: int, generator: torch.Generator) -> Tensor:
        """Planes that one level begins with: random ones, or none beside those that the fit starts from."""
        shape = (1, *self.field.planes_shape[:-2], size, size)
        spread = self.config.first if self.start is None else 0.0
        return (torch.randn(shape, generator=generator) * spread).to(self.mask).requires_grad_()

    def planes(self) -> Tensor:
        """[1, 3, C, (D,) R, R] as they stand, with a graph."""
        total = self.variables[self.levels[0]]
        for name in self.levels[1:]:
            finer = self.variables[name]
            total = resized(total, finer.shape[-1]) + finer
        return total if self.start is None else self.start + total

    def _cast(
        self, field: TriplaneField, origins: Tensor, directions: Tensor, draws: Draws | None
    ) -> RayRendering:
        """Rays [1, R, 3] at what the grid says is worth it; each look stands for its whole stretch.

        The family's mean of two samples' raw densities would fill the long stretches before a surface with half of it.
        """
        draws = present(draws, "draws of rays", "pass those of each ray")
        t, ends = hull.propose(self.grid, origins[0], directions[0], draws.coarse[0], draws.fine[0])
        points = origins[0, :, None] + directions[0, :, None] * t[..., None]
        if looks_up(field):
            raw = field.raw_density(points.flatten(0, 1)[None]).view_as(t)
            visible = ray_weights(field.activate(raw), ends) > NEGLIGIBLE
            again, features = field.raw_of(points[visible], None)
            weights = ray_weights(field.activate(raw.masked_scatter(visible, again)), ends)
            colour = sum_over_rays(features, weights[visible], visible.nonzero()[:, 0], t.shape[:1])
        else:
            raw, features = field.raw(points.flatten(0, 1)[None])
            weights = ray_weights(field.activate(raw.view_as(t)), ends)
            colour = (weights[:, None] @ features.view(*t.shape, -1))[:, 0]
        return RayRendering(colour[None], (weights * t).sum(-1)[None], weights.sum(-1)[None])

    def proposal(self) -> Proposal[float]:
        """One step on rays of all views."""
        config, R, N = self.config, self.config.rays, self.config.samples
        heights = torch.rand(R, generator=self.draws, dtype=torch.float64).to(self.ladder) * self.ladder[-1]
        pixel = torch.searchsorted(self.ladder, heights).clamp(max=len(self.ladder) - 1)
        jitter = torch.rand(1, R, 1, generator=self.draws).to(self.mask)
        places = torch.rand(1, R, N, generator=self.draws).to(self.mask)
        planes = self.planes()
        field = prepare(TriplaneField(planes, self.decoder, self.field))
        rendering = in_pieces(
            self.pieces,
            lambda origins, directions, draws: self._cast(field, origins, directions, draws),
            self.origins[pixel][None],
            self.directions[pixel][None],
            Draws(jitter, places),
        )
        colour = field.rgb(rendering.features, rendering.opacity[..., None])[0]
        mask = self.mask[pixel]
        stress = config.held if self.step_count < HELD_SHARE * self.steps else 1.0
        loss = (colour - self.colour[pixel]).square().mean()
        loss = loss + config.opacity * stress * (rendering.opacity[0] - mask).square().mean()
        loss = loss + config.void * self._matter_in_the_void(field)
        loss = loss + config.smooth * total_variation(planes) + config.small * l2(planes)
        gradients = torch.autograd.grad(loss, list(self.variables.values()))
        cover = (rendering.opacity[0].detach() * mask).sum() / mask.sum().clamp(min=1e-6)
        rate = falling(config.rate, self.step_count, self.steps, share=0.75)
        return Proposal(
            gradients=dict(zip(self.variables, gradients, strict=True)),
            rate=rate,
            rates={name: config.decoder_rate * rate for name in self.variables if name not in self.levels},
            count=self.step_count + 1,
            numbers=(loss.detach(), *gradients),
            loss=loss.item(),
            report=cover.item(),
        )

    def _matter_in_the_void(self, field: TriplaneField) -> Tensor:
        """How much is seen, [], at random points where a mask shows nothing, and just beyond the box."""
        points = (torch.rand(1, ANYWHERE, 3, generator=self.draws).to(self.mask) - 0.5) * (
            1.05 * self.field.box_side
        )
        points = points[:, self.grid.outside(points[0])]
        if not points.shape[1]:
            return points.new_zeros(())
        return -torch.expm1(-VOID_STEP * field.activate(field.raw(points)[0])).mean()

    def accept(self, proposal: Proposal[float]) -> None:
        """Besides, planes are held to their bounds, the grid follows every few steps, and a fit that went empty is stopped.

        Raises:
            ValueError: hardly anything is left of what the masks show.
        """
        super().accept(proposal)
        if (
            self.config.clamp
        ):  # the finest planes give back what is too much: a bound in the sum would stop its slopes
            with torch.no_grad():
                total = self.planes()
                self.variables[self.levels[-1]].sub_(total - total.clamp(-1, 1))
        late = self.step_count > 2 * HELD_SHARE * self.steps
        if late and (proposal.report or 0.0) < COLLAPSED:
            raise ValueError(
                f"fit head: expected to see what the masks show, but after {self.step_count} steps only {proposal.report:.0%} of it is left; "
                "check that cameras, masks and images belong together, or lower the rate"
            )
        if self.step_count % self.config.refresh_every == 0:
            with torch.no_grad():
                field = prepare(TriplaneField(self.planes(), self.decoder, self.field))
            early = self.step_count <= 2 * HELD_SHARE * self.steps
            self.grid = hull.refresh(self.grid, field, 1.0 if early else 0.5, 0.8, self.draws)

    def beside(self) -> dict[str, Tensor]:
        return {"grid": self.grid.density}

    def resume_beside(self, saved: SavedState) -> None:
        density = saved.finite("grid", self.grid.density.shape)
        self.grid = hull.Hull(self.grid.allowed, density.clone(), self.grid.cell, self.grid.resolution)

    @torch.no_grad()
    def head(self) -> Head:
        """The head as it stands, detached."""
        return Head(self.planes().clone(), deepcopy(self.decoder).requires_grad_(False), self.field)


def fit(
    views: Views,
    field: FieldConfig,
    decoder: nn.Module,
    config: FitConfig,
    *,
    generator: torch.Generator,
    start: Tensor | None = None,
    learn_decoder: bool = False,
    state: Mapping[str, Tensor] | None = None,
    callback: Callable[[Progress[float]], None] | None = None,
) -> Head:
    """Planes of a head from views of it (stage 2 of RodinHD's fitting).

    Args:
        views: of `views_of`. field: of the planes. decoder: shared by all heads, frozen; it is not changed.
        generator: a CPU generator; the seed of all draws.
        start: planes [1, 3, C, (D,) r, r] to begin with, such as the mean of many heads'; None for random ones.
        learn_decoder: whether a copy of the decoder learns beside the planes, for a head that no diffusion model will read.
        state: of an earlier call with the same arguments; it goes on there. callback: called after each step.

    Raises:
        ValueError: a fit that goes empty, too many steps in a row without finite numbers, a foreign state, or too little memory.
    """
    own = deepcopy(decoder)
    run = Fitting(views, field, own, config, generator, start=start, learn_decoder=learn_decoder)
    run.complete(state, callback)
    return run.head()
