"""models/distillation/noise_resampling.py on a scene of one matrix a view, where every gradient is known in closed form."""

import math
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
import torch
from portrait_diffusion.models.camera import orbit
from portrait_diffusion.models.distillation.noise_resampling import (
    STRATEGIES,
    UNDRIVEN,
    ViewState,
    anchor_noise,
    iterate,
    iterate_fast,
    renewed_share,
    resample,
    score,
)
from portrait_diffusion.models.projection import projector
from torch.testing import assert_close

from ..test_projection import sphere

ORDER = ((0, UNDRIVEN), (1, 0), (2, 0), (3, 1), (4, 2))
SHAPE = (2, 3, 3)


@dataclass
class Linear:
    """Views are matrices times the parameters; a denoised view is pulled towards a truth by the timestep, and disturbed by its noise."""

    seed: int = 0
    order: tuple = ORDER
    calls: list = field(default_factory=list)

    def __post_init__(self):
        draws = torch.Generator().manual_seed(self.seed)
        self.views = torch.randn(len(self.order), math.prod(SHAPE), 6, generator=draws)
        self.parameters = [
            torch.randn(4, generator=draws, requires_grad=True),
            torch.randn(2, generator=draws, requires_grad=True),
        ]
        self.truth = torch.randn(6, generator=draws)

    def render(self, view):
        return (self.views[view] @ torch.cat(self.parameters)).view(SHAPE)

    def look(self, views):
        with torch.no_grad():
            return torch.stack([self.render(view) for view in views])

    def loss(self, picture, target):
        return (picture - target).square().sum()

    def denoise(self, views, noise, t, drivers):
        self.calls.append(len(views))
        made = []
        for view, one, told in zip(views, noise, drivers, strict=True):
            driven = 0 if told is None else 0.1 * told.mean()
            truth = (self.views[view] @ self.truth).view(SHAPE)
            made.append(self.look([view])[0].lerp(truth, t / 1000) + 0.3 * one + driven)
        return torch.stack(made)


def begun(scene, seed=1):
    draws = torch.Generator().manual_seed(seed)
    return {view: ViewState(torch.randn(SHAPE, generator=draws)) for view, _ in scene.order}


def run(form, strategy="mvnrs", *, iterations=4, sigma=0.3, scene=None, kept=None):
    scene = scene or Linear()
    kept, draws, found = kept or begun(scene), torch.Generator().manual_seed(2), []
    for s in range(iterations):
        found.append(form(scene, kept, t=600 - 100 * s, sigma=sigma, generator=draws, strategy=strategy))
        kept = found[-1].states
        with torch.no_grad():
            for parameter, gradient in zip(scene.parameters, found[-1].gradient, strict=True):
                parameter -= 0.01 * gradient
    return scene, found


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_fast_form_gives_the_readable_one_s_numbers(strategy):
    (slow, readable), (quick, fast) = run(iterate, strategy), run(iterate_fast, strategy)
    for a, b in zip(readable, fast, strict=True):
        assert [x.renewed for x in a.verdicts.values()] == [x.renewed for x in b.verdicts.values()]
        for view in a.states:
            assert_close(a.states[view].anchor, b.states[view].anchor)
            assert_close(a.states[view].target, b.states[view].target)
        for x, y in zip(a.gradient, b.gradient, strict=True):
            assert_close(x, y)
    assert_close(slow.parameters[0], quick.parameters[0])
    assert quick.calls == [len(ORDER)] * 4 and slow.calls == [1] * len(ORDER) * 4


def test_sigma_zero_keeps_the_anchor():
    scene = Linear()
    kept = begun(scene)
    _, found = run(iterate_fast, sigma=0.0, scene=scene, kept=kept)
    assert all(torch.equal(found[-1].states[view].anchor, kept[view].anchor) for view in kept)
    anchor = torch.randn(3, 4)
    assert torch.equal(resample(anchor, 0.0, torch.Generator()), anchor)


def test_resampled_noise_stays_noise_near_its_anchor():
    draws = torch.Generator().manual_seed(0)
    anchor = torch.randn(400, 400, generator=draws)
    near = resample(anchor, 0.3, draws)
    assert near.std().item() == pytest.approx(1, abs=0.01)
    assert (near * anchor).mean().item() == pytest.approx(math.sqrt(1 - 0.09), abs=0.01)


