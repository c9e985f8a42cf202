"""The refinement loop of Portrait Diffusion: a head's planes follow what a diffusion model makes of its views (eqs. 5 and 10 to 17).

The views are fixed: the photo's, a ring in chains outward from it, one above and one below. Every iteration denoises all but the photo's
under HPDM from noise that `noise_resampling` chooses, and moves the planes by the sum of their gradients; the photo is held by L_ref.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..camera import Camera
from ..diffusion.autoencoder import factor
from ..diffusion.hpdm import Hpdm
from ..diffusion.new_views import Coarse, DiffusionModel
from ..diffusion.schedule import annealed_t
from ..fitting.finite import FiniteSteps
from ..fitting.interrupts import taken_back
from ..fitting.inversion import adam_step
from ..fitting.photo_losses import field_drift
from ..head import Head
from .head_scene import SEEN, HeadScene, TakenPixels, enlarged, refinement_cameras, view_order
from .noise_resampling import PHOTO, STRATEGIES, Iteration, Kept, anchor_noise, iterate_fast, mean_scores

LEAST_VIEWS, MOST_VIEWS = 2, 64


@dataclass(frozen=True, kw_only=True)
class RefineConfig:
    """How a head is refined.

    Attributes:
        iterations: of all views. denoising_steps: K, from t to 0. first_t, last_t: shares of the schedule that t is annealed between.
        sigma: of eq. 10 at first; annealed to 0. strategy: of the noise, among STRATEGIES.
        guidance, weight: of classifier-free guidance and w^Ex. blend: share of the side over which what a driver shows is laid over the
            target that it drives; 0 leaves it out.
        rate: of Adam. rays: drawn in each view and iteration; 0 for all. coarse, fine: samples a ray, 0 for the head's own.
        size: pixels of the views.
        views: in the ring. image, reference, mask: weights of L_I, of L_ref's colours and of its silhouette.
        keep_shape: weight of the surface's distance from the one before, at random points.
        multi_step: weight of the paper's additional loss, image-supervised by K_multi more steps of denoising; 0 for none.
        multi_steps: K_multi. refresh: iterations after which depth, coarse renders and normals are taken anew.
        resolution: of the planes, which are enlarged to it at first; 0 to leave them.
    """

    iterations: int = 12
    denoising_steps: int = 4
    first_t: float = 0.35
    last_t: float = 0.15
    sigma: float = 0.2
    strategy: str = "mvnrs"
    guidance: float = 1.0
    weight: float = 1.0
    blend: float = 0.012
    rate: float = 0.07
    rays: int = 4096
    coarse: int = 0
    fine: int = 0
    size: int = 256
    views: int = 8
    image: float = 1.0
    reference: float = 2.0
    mask: float = 0.3
    keep_shape: float = 4.0
    multi_step: float = 0.0
    multi_steps: int = 8
    refresh: int = 10
    resolution: int = 0

    def __post_init__(self) -> None:
        whole = (self.iterations, self.denoising_steps, self.views, self.refresh, self.multi_steps)
        if min(whole) < 1 or not 0 < self.last_t <= self.first_t < 1 or not 0 <= self.sigma < 1 or self.strategy not in STRATEGIES:
            raise ValueError(
                f"RefineConfig: expected whole numbers from 1, 0 < last_t <= first_t < 1, 0 <= sigma < 1 and a strategy among "
                f"{', '.join(STRATEGIES)}, got {self}; use a preset"
            )

    def t(self, done: int, count: int) -> int:
        """The one timestep of an iteration. Args: count: of the schedule's timesteps."""
        share = done / max(self.iterations - 1, 1)
        return annealed_t(share, round(self.first_t * count), round(self.last_t * count))

    def noise(self, done: int) -> float:
        """sigma of an iteration."""
        return self.sigma * (1 - done / max(self.iterations, 1))


PRESETS = {
    "fast": RefineConfig(),
    "detail": RefineConfig(iterations=40, denoising_steps=8, rays=8192, views=12, rate=0.05, resolution=320),
}


@dataclass(frozen=True)
class RefineProgress:
    """What a callback sees after each iteration.

    Attributes:
        step: iterations done. steps: in all. report: of the iteration, None where it was skipped. skipped: so far.
        head: makes the head as it stands. state: makes tensors from which the call goes on.
    """

    step: int
    steps: int
    report: Iteration | None
    skipped: int
    head: Callable[[], Head]
    state: Callable[[], dict[str, Tensor]]


