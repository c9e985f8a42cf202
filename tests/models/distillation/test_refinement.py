"""models/distillation/refinement.py on a ball of a head and tiny networks: pulled to its targets, kept by the photo, resumed to the bit."""

import math
from dataclasses import replace

import pytest
import torch
from portrait_diffusion.models.camera import frontal, orbit, yaw_pitch
from portrait_diffusion.models.distillation import head_scene
from portrait_diffusion.models.distillation.head_scene import (
    HeadScene,
    RefineConfig,
    ViewDenoiser,
    with_resolution,
)
from portrait_diffusion.models.distillation.noise_resampling import (
    STRATEGIES,
    UNDRIVEN,
    iterate,
    iterate_fast,
)
from portrait_diffusion.models.distillation.refinement import PRESETS, Refinement, refine
from portrait_diffusion.models.distillation.views import refinement_cameras, view_order
from portrait_diffusion.models.field.triplane import FieldConfig
from portrait_diffusion.models.field.volume_rendering import RenderConfig
from portrait_diffusion.models.head import Head
from portrait_diffusion.models.photo.alignment import AlignedPortrait
from torch import nn
from torch.testing import assert_close

from ..diffusion.test_hpdm import network
from ..diffusion.test_new_views import model
from ..hungry import starve

pytestmark = pytest.mark.whole  # minutes in all

FIELD = FieldConfig(
    channels=4, depth=0, resolution=24, hidden=8, features=3, density_shift=0.0, density_scale=100.0
)
CONFIG = RefineConfig(iterations=4, size=32, views=3, rays=48, coarse=8, fine=8, refresh=2, keep_shape=0.0)


STIFF = 200.0  # how much larger the first channel is, so that Adam's steps paint rather than carve


class Ball(nn.Module):
    """Raw density of a ball, radius 0.22, by what the first channel says of the squared distance; the others are colours."""

    activation = "sigmoid"

    def forward(self, features):
        return 400 * (0.22**2 - 1.5 * features[..., 0] / STIFF), torch.sigmoid(features[..., 1:])


def ball_head(colour=0.0):
    side = FIELD.box_side
    at = ((torch.arange(24) + 0.5) / 24 - 0.5) * side
    planes = torch.full((1, 3, 4, 24, 24), colour)
    planes[0, :, 0] = STIFF * (
        at[:, None].square() + at.square()
    )  # three planes' mean, times 1.5: x^2 + y^2 + z^2
    head = Head(planes, Ball(), FIELD)
    seen = head.render(frontal()[None], 32, RenderConfig(coarse=24, fine=24))
    image = torch.where(seen.opacity[0] > 0.5, torch.tensor([0.9, 0.2, 0.1])[:, None, None], 1.0)
    photo = AlignedPortrait(
        image, (seen.opacity[0] > 0.5).float(), frontal(), torch.eye(3, dtype=torch.float64)[:2], (32, 32)
    )
    return replace(head, reference=photo)


def run(config=CONFIG, *, state=None, callback=None, told=True, seed=0):
    draws = torch.Generator().manual_seed(seed)
    return refine(
        ball_head(),
        model(),
        network() if told else None,
        config,
        generator=draws,
        state=state,
        callback=callback,
    ).head


def from_file(state):
    """A state as a file gives it back: the same numbers in the plainest layout."""
    return {key: value.contiguous().clone() for key, value in state.items()}


def red(head, camera):
    """Mean colour of the ball from a camera."""
    seen = head.render(camera[None], 32)
    solid = seen.opacity[0, 0] > 0.9
    assert solid.sum() > 50
    return seen.rgb[0][:, solid].mean(1)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_runs_and_reports(strategy):
    reports = []
    made = run(replace(CONFIG, strategy=strategy), callback=lambda now: reports.append(now))
    assert (
        [now.step for now in reports] == [1, 2, 3, 4]
        and made.planes.isfinite().all()
        and made.generator is None
    )
    compared = [verdict for verdict in reports[-1].report.verdicts.values() if not math.isnan(verdict.new)]
    assert len(compared) == (4 if strategy == "mvnrs" else 0)  # all views but the front
    assert not torch.equal(made.planes, ball_head().planes)


def test_the_photo_is_held(monkeypatch):
    monkeypatch.setattr(
        HeadScene, "targets", lambda self, views, *rest: torch.ones(len(views), 3, 32, 32)
    )  # which count nothing
    config = replace(CONFIG, iterations=30, image=0.0, rate=0.2)
    before, after = (red(head, frontal()) for head in (ball_head(), run(config)))
    truth = torch.tensor([0.9, 0.2, 0.1])
    assert (after - truth).abs().max() < 0.3 * (before - truth).abs().max()


