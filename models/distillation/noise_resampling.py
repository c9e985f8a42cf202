"""MV-NRS, the Multi-View Noise Resampling Strategy of Portrait Diffusion: whose noise a view is denoised from (eqs. 10 to 17).

Every view keeps an anchor noise, which first is its driver's, projected (eq. 11), and a target picture. An iteration resamples the noise
near the anchor (10), denoises the view's render from it, and keeps the new noise and target only if their gradient agrees better with the
driver's (12 to 15). The gradients of all views are summed (16). What the paper leaves open, and how it is filled: models/README.md.

`iterate` is the readable form, `iterate_fast` the same in fewer calls of denoiser and renderer; they give the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..projection import Projector

UNDRIVEN = -1  # in a driver's place: nobody drives this view, which is the photo's
STRATEGIES = ("mvnrs", "random", "anchor", "resampled")  # of table 2b
Gradient = list[Tensor]  # one for each parameter


class Scene(Protocol):
    """What is refined, seen from fixed cameras.

    Attributes:
        order: (view, its driver) in chains outward from the front, which comes first and is driven by UNDRIVEN.
        parameters: Psi; leaves that need gradients.
    """

    @property
    def order(self) -> Sequence[tuple[int, int]]: ...

    @property
    def parameters(self) -> Sequence[Tensor]: ...

    def render(self, view: int) -> Tensor:
        """A picture with a graph to the parameters, as `loss` takes it."""
        ...

    def look(self, views: Sequence[int]) -> Tensor:
        """Whole pictures [N, ...] without graphs, as `denoise` takes them of drivers."""
        ...

    def loss(self, picture: Tensor, target: Tensor) -> Tensor:
        """L_I of eq. 12: of a picture of `render`, and a target as `denoise` gives it."""
        ...

    def denoise(
        self, views: Sequence[int], noise: Tensor, t: int, drivers: Sequence[Tensor | None]
    ) -> Tensor:
        """I^D: the views' renders with noise [N, C, h, w] at t, denoised; drivers: their drivers' pictures, None for the front's.

        Returns:
            [N, ...] without a graph.
        """
        ...


@dataclass(frozen=True)
class ViewState:
    """Of one view. Attributes: anchor: [C, h, w], epsilon^Ac. target: I_{v, s}, None before the first iteration."""

    anchor: Tensor
    target: Tensor | None = None


@dataclass(frozen=True)
class Verdict:
    """What one view's iteration came to. Attributes: renewed: whether the resampled noise was taken over. new, old: its scores, eq. 14."""

    renewed: bool
    new: float = math.nan
    old: float = math.nan


@dataclass(frozen=True)
class Iteration:
    """Attributes: gradient: Grad_s of eq. 16, one tensor a parameter. states, verdicts: by view."""

    gradient: Gradient
    states: dict[int, ViewState]
    verdicts: dict[int, Verdict]


def anchor_noise(
    order: Sequence[tuple[int, int]],
    projectors: dict[int, Projector],
    shape: tuple[int, int, int],
    generator: torch.Generator,
) -> dict[int, Tensor]:
    """Eq. 11: the front's noise is drawn; every other view's is its driver's, projected, with fresh noise in the void.

    Args:
        projectors: of every driven view, from its driver. shape: (C, h, w) of the latents.

    Returns:
        By view, [C, h, w] each, on the CPU.
    """
    noise: dict[int, Tensor] = {}
    for view, driver in order:
        fresh = torch.randn(shape, generator=generator)
        if driver != UNDRIVEN:
            splat = projectors[view].splat(shape[-2:])
            fresh = fresh.to(splat.distance)
            fresh = splat.carry_noise(noise[driver].to(fresh), fresh)
        noise[view] = fresh.cpu()
    return noise


def resample(anchor: Tensor, sigma: float, generator: torch.Generator) -> Tensor:
    """Eq. 10: noise near the anchor, of the same variance."""
    fresh = torch.randn(anchor.shape, generator=generator).to(anchor)
    return math.sqrt(1 - sigma**2) * anchor + sigma * fresh


def score(gradient: Gradient, driver: Gradient) -> float:
    """Eq. 14: cosine between two gradients, over all parameters at once, in float32."""
    a, b = (torch.cat([part.flatten().float() for part in one]) for one in (gradient, driver))
    return float((a @ b) / (a.norm() * b.norm()).clamp_min(1e-8))


def gradient_of(scene: Scene, picture: Tensor, target: Tensor) -> Gradient:
    """Eqs. 12 and 13: [...] of each parameter's shape; the picture's graph stays for another target."""
    gradients = torch.autograd.grad(
        scene.loss(picture, target), list(scene.parameters), retain_graph=True, allow_unused=True
    )
    return [torch.zeros_like(p) if g is None else g for g, p in zip(gradients, scene.parameters, strict=True)]


def candidate(
    state: ViewState, driver: int, strategy: str, sigma: float, generator: torch.Generator
) -> Tensor:
    """The noise [C, h, w] that a view tries in this iteration.

    The front keeps its own, as do all under "anchor", and under "mvnrs" those that have nothing to compare a
    new one with yet; under "random" it is any.
    """
    if strategy == "random":
        return torch.randn(state.anchor.shape, generator=generator).to(state.anchor)
    if strategy == "anchor" or driver == UNDRIVEN or (strategy == "mvnrs" and state.target is None):
        return state.anchor
    return resample(state.anchor, sigma, generator)


