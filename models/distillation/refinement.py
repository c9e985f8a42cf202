"""The refinement loop of Portrait Diffusion: a head's planes follow what a diffusion model makes of its views
(eqs. 5 and 10 to 17).

The views are fixed: the photo's, a ring in chains outward from it, one above and one below. Every iteration
denoises all but the photo's under HPDM from noise that `noise_resampling` chooses, and moves the planes by the sum
of their gradients; the photo is held by L_ref.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor

from ..camera import Camera
from ..diffusion.autoencoder import factor
from ..diffusion.hpdm import Hpdm
from ..diffusion.new_views import Coarse, DiffusionModel
from ..diffusion.usage import Usage, chosen_guidance, chosen_size
from ..field.geometry import RATE
from ..fitting.photo_losses import field_drift
from ..fitting.run import Progress, Proposal, Run, falling
from ..fitting.state import PARTS, SavedState
from ..head import Head
from .head_scene import RefineConfig, head_scene, with_resolution
from .noise_resampling import (
    UNDRIVEN,
    Iteration,
    ViewState,
    anchor_noise,
    driver_picture,
    iterate_fast,
    mean_scores,
)
from .views import refinement_cameras, view_order

LEAST_VIEWS, MOST_VIEWS = 2, 64
COARSE = ("rgb", "normal", "distance", "mask")  # of coarse views, in a state's order


PRESETS = {
    "fast": RefineConfig(),
    "detail": RefineConfig(iterations=40, denoising_steps=8, rays=8192, views=12, rate=0.05, resolution=320),
}


def for_model(config: RefineConfig, usage: Usage, *, size: int = 0, guidance: float = -1.0) -> RefineConfig:
    """A preset at a model's size, guidance and timesteps.

    Args:
        size: pixels, 0 for the model's. guidance: less than 0 for the model's.

    Raises:
        ValueError: as `chosen_size`.
    """
    first, last = usage.refinement_t
    return replace(
        config,
        size=chosen_size(size, usage.size),
        guidance=chosen_guidance(guidance, usage.refinement),
        first_t=first,
        last_t=last,
    )


@dataclass(frozen=True)
class Refined:
    """What a refinement comes to.

    Attributes:
        head: the refined one. targets: [V, 3, S, S], what the views were last pulled to, the photo's first.
        scores: of iterations, means of the compared views' (new, old) scores, eq. 14.
    """

    head: Head
    targets: Tensor
    scores: list[tuple[float, float]]


class Refinement(Run[Iteration]):
    """The variables of one refinement and its iteration; `refine` runs it."""

    name = "refine"
    advice = "check the head and the diffusion model, or run them in float32"

    def __init__(
        self,
        head: Head,
        model: DiffusionModel,
        network: Hpdm | None,
        config: RefineConfig,
        generator: torch.Generator,
        cameras: Camera | None = None,
    ) -> None:
        reference = head.reference
        if reference is None:
            raise ValueError(
                "refine: expected a head with its photo, got one without; use the head of an inversion or of Feed-Forward Head"
            )
        if cameras is not None and not LEAST_VIEWS <= len(cameras.cam2world) <= MOST_VIEWS:
            raise ValueError(
                f"refine: expected {LEAST_VIEWS} to {MOST_VIEWS} cameras beside the photo's, got {len(cameras.cam2world)}; "
                "change the count of Camera Orbit, or wire none"
            )
        self.config = config
        head = with_resolution(head, config.resolution)
        device = head.planes.device
        photo = reference.to(device)
        size = config.size, config.size
        image, mask = (
            F.interpolate(x[None], size=size, mode="bilinear", antialias=True)[0].clamp(0, 1)
            for x in (photo.on_white(), photo.mask)
        )
        around = refinement_cameras(config.views, device) if cameras is None else cameras.to(device)
        cameras = photo.camera.before(around)
        leaf = replace(head, planes=head.planes.detach().clone().requires_grad_())
        bends = {name: bend.requires_grad_() for name, bend in head.bends().items()}
        super().__init__(config.iterations, generator, {"planes": leaf.planes, **bends})
        order, bend = view_order(cameras), bends.get("bend")
        self.scene = head_scene(leaf, cameras, order, model, network, config, image, bend)
        self.scene.pixels.pieces = self.pieces
        self.photo_mask = mask[0]
        self.pivot = head.mapped(lambda planes: planes.detach().clone()).field()
        self.view_states: dict[int, ViewState] = {}
        self.scores: list[tuple[float, float]] = []

    def start(self) -> None:
        """Geometry and anchors of the first iteration."""
        scene = self.scene
        denoiser = scene.denoiser
        scene.refresh()
        coarse = denoiser.coarse
        side = self.config.size // factor(denoiser.model.vae)
        projectors = {
            view: coarse.driving(driver, coarse.rgb[driver]).to(denoiser.cameras[view])
            for view, driver in scene.order
            if driver != UNDRIVEN
        }
        shape = (denoiser.model.denoiser.latent_channels, side, side)
        anchors = anchor_noise(scene.order, projectors, shape, self.draws)
        self.view_states = {
            view: ViewState(anchors[view].to(coarse.rgb).contiguous()) for view, _ in scene.order
        }

    def reference_gradient(self) -> tuple[Tensor, ...]:
        """Of L_ref and of what keeps the surface; of each variable's shape, the planes' [1, 3, C, (D,) H, W] first."""
        scene, config = self.scene, self.config
        pixels = scene.pixels
        colour, opacity = pixels.render(0)
        truth = pixels.sample(0, scene.photo)
        mask = self.photo_mask.flatten()[pixels.of_view[0]]
        loss = config.reference * (colour - truth).square().mean()
        loss = loss + config.mask * (opacity - mask).square().mean()
        if config.keep_shape:
            shape, _ = field_drift(pixels.current().field(), self.pivot, self.draws)
            loss = loss + config.keep_shape * shape
        return torch.autograd.grad(loss, pixels.leaves)

    def multi_step_gradient(self, t: int) -> tuple[Tensor, ...]:
        """The paper's additional loss: one view's render against its own denoised in many steps from fresh noise.

        Args:
            t: its timestep.

        Returns:
            Of each variable's shape, the planes' [1, 3, C, (D,) H, W] first.
        """
        scene, config = self.scene, self.config
        pixels = scene.pixels
        view, driver = scene.order[self.step_count % len(scene.order)]
        noise = torch.randn(self.view_states[view].anchor.shape, generator=self.draws)[None]
        driving = driver_picture(self.view_states, driver, lambda i: scene.look([i])[0])
        target = scene.targets([view], noise, t, [driving], config.multi_steps)[0]
        loss = config.multi_step * (scene.render(view) - pixels.sample(view, target)).square().mean()
        return torch.autograd.grad(loss, pixels.leaves)

    def proposal(self) -> Proposal[Iteration]:
        """One iteration."""
        scene, config = self.scene, self.config
        step = self.step_count
        if step == 0:
            self.start()
        elif step % config.refresh == 0:
            scene.refresh()
        scene.begin(self.draws)
        t = config.t(step, len(scene.denoiser.model.denoiser.schedule))
        iteration = iterate_fast(
            scene,
            self.view_states,
            t=t,
            sigma=config.noise(step),
            generator=self.draws,
            strategy=config.strategy,
        )
        parts = [iteration.gradient, self.reference_gradient()]
        if config.multi_step:
            parts.append(self.multi_step_gradient(t))
        gradients = [reduce(torch.add, one) for one in zip(*parts, strict=True)]
        rate = falling(config.rate, step, config.iterations)
        return Proposal(
            gradients=dict(zip(self.variables, gradients, strict=True)),
            rate=rate,
            rates={"bend": RATE * rate},
            count=step + 1,
            numbers=(*gradients, *targets_of(iteration.states).values()),
            report=iteration,
        )

    def accept(self, proposal: Proposal[Iteration]) -> None:
        if proposal.report is None:
            raise ValueError(
                "refine: expected a proposal with its iteration, got none; pass one of `proposal`"
            )
        self.view_states = proposal.report.states
        scores = mean_scores(proposal.report.verdicts)
        self.scores += [] if scores is None else [scores]
        super().accept(proposal)

    def iteration(self) -> Iteration | None:
        """One iteration; None where it was skipped for numbers that are not finite.

        Raises:
            ValueError: as `step`.
        """
        return self.step().report

    def head(self) -> Head:
        return self.scene.pixels.current().mapped(torch.detach)

    def result(self) -> Refined:
        """After at least one iteration that counted."""
        targets = targets_of(self.view_states)
        return Refined(self.head(), torch.stack([targets[view] for view in sorted(targets)]), self.scores)

    def beside(self) -> dict[str, Tensor]:
        """Anchors [C, h, w], targets [3, S, S], what is `Coarse`, and `scores` [N, 2] float64."""
        anchors = {f"anchor.{view}": one.anchor for view, one in self.view_states.items()}
        targets = {f"target.{view}": target for view, target in targets_of(self.view_states).items()}
        coarse = {f"coarse.{name}": getattr(self.scene.denoiser.coarse, name) for name in COARSE}
        scores = torch.tensor(self.scores, dtype=torch.float64).view(-1, 2)
        return anchors | targets | coarse | {"scores": scores}

    def resume_beside(self, saved: SavedState) -> None:
        pixels, denoiser = self.scene.pixels, self.scene.denoiser
        S = self.config.size
        V = len(pixels.cameras.cam2world)
        device = pixels.head.planes.device
        side = S // factor(denoiser.model.vae)
        shapes = dict(zip(COARSE, [(V, 3, S, S)] * 2 + [(V, S, S)] * 2, strict=True))
        rgb, normal, distance, mask = (
            saved.take(f"coarse.{name}", shape).to(device) for name, shape in shapes.items()
        )
        latents = (denoiser.model.denoiser.latent_channels, side, side)
        self.scores = [(new, old) for new, old in saved.take("scores", (None, 2)).tolist()]
        states = {}
        for view, _ in self.scene.order:
            anchor = saved.take(f"anchor.{view}", latents).to(device)
            name = f"target.{view}"
            target = saved.take(name, (3, S, S)).to(device) if name in saved else None
            states[view] = ViewState(anchor, target)
        self.view_states = states
        denoiser.tell(Coarse(rgb, normal, distance, mask, pixels.cameras))

    def old_names(self) -> Mapping[str, str]:
        return {"planes": "value.planes", **{part: f"{part}.planes" for part in PARTS[1:]}}


def targets_of(states: Mapping[int, ViewState]) -> dict[int, Tensor]:
    """Targets [3, S, S] by view, of those that have one."""
    return {view: one.target for view, one in states.items() if one.target is not None}


def refine(
    head: Head,
    model: DiffusionModel,
    network: Hpdm | None,
    config: RefineConfig,
    *,
    generator: torch.Generator,
    cameras: Camera | None = None,
    state: dict[str, Tensor] | None = None,
    callback: Callable[[Progress[Iteration]], None] | None = None,
    after_call: Callable[[], None] | None = None,
) -> Refined:
    """Refine a head with its photo (Portrait Diffusion, eq. 5).

    Args:
        model, network: on the head's device. generator: a CPU generator; the seed of all draws.
        cameras: [V] to look from beside the photo's; None for a ring of `config.views`, one above, one below.
        state: of an earlier call with the same arguments; it goes on there.
        callback: called after each iteration.
        after_call: called after each of the denoiser's calls and each view's rendering; may interrupt by raising.

    Returns:
        A head with other planes, whose decoder and super-resolution stay, and what it was pulled to.

    Raises:
        ValueError: a head without its photo, too few or too many cameras, too many iterations in a row whose
            numbers are not finite, a foreign state, or too little memory.
    """
    run = Refinement(head, model, network, config, generator, cameras)
    run.scene.pixels.after_call = run.scene.denoiser.after_call = after_call
    run.complete(state, callback)
    return run.result()