def test_views_follow_their_targets(monkeypatch):
    green = torch.tensor([0.1, 0.8, 0.1])[:, None, None].expand(3, 32, 32)
    monkeypatch.setattr(HeadScene, "targets", lambda self, views, *rest: torch.stack([green] * len(views)))
    config = replace(CONFIG, iterations=24, reference=0.0, mask=0.0, rate=0.2)
    made = run(config)
    for yaw in (1.6, -1.6, 3.1):
        assert (red(made, orbit(yaw, 0.0)) - green[:, 0, 0]).abs().max() < 0.15


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_killed_and_resumed_is_the_same_to_the_bit(stop):
    states = {}
    whole = run(callback=lambda now: states.setdefault(now.step, now.state()))
    assert torch.equal(run(state=from_file(states[stop]), seed=99).planes, whole.planes)


def test_interrupted_within_an_iteration_it_goes_on_from_the_one_before():
    whole, states, left = run(), {}, [40]

    def stop() -> None:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt

    def keep(now) -> None:
        states[now.step] = now.state

    draws = torch.Generator().manual_seed(0)
    with pytest.raises(KeyboardInterrupt):
        refine(ball_head(), model(), network(), CONFIG, generator=draws, callback=keep, after_call=stop)
    last = max(states)
    assert 0 < last < CONFIG.iterations and states[last]()["numbers"][0] == last
    assert torch.equal(run(state=from_file(states[last]()), seed=99).planes, whole.planes)


def test_the_photo_s_own_target_is_the_photo():
    one = Refinement(ball_head(), model(), network(), CONFIG, torch.Generator().manual_seed(0))
    found = one.iteration()
    assert torch.equal(found.states[0].target, one.scene.photo)
    assert all(not torch.equal(kept.target, one.scene.photo) for view, kept in found.states.items() if view)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_readable_form_gives_the_same_on_a_head(strategy):
    def three(form):
        one = Refinement(ball_head(), model(), network(), CONFIG, torch.Generator().manual_seed(0))
        one.start()
        found, kept = [], one.view_states
        for t in (350, 250, 150):
            one.scene.begin(one.draws)
            found.append(form(one.scene, kept, t=t, sigma=0.2, generator=one.draws, strategy=strategy))
            kept = found[-1].states
        return found

    for a, b in zip(three(iterate), three(iterate_fast), strict=True):
        assert_close(a.gradient[0], b.gradient[0], rtol=1e-3, atol=1e-6)
        assert {view: one.renewed for view, one in a.verdicts.items()} == {
            view: one.renewed for view, one in b.verdicts.items()
        }
        for view in a.states:
            assert_close(a.states[view].target, b.states[view].target, rtol=1e-4, atol=1e-4)


def test_scores_and_targets_are_those_of_the_whole_run():
    states = {}

    def result(state=None):
        keep = None if state else lambda now: states.setdefault(now.step, now.state())
        draws = torch.Generator().manual_seed(0)
        return refine(ball_head(), model(), network(), CONFIG, generator=draws, callback=keep, state=state)

    whole = result()
    assert len(whole.scores) == CONFIG.iterations - 1 and whole.targets.shape == (5, 3, 32, 32)
    for stop in (2, CONFIG.iterations):
        resumed = result(from_file(states[stop]))
        assert resumed.scores == whole.scores and torch.equal(resumed.targets, whole.targets)


def test_where_memory_runs_out_fewer_views_are_denoised_at_once(monkeypatch):
    once, honest, asked = replace(CONFIG, iterations=1), ViewDenoiser.denoised, []
    whole = run(once).planes

    def hungry(self, views, *rest):
        asked.append(len(views))
        if len(views) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return honest(self, views, *rest)

    monkeypatch.setattr(ViewDenoiser, "denoised", hungry)
    assert_close(run(once).planes, whole, rtol=1e-3, atol=1e-3)
    assert asked == [4, 2, 2]


@pytest.mark.parametrize("way", ["forward", "backward"])
def test_where_memory_runs_out_pixels_are_rendered_in_pieces(way, monkeypatch):
    config = replace(CONFIG, keep_shape=1.0, multi_step=0.5, multi_steps=1)

    def first():
        one = Refinement(ball_head(), model(), network(), config, torch.Generator().manual_seed(0))
        return one, one.step()

    whole, _ = first()
    starve(monkeypatch, head_scene, "render_rays_fast", 30, way)
    short, progress = first()
    assert (
        short.pieces.rows == 24
        and progress.skipped == 0
        and torch.equal(short.draws.get_state(), whole.draws.get_state())
    )
    assert all(
        torch.equal(one.anchor, whole.view_states[view].anchor) for view, one in short.view_states.items()
    )
    assert_close(short.moments["planes"][0], whole.moments["planes"][0], rtol=1e-3, atol=1e-6)


def in_version_1(state):
    """A state of `Refinement` as the pack wrote it before states had versions."""
    own = {"planes": state["value.planes"], "first": state["first.planes"], "second": state["second.planes"]}
    same = {
        key: tensor
        for key, tensor in state.items()
        if key.startswith(("anchor.", "target.", "coarse.", "scores", "draws"))
    }
    return {"numbers": state["numbers"][:3], **own, **same}


