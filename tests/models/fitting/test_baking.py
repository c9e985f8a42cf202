"""models/fitting/baking.py: views go into the head, nearest first, and views that were never refined follow."""

from dataclasses import replace

import pytest
import torch
from portrait_diffusion.models.camera import orbit
from portrait_diffusion.models.fitting import rays
from portrait_diffusion.models.fitting.baking import BakeConfig, Baking, agreement, bake, nearest_first
from portrait_diffusion.models.head import Head
from torch.testing import assert_close

from ..field.test_occupancy import ball_field
from ..hungry import starve
from ..small import head

CONFIG = BakeConfig(steps=30, size=32, rays=128, coarse=8, fine=4, rate=0.05, crop_every=5, crop=16)
YAWS = torch.tensor([0.6, 0.0, -0.4])


def cameras(yaws=YAWS):
    return orbit(yaws, torch.zeros(len(yaws)))


def seen(of, yaws, size=32):
    return of.render(cameras(yaws), size, normals=False)


def darker(of, yaws):
    """Views [V, 3, S, S] of a head whose colours are a shade darker, on white."""
    views = seen(of, yaws)
    return views.rgb - 0.4 * (views.rgb - (1 - views.opacity))


def ball():
    """A solid head."""
    field = ball_field(2)
    return Head(field.planes, field.decoder, field.config)


def baked(of=None, **changes):
    of = of or head()
    views = darker(of, YAWS)
    return of, views, bake(of, views, cameras(), replace(CONFIG, **changes), generator=torch.Generator().manual_seed(0))


def test_views_that_were_not_refined_follow():
    of, _, after = baked(ball(), steps=60, keep_colour=0.0)
    unseen = torch.tensor([0.3])
    wanted = darker(of, unseen)
    before, now = ((seen(x, unseen).rgb - wanted).square().mean() for x in (of, after))
    assert now < 0.85 * before


def test_the_nearest_to_the_front_comes_first_and_the_others_join():
    assert nearest_first(cameras()) == [1, 2, 0]
    run = Baking(head(), torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0)), cameras(), CONFIG, torch.Generator())
    counts = []
    for run.step_count in range(CONFIG.steps):
        counts.append(run.joined())
    assert counts[0] == 1 and counts[-1] == 3 and counts == sorted(counts)


def test_a_pixel_that_no_other_view_confirms_counts_less():
    of = ball()
    shown = seen(of, YAWS)
    solid = (shown.opacity > 0.5).float()
    views = torch.full((3, 3, 32, 32), 0.5)
    assert_close(agreement(views, shown.depth * solid, cameras(), 0.1), torch.ones(3, 1, 32, 32))
    views[1] = 0.9
    sure = agreement(views, shown.depth * solid, cameras(), 0.1)
    assert sure.min() < 0.1 and sure.max() == 1
    assert_close(agreement(views[:1], shown.depth[:1], cameras()[:1], 0.1), torch.ones(1, 1, 32, 32))


def test_the_same_seed_gives_the_same_bits_also_when_stopped_and_resumed():
    of = head()
    views, kept = darker(of, YAWS), []

    def stop(now):
        kept.append(now.state())
        if now.step == 11:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bake(of, views, cameras(), CONFIG, generator=torch.Generator().manual_seed(0), callback=stop)
    resumed = bake(of, views, cameras(), CONFIG, generator=torch.Generator().manual_seed(0), state=kept[-1])
    assert torch.equal(resumed.planes, baked()[2].planes)


def in_version_1(state):
    """A state of `Baking` as the pack wrote it before states had versions."""
    parts = {"offset": state["value.offset"], "first": state["first.offset"], "second": state["second.offset"]}
    return {"step": state["numbers"][0], "draws": state["draws"], **parts}


def test_a_state_of_before_resumes_with_the_same_bits():
    of, states = head(), {}
    views = darker(of, YAWS)

    def again(**more):
        return bake(of, views, cameras(), CONFIG, generator=torch.Generator().manual_seed(0), **more).planes

    whole = again(callback=lambda now: states.setdefault(now.step, now.state()))
    assert torch.equal(again(state=in_version_1(states[9])), whole)


def begun(at):
    of = head()
    run = Baking(of, darker(of, YAWS), cameras(), CONFIG, torch.Generator().manual_seed(0))
    run.step_count = at
    return run


@pytest.mark.parametrize("way", ["forward", "backward"])
@pytest.mark.parametrize("at", [0, 4])  # rays, and a piece of the super-resolved picture
def test_where_memory_runs_out_rays_are_rendered_in_pieces(at, way, monkeypatch):
    whole, short = begun(at), begun(at)
    whole.step()
    starve(monkeypatch, rays, "render_rays", 64, way)
    short.step()
    assert short.pieces.rows == 64
    assert_close(short.moments["offset"][0], whole.moments["offset"][0], rtol=1e-3, atol=1e-6)


def test_a_step_without_numbers_is_skipped():
    run = begun(0)
    honest = run.targets
    run.targets = [replace(target, rgb=target.rgb * torch.nan) for target in honest]
    assert run.step().skipped == 1 and not run.offset.any()
    run.targets = honest
    assert run.step().skipped == 1 and run.offset.any()


def test_decoder_and_super_resolution_stay():
    of = head()
    _, _, after = baked(of)
    assert after.decoder is of.decoder and after.generator is of.generator and not torch.equal(after.planes, of.planes)


@pytest.mark.parametrize(
    "views", [torch.rand(2, 3, 32, 32), torch.rand(3, 3, 32, 16), torch.full((3, 3, 32, 32), torch.nan), torch.rand(0, 3, 8, 8)]
)
def test_views_that_do_not_fit_are_refused(views):
    with pytest.raises(ValueError, match="bake: expected"):
        bake(head(), views, cameras(), CONFIG, generator=torch.Generator())