def driver_picture(
    states: dict[int, ViewState], driver: int, renders: Callable[[int], Tensor]
) -> Tensor | None:
    """What drives a view: its driver's target of the iteration before, its render in the first one.

    Args:
        renders: a view -> its whole picture [...].

    Returns:
        A picture [...] as `Scene.denoise` takes it of drivers; None for the front.
    """
    if driver == UNDRIVEN:
        return None
    target = states[driver].target
    return renders(driver) if target is None else target


def better(new: float, old: float) -> bool:
    """Eq. 15, strictly. What is not a number wins: in the sum of gradients it is noticed, in a target that was dropped it is not."""
    return not new <= old


def iterate(
    scene: Scene,
    states: dict[int, ViewState],
    *,
    t: int,
    sigma: float,
    generator: torch.Generator,
    strategy: str = "mvnrs",
) -> Iteration:
    """One iteration, as the paper writes it.

    Args:
        states: of every view. t: the one timestep of all views and both candidates. strategy: among STRATEGIES.
    """
    check_strategy(strategy)
    now = dict(states)
    gradients: dict[int, Gradient] = {}
    verdicts: dict[int, Verdict] = {}
    for view, driver in scene.order:
        picture = scene.render(view)  # I^R
        noise = candidate(states[view], driver, strategy, sigma, generator)  # (10)
        driving = driver_picture(states, driver, lambda i: scene.look([i])[0])
        target = scene.denoise([view], noise[None], t, [driving])[0]  # I^D
        new = gradient_of(scene, picture, target)  # (12), (13)
        before = states[view].target
        if strategy != "mvnrs" or driver == UNDRIVEN or before is None:  # nothing to compare with
            now[view] = ViewState(noise, target)
            gradients[view] = new
            verdicts[view] = Verdict(True)
            continue
        old = gradient_of(scene, picture, before)
        scores = score(new, gradients[driver]), score(old, gradients[driver])  # (14)
        renewed = better(*scores)  # (15)
        if renewed:
            now[view] = ViewState(noise, target)
        gradients[view] = new if renewed else old
        verdicts[view] = Verdict(renewed, *scores)
    columns = zip(*gradients.values(), strict=True)
    total = [sum(column, torch.zeros_like(column[0])) for column in columns]  # (16)
    return Iteration(total, now, verdicts)


def iterate_fast(
    scene: Scene,
    states: dict[int, ViewState],
    *,
    t: int,
    sigma: float,
    generator: torch.Generator,
    strategy: str = "mvnrs",
) -> Iteration:
    """The same numbers as `iterate`, with one call of the denoiser for all views and one graph a view for both gradients."""
    check_strategy(strategy)
    noise = {
        view: candidate(states[view], driver, strategy, sigma, generator) for view, driver in scene.order
    }
    first = (
        {view: scene.look([view])[0] for view, _ in scene.order}
        if any(one.target is None for one in states.values())
        else {}
    )
    driving = [driver_picture(states, driver, first.__getitem__) for _, driver in scene.order]
    views = [view for view, _ in scene.order]
    targets = dict(
        zip(
            views, scene.denoise(views, torch.stack([noise[view] for view in views]), t, driving), strict=True
        )
    )
    now = dict(states)
    verdicts: dict[int, Verdict] = {}
    gradients: dict[int, Gradient] = {}
    total: Gradient = [torch.zeros_like(p) for p in scene.parameters]
    followers = {
        driver: sum(d == driver for _, d in scene.order) for driver in views
    }  # who still needs a gradient to compare with
    for view, driver in scene.order:
        picture = scene.render(view)
        new = gradient_of(scene, picture, targets[view])
        gradient = new
        verdict = Verdict(True)
        state = ViewState(noise[view], targets[view])
        before = states[view].target
        if strategy == "mvnrs" and driver != UNDRIVEN and before is not None:
            old = gradient_of(scene, picture, before)
            scores = score(new, gradients[driver]), score(old, gradients[driver])
            verdict = Verdict(better(*scores), *scores)
            if not verdict.renewed:
                gradient = old
                state = states[view]
        del picture
        now[view] = state
        verdicts[view] = verdict
        gradients[view] = gradient
        for sums, part in zip(total, gradient, strict=True):
            sums += part
        if driver != UNDRIVEN:
            followers[driver] -= 1
        for i in [i for i in gradients if not followers[i]]:  # a gradient is as large as the planes
            del gradients[i]
    return Iteration(total, now, verdicts)


def check_strategy(strategy: str) -> None:
    """Raises ValueError for one that is not known."""
    if strategy not in STRATEGIES:
        raise ValueError(
            f"noise resampling: expected a strategy among {', '.join(STRATEGIES)}, got {strategy!r}; choose one of them"
        )


def renewed_share(verdicts: dict[int, Verdict]) -> float:
    """How many of the compared views took the resampled noise; NaN where none was compared."""
    choices = [one.renewed for one in verdicts.values() if not math.isnan(one.new)]
    return sum(choices) / len(choices) if choices else math.nan


def mean_scores(verdicts: dict[int, Verdict]) -> tuple[float, float] | None:
    """New and old scores, each the mean over the compared views; None where none was compared."""
    scores = [(one.new, one.old) for one in verdicts.values() if not math.isnan(one.new)]
    if not scores:
        return None
    new, old = (sum(column) / len(scores) for column in zip(*scores, strict=True))
    return new, old