def test_a_state_of_before_resumes_with_the_same_bits():
    states = {}
    whole = run(callback=lambda now: states.setdefault(now.step, now.state()))
    assert torch.equal(run(state=from_file(in_version_1(states[2])), seed=99).planes, whole.planes)
    with pytest.raises(ValueError, match="refine: expected 'anchor.0' of shape"):
        run(state=states[2] | {"anchor.0": torch.zeros(3)})


def test_one_seed_one_result():
    one, same, other = (run(seed=seed).planes for seed in (0, 0, 1))
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_numbers_that_are_not_finite_are_skipped_and_then_named(monkeypatch):
    bad = {"from": 1, "to": 1, "calls": -1}
    honest = HeadScene.targets

    def sometimes(self, views, *rest):
        bad["calls"] += 1
        if bad["from"] <= bad["calls"] <= bad["to"]:
            return torch.full((len(views), 3, 32, 32), float("nan"))
        return honest(self, views, *rest)

    monkeypatch.setattr(HeadScene, "targets", sometimes)
    reports = []
    made = run(callback=lambda now: reports.append(now))
    assert [now.report is None for now in reports] == [False, True, False, False] and reports[-1].skipped == 1
    assert made.planes.isfinite().all()
    bad.update({"from": 0, "to": 99, "calls": -1})
    with pytest.raises(ValueError, match="20 steps in a row"):
        run(replace(CONFIG, iterations=30))


def test_a_run_of_few_iterations_without_numbers_is_named_too(monkeypatch):
    monkeypatch.setattr(
        HeadScene, "targets", lambda self, views, *rest: torch.full((len(views), 3, 32, 32), float("nan"))
    )
    with pytest.raises(ValueError, match="4 steps in a row"):
        run()


def test_a_diffusion_model_that_loses_its_numbers_is_noticed(monkeypatch):
    honest, calls = ViewDenoiser.denoised, []

    def later(self, views, *rest):
        calls.append(len(views))
        return honest(self, views, *rest) * (1 if len(calls) == 1 else float("nan"))

    monkeypatch.setattr(ViewDenoiser, "denoised", later)
    reports = []
    run(callback=lambda now: reports.append(now))
    assert [now.report is None for now in reports] == [False, True, True, True] and reports[-1].skipped == 3


def test_the_additional_loss_changes_the_result():
    assert not torch.equal(run(replace(CONFIG, multi_step=1.0, multi_steps=2)).planes, run().planes)


def test_a_head_without_its_photo_is_named():
    with pytest.raises(ValueError, match="head with its photo"):
        refine(replace(ball_head(), reference=None), model(), None, CONFIG, generator=torch.Generator())


def test_larger_planes_show_the_same_head():
    head = ball_head()
    large = with_resolution(head, 48)
    assert (
        large.planes.shape[-2:] == (48, 48)
        and large.config.resolution == 48
        and with_resolution(head, 10) is head
    )
    a, b = (one.render(orbit(0.5, 0.2)[None], 32).rgb for one in (head, large))
    assert (a - b).square().mean() < 2e-3


def test_drivers_come_before_those_they_drive():
    around = refinement_cameras(8, torch.device("cpu"))
    cameras = type(around)(
        *(torch.cat([getattr(frontal(), n)[None], getattr(around, n)]) for n in ("cam2world", "intrinsics"))
    )
    order = view_order(cameras)
    assert order[0] == (0, UNDRIVEN) and sorted(view for view, _ in order) == list(range(10))
    place = {view: i for i, (view, _) in enumerate(order)}
    assert all(place[driver] < place[view] for view, driver in order[1:])
    yaw, pitch = yaw_pitch(cameras)
    for view, driver in order[1:]:
        away, near = (abs(math.remainder(float(yaw[i]), 2 * math.pi)) for i in (view, driver))
        assert near < away or abs(float(pitch[view])) > 0.5


def test_presets_and_bad_settings():
    assert set(PRESETS) == {"fast", "detail"}
    assert CONFIG.t(0, 1000) == 350 and CONFIG.t(3, 1000) == 150 and CONFIG.noise(0) == CONFIG.sigma
    for bad in ({"iterations": 0}, {"sigma": 1.0}, {"last_t": 0.9}, {"strategy": "other"}):
        with pytest.raises(ValueError, match="use a preset"):
            replace(CONFIG, **bad)


def test_the_networks_learn_nothing():
    head = ball_head()
    state = Refinement(head, model(), network(), CONFIG, torch.Generator().manual_seed(0))
    assert [p.shape for p in state.scene.parameters] == [head.planes.shape]
    before = head.planes.clone()
    state.iteration()
    assert_close(head.planes, before, atol=0, rtol=0)  # the caller's head stays
