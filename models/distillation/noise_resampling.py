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

PHOTO = -1  # in a driver's place: the view that nobody drives, the front
STRATEGIES = ("mvnrs", "random", "anchor", "resampled")  # of table 2b
Gradient = list[Tensor]  # one for each parameter


class Scene(Protocol):
    """What is refined, seen from fixed cameras.

    Attributes:
        order: (view, its driver) in chains outward from the front, which comes first and is driven by PHOTO.
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
class Kept:
    """Of one view. Attributes: anchor: [C, h, w], epsilon^Ac. target: I_{v, s}, None before the first iteration."""

    anchor: Tensor
    target: Tensor | None = None


@dataclass(frozen=True)
class Judged:
    """What one view's iteration came to. Attributes: renewed: whether the resampled noise was kept. new, old: its scores, eq. 14."""

    renewed: bool
    new: float = math.nan
    old: float = math.nan


@dataclass(frozen=True)
class Iteration:
    """Attributes: gradient: Grad_s of eq. 16, one tensor a parameter. kept, judged: by view."""

    gradient: Gradient
    kept: dict[int, Kept]
    judged: dict[int, Judged]


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
        if driver != PHOTO:
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
    found = torch.autograd.grad(
        scene.loss(picture, target), list(scene.parameters), retain_graph=True, allow_unused=True
    )
    return [torch.zeros_like(p) if g is None else g for g, p in zip(found, scene.parameters, strict=True)]


def candidate(kept: Kept, driver: int, strategy: str, sigma: float, generator: torch.Generator) -> Tensor:
    """The noise [C, h, w] that a view tries in this iteration.

    The front keeps its own, as do all under "anchor", and under "mvnrs" those that have nothing to compare a
    new one with yet; under "random" it is any.
    """
    if strategy == "random":
        return torch.randn(kept.anchor.shape, generator=generator).to(kept.anchor)
    if strategy == "anchor" or driver == PHOTO or (strategy == "mvnrs" and kept.target is None):
        return kept.anchor
    return resample(kept.anchor, sigma, generator)


def driver_picture(kept: dict[int, Kept], driver: int, renders: Callable[[int], Tensor]) -> Tensor | None:
    """What drives a view: its driver's target of the iteration before, its render in the first one.

    Args:
        renders: a view -> its whole picture [...].

    Returns:
        A picture [...] as `Scene.denoise` takes it of drivers; None for the front.
    """
    if driver == PHOTO:
        return None
    target = kept[driver].target
    return renders(driver) if target is None else target


def better(new: float, old: float) -> bool:
    """Eq. 15, strictly. What is not a number wins: in the sum of gradients it is noticed, in a target that was dropped it is not."""
    return not new <= old


def iterate(
    scene: Scene,
    kept: dict[int, Kept],
    *,
    t: int,
    sigma: float,
    generator: torch.Generator,
    strategy: str = "mvnrs",
) -> Iteration:
    """One iteration, as the paper writes it.

    Args:
        kept: of every view. t: the one timestep of all views and both candidates. strategy: among STRATEGIES.
    """
    check_strategy(strategy)
    now, applied, judged = dict(kept), {}, {}
    for view, driver in scene.order:
        picture = scene.render(view)  # I^R
        noise = candidate(kept[view], driver, strategy, sigma, generator)  # (10)
        driving = driver_picture(kept, driver, lambda i: scene.look([i])[0])
        target = scene.denoise([view], noise[None], t, [driving])[0]  # I^D
        new = gradient_of(scene, picture, target)  # (12), (13)
        before = kept[view].target
        if strategy != "mvnrs" or driver == PHOTO or before is None:  # nothing to compare with
            now[view], applied[view], judged[view] = Kept(noise, target), new, Judged(True)
            continue
        old = gradient_of(scene, picture, before)
        scores = score(new, applied[driver]), score(old, applied[driver])  # (14)
        renewed = better(*scores)  # (15)
        if renewed:
            now[view] = Kept(noise, target)
        applied[view], judged[view] = new if renewed else old, Judged(renewed, *scores)
    total = [sum(parts, torch.zeros_like(parts[0])) for parts in zip(*applied.values(), strict=True)]  # (16)
    return Iteration(total, now, judged)


def iterate_fast(
    scene: Scene,
    kept: dict[int, Kept],
    *,
    t: int,
    sigma: float,
    generator: torch.Generator,
    strategy: str = "mvnrs",
) -> Iteration:
    """The same numbers as `iterate`, with one call of the denoiser for all views and one graph a view for both gradients."""
    check_strategy(strategy)
    noise = {view: candidate(kept[view], driver, strategy, sigma, generator) for view, driver in scene.order}
    first = (
        {view: scene.look([view])[0] for view, _ in scene.order}
        if any(one.target is None for one in kept.values())
        else {}
    )
    told = [driver_picture(kept, driver, first.__getitem__) for _, driver in scene.order]
    views = [view for view, _ in scene.order]
    targets = dict(
        zip(views, scene.denoise(views, torch.stack([noise[view] for view in views]), t, told), strict=True)
    )
    now, judged = dict(kept), {}
    applied: dict[int, Gradient] = {}
    total: Gradient = [torch.zeros_like(p) for p in scene.parameters]
    waiting = {
        driver: sum(d == driver for _, d in scene.order) for driver in views
    }  # who still needs a gradient to compare with
    for view, driver in scene.order:
        picture = scene.render(view)
        new = gradient_of(scene, picture, targets[view])
        chosen, verdict, mine = new, Judged(True), Kept(noise[view], targets[view])
        before = kept[view].target
        if strategy == "mvnrs" and driver != PHOTO and before is not None:
            old = gradient_of(scene, picture, before)
            scores = score(new, applied[driver]), score(old, applied[driver])
            verdict = Judged(better(*scores), *scores)
            chosen, mine = (new, mine) if verdict.renewed else (old, kept[view])
        del picture
        now[view], judged[view], applied[view] = mine, verdict, chosen
        for sums, part in zip(total, chosen, strict=True):
            sums += part
        if driver != PHOTO:
            waiting[driver] -= 1
        for spent in [i for i in applied if not waiting[i]]:  # a gradient is as large as the planes
            del applied[spent]
    return Iteration(total, now, judged)


def check_strategy(strategy: str) -> None:
    """Raises ValueError for one that is not known."""
    if strategy not in STRATEGIES:
        raise ValueError(
            f"noise resampling: expected a strategy among {', '.join(STRATEGIES)}, got {strategy!r}; choose one of them"
        )


def renewed_share(judged: dict[int, Judged]) -> float:
    """How many of the compared views took the resampled noise; NaN where none was compared."""
    compared = [one.renewed for one in judged.values() if not math.isnan(one.new)]
    return sum(compared) / len(compared) if compared else math.nan


def mean_scores(judged: dict[int, Judged]) -> tuple[float, float] | None:
    """New and old scores, each the mean over the compared views; None where none was compared."""
    compared = [(one.new, one.old) for one in judged.values() if not math.isnan(one.new)]
    if not compared:
        return None
    new, old = (sum(column) / len(compared) for column in zip(*compared, strict=True))
    return new, old