def test_a_candidate_whose_gradient_is_the_driver_s_is_kept():
    """View 1 sees what the front sees, and its new target is the front's: a cosine of 1, which no other exceeds."""
    scene = Linear(order=((0, UNDRIVEN), (1, 0)))
    scene.views[1] = scene.views[0]
    kept = {
        0: ViewState(torch.zeros(SHAPE), torch.zeros(SHAPE)),
        1: ViewState(torch.zeros(SHAPE), 10 * torch.randn(SHAPE)),
    }
    told = scene.denoise
    scene.denoise = lambda views, noise, t, drivers: torch.stack(
        [told([0], noise[:1] * 0, t, [None])[0]] * len(views)
    )
    found = iterate_fast(scene, kept, t=500, sigma=0.3, generator=torch.Generator().manual_seed(0))
    assert (
        found.verdicts[1].renewed
        and found.verdicts[1].new == pytest.approx(1, abs=1e-6)
        and found.verdicts[1].old < 1
    )


def test_the_better_target_wins_strictly_and_the_anchor_goes_with_it():
    _, found = run(iterate_fast, iterations=6)
    for before, after in pairwise(found):
        for view, verdict in after.verdicts.items():
            if math.isnan(verdict.new):
                continue
            assert verdict.renewed == (verdict.new > verdict.old)
            same = torch.equal(before.states[view].target, after.states[view].target)
            assert (
                same
                == (not verdict.renewed)
                == torch.equal(before.states[view].anchor, after.states[view].anchor)
            )
    shares = [renewed_share(one.verdicts) for one in found]
    assert math.isnan(shares[0])  # nothing to compare with
    assert 0 < sum(shares[1:]) < len(shares) - 1  # both outcomes occur


def test_the_first_iteration_takes_the_anchors():
    scene = Linear()
    kept = begun(scene)
    _, found = run(iterate_fast, iterations=1, scene=scene, kept=kept)
    assert all(torch.equal(found[0].states[view].anchor, kept[view].anchor) for view in kept)


def test_a_target_without_numbers_is_not_dropped_in_silence():
    for form in (iterate, iterate_fast):
        scene = Linear()
        _, found = run(form, iterations=1, scene=scene)
        told = scene.denoise
        scene.denoise = lambda views, *rest, told=told: (
            told(views, *rest) * torch.tensor([math.nan if v else 1 for v in views])[:, None, None, None]
        )
        bad = form(scene, found[0].states, t=500, sigma=0.3, generator=torch.Generator().manual_seed(0))
        assert bad.gradient[0].isnan().any()


def test_one_seed_one_result():
    (a, _), (b, _) = run(iterate_fast), run(iterate_fast)
    assert torch.equal(a.parameters[0], b.parameters[0])


def test_scores_are_cosines_over_all_parameters():
    a, b = (
        [torch.tensor([3.0]), torch.tensor([[0.0, 4.0]])],
        [torch.tensor([0.0]), torch.tensor([[0.0, 2.0]])],
    )
    assert (
        score(a, a) == pytest.approx(1)
        and score(a, b) == pytest.approx(0.8)
        and score(a, [-x for x in a]) == pytest.approx(-1)
    )
    assert score(a, [x * 0 for x in a]) == 0


def test_anchors_are_one_noise_seen_from_all_sides():
    cameras = {view: orbit(yaw, 0.0) for view, yaw in enumerate((0.0, 0.3, -0.3, 0.6, -0.6))}
    found = {}
    for view, driver in ORDER[1:]:
        found[view] = projector(*sphere(cameras[driver], 64, 0.28), cameras[driver], cameras[view])
    noise = anchor_noise(ORDER, found, (64, 32, 32), torch.Generator().manual_seed(0))
    for view, driver in ORDER[1:]:
        splat = found[view].splat((32, 32))
        known = splat.index >= 0
        alike = (noise[view] * splat.carry(noise[driver])).mean(0)
        assert alike[known].mean() > 0.7 and abs(noise[view].std().item() - 1) < 0.02
        assert known.float().mean() > 0.2


def test_an_unknown_strategy_is_named():
    with pytest.raises(ValueError, match="among mvnrs, random, anchor, resampled"):
        iterate_fast(Linear(), {}, t=1, sigma=0.1, generator=torch.Generator(), strategy="other")