@dataclass(frozen=True)
class Refined:
    """Attributes: head: the refined one. targets: [V, 3, S, S], what the views were last pulled to, the photo's first.
    scores: of iterations, means of the compared views' (new, old) scores, eq. 14."""

    head: Head
    targets: Tensor
    scores: list[tuple[float, float]]


class Refinement:
    """The variables of one refinement and its iteration; `refine` runs it."""

    def __init__(
        self,
        head: Head,
        model: DiffusionModel,
        network: Hpdm | None,
        config: RefineConfig,
        generator: torch.Generator,
        cameras: Camera | None = None,
    ) -> None:
        if head.reference is None:
            raise ValueError(
                "refine: expected a head with its photo, got one without; use the head of an inversion or of Feed-Forward Head"
            )
        if cameras is not None and not LEAST_VIEWS <= len(cameras.cam2world) <= MOST_VIEWS:
            raise ValueError(
                f"refine: expected {LEAST_VIEWS} to {MOST_VIEWS} cameras beside the photo's, got {len(cameras.cam2world)}; "
                "change the count of Camera Orbit, or wire none"
            )
        self.original, self.config, self.generator = head, config, generator
        head = enlarged(head, config.resolution)
        device, photo = head.planes.device, head.reference.to(head.planes.device)
        image, mask = (
            F.interpolate(x[None], size=(config.size, config.size), mode="bilinear", antialias=True)[0].clamp(0, 1)
            for x in (photo.on_white(), photo.mask)
        )
        around = refinement_cameras(config.views, device) if cameras is None else cameras.to(device)
        cameras = photo.camera.before(around)
        leaf = replace(head, planes=head.planes.detach().clone().requires_grad_())
        self.scene = HeadScene(leaf, cameras, view_order(cameras), model, network, config, image, mask[0])
        self.pivot = replace(head, planes=head.planes.detach().clone()).field()
        self.moments = torch.zeros_like(leaf.planes), torch.zeros_like(leaf.planes)
        self.step_count, self.finite = 0, FiniteSteps("refine", config.iterations)
        self.kept: dict[int, Kept] = {}
        self.scores: list[tuple[float, float]] = []

    def start(self) -> None:
        """Geometry and anchors of the first iteration."""
        scene, f = self.scene, factor(self.scene.model.vae)
        scene.refresh()
        coarse, side = scene.coarse, self.config.size // f
        found = {
            view: coarse.driving(driver, coarse.rgb[driver]).to(scene.cameras[view]) for view, driver in scene.order if driver != PHOTO
        }
        shape = (scene.model.denoiser.latent_channels, side, side)
        anchors = anchor_noise(scene.order, found, shape, self.generator)
        self.kept = {view: Kept(anchors[view].to(coarse.rgb).contiguous()) for view, _ in scene.order}

    def reference_gradient(self) -> Tensor:
        """Of L_ref and of what keeps the surface."""
        scene, config = self.scene, self.config
        colour, opacity = scene.seen(0)
        truth, mask = scene.taken(0, scene.photo), scene.photo_mask.flatten()[scene.pixels[0]]
        loss = config.reference * (colour - truth).square().mean() + config.mask * (opacity - mask).square().mean()
        if config.keep_shape:
            shape, _ = field_drift(scene.head.field(), self.pivot, self.generator)
            loss = loss + config.keep_shape * shape
        return torch.autograd.grad(loss, scene.head.planes)[0]

    def multi_step_gradient(self, t: int) -> Tensor:
        """The paper's additional loss: one view's render against its own denoised in many steps from fresh noise."""
        scene, config = self.scene, self.config
        view, driver = scene.order[self.step_count % len(scene.order)]
        noise = torch.randn(self.kept[view].anchor.shape, generator=self.generator)[None]
        told = None if driver == PHOTO else self.kept[driver].target
        told = scene.look([driver])[0] if told is None and driver != PHOTO else told
        target = scene.denoised([view], noise, t, [told], config.multi_steps)[0]
        loss = config.multi_step * (scene.render(view) - scene.taken(view, target)).square().mean()
        return torch.autograd.grad(loss, scene.head.planes)[0]

    def iteration(self) -> Iteration | None:
        """One iteration; None where it was skipped for numbers that are not finite.

        Raises:
            ValueError: too many of those in a row.
        """
        scene, config = self.scene, self.config
        if self.step_count == 0 and not self.kept:
            self.start()
        elif self.step_count % config.refresh == 0:
            scene.refresh()
        scene.begin(self.generator)
        t = config.t(self.step_count, len(scene.model.denoiser.schedule))
        found = iterate_fast(
            TakenPixels(scene), self.kept, t=t, sigma=config.noise(self.step_count), generator=self.generator, strategy=config.strategy
        )
        gradient = found.gradient[0] + self.reference_gradient()
        if config.multi_step:
            gradient = gradient + self.multi_step_gradient(t)
        self.step_count += 1
        targets = [one.target for one in found.kept.values()]
        if not self.finite.accepts(gradient, *targets):
            return None
        self.kept = found.kept
        scores = mean_scores(found.judged)
        self.scores += [] if scores is None else [scores]
        rate = config.rate * min(1, (1 - (self.step_count - 1) / config.iterations) / 0.25)
        with torch.no_grad():
            adam_step(scene.head.planes, gradient, *self.moments, rate, self.step_count)
        return found

    def refined(self) -> Head:
        """The head as it stands."""
        return replace(self.scene.head, planes=self.scene.head.planes.detach())

    def result(self) -> Refined:
        """After at least one iteration that counted."""
        return Refined(self.refined(), torch.stack([self.kept[view].target for view in sorted(self.kept)]), self.scores)

    def state(self) -> dict[str, Tensor]:
        """Everything that `restore` needs to go on with the same bits."""
        coarse = self.scene.coarse
        kept = {f"anchor.{view}": one.anchor for view, one in self.kept.items()}
        kept |= {f"target.{view}": one.target for view, one in self.kept.items() if one.target is not None}
        numbers = torch.tensor([self.step_count, self.finite.skipped, self.finite.in_a_row])
        seen = {f"coarse.{name}": getattr(coarse, name) for name in SEEN}
        seen["scores"] = torch.tensor(self.scores, dtype=torch.float64).view(-1, 2)
        own = {"planes": self.scene.head.planes.detach(), "first": self.moments[0], "second": self.moments[1]}
        return {"numbers": numbers, "draws": self.generator.get_state(), **{k: v.clone() for k, v in (own | kept | seen).items()}}

    @torch.no_grad()
    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Go on from a `state`."""
        scene, device = self.scene, self.scene.head.planes.device
        self.step_count, self.finite.skipped, self.finite.in_a_row = tensors["numbers"].tolist()
        self.generator.set_state(tensors["draws"])
        self.scores = [(new, old) for new, old in tensors["scores"].tolist()]
        for own, name in ((scene.head.planes, "planes"), (self.moments[0], "first"), (self.moments[1], "second")):
            own.copy_(tensors[name])
        seen = [tensors[f"coarse.{name}"].to(device) for name in SEEN]
        scene.coarse = Coarse(*seen, scene.cameras)
        scene.told_geometry()
        self.kept = {
            view: Kept(tensors[f"anchor.{view}"].to(device), tensors[f"target.{view}"].to(device) if f"target.{view}" in tensors else None)
            for view, _ in scene.order
        }


def refine(
    head: Head,
    model: DiffusionModel,
    network: Hpdm | None,
    config: RefineConfig,
    *,
    generator: torch.Generator,
    cameras: Camera | None = None,
    state: dict[str, Tensor] | None = None,
    callback: Callable[[RefineProgress], None] | None = None,
    after_call: Callable[[], None] | None = None,
) -> Refined:
    """Refine a head with its photo (Portrait Diffusion, eq. 5).

    Args:
        model, network: on the head's device. generator: a CPU generator; the seed of all draws.
        cameras: [V] to look from beside the photo's; None for a ring of `config.views`, one above and one below.
        state: of an earlier call with the same arguments; it goes on there. callback: called after each iteration.
        after_call: called after each of the denoiser's calls and each view's rendering; may raise to interrupt.

    Returns:
        A head with other planes, whose decoder and super-resolution stay, and what it was pulled to.

    Raises:
        ValueError: a head without its photo, too few or too many cameras, or numbers that are not finite in too many iterations.
    """
    run = Refinement(head, model, network, config, generator, cameras)
    run.scene.after_call = after_call
    if state is not None:
        run.restore(state)
    while run.step_count < config.iterations:
        with taken_back(generator):
            report = run.iteration()
        if callback is not None:
            callback(RefineProgress(run.step_count, config.iterations, report, run.finite.skipped, run.refined, run.state))
    return run.result()
