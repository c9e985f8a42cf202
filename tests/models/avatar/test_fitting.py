"""models/avatar/fitting.py: views that were not shown follow, the decoder stays, runs go on, and a fit that goes empty is stopped."""

from dataclasses import replace
from functools import cache

import pytest
import torch
from portrait_diffusion.models.avatar.fitting import FitConfig, Fitting, fit, new_decoder, resized, sizes_of
from portrait_diffusion.models.avatar.views import Views, views_of
from portrait_diffusion.models.camera import orbit
from portrait_diffusion.models.field.triplane import FieldConfig
from portrait_diffusion.models.fitting.state import ForeignState
from torch.testing import assert_close

from .test_hull import SIZE, ball_masks, ball_points

FIELD = FieldConfig(
    box_side=0.6, channels=4, depth=0, resolution=32, hidden=16, density_shift=-4.0, density_scale=100.0
)
CONFIG = FitConfig(steps=80, rays=256, samples=12, grid=24, refresh_every=8, rate=0.03)


def draws(seed=0):
    return torch.Generator().manual_seed(seed)


@cache
def ball(count=6, turn=0.0):
    """Views of a ball of 0.2 that is coloured by place."""
    cameras = orbit(torch.arange(count) * (2 * torch.pi / count) + turn, 0.3 * torch.ones(count))
    masks = ball_masks(cameras, 0.2)
    images = (ball_points(cameras, 0.2) * 2 + 0.5).movedim(-1, 1)
    return views_of(images, masks, cameras, FIELD.box_side)


def error(head, views):
    """Mean squared error of its pictures."""
    seen = head.render(views.cameras, SIZE, background=(0.0, 0.0, 0.0), normals=False)
    return (seen.rgb - views.colour).square().mean()


def fitted(config=CONFIG, **options):
    return fit(ball(), FIELD, new_decoder(FIELD, draws()), config, generator=draws(), **options)


def test_views_that_were_not_shown_follow():
    unseen = ball(3, turn=0.5)
    nothing = unseen.colour.square().mean()
    assert error(fitted(replace(CONFIG, steps=160), learn_decoder=True), unseen) < 0.25 * nothing


def test_planes_follow_a_frozen_decoder_from_a_start():
    taught = fitted(learn_decoder=True)
    before = {name: value.clone() for name, value in taught.decoder.state_dict().items()}
    start = torch.zeros(1, 3, FIELD.channels, 16, 16)
    after = fit(ball(), FIELD, taught.decoder, CONFIG, generator=draws(), start=start)
    for name, value in after.decoder.state_dict().items():
        assert torch.equal(value, before[name])
    before_it = replace(taught, planes=resized(start, FIELD.resolution))
    assert error(after, ball()) < 0.5 * error(before_it, ball())


def test_no_steps_leave_the_start():
    start = 0.5 * torch.ones(1, *FIELD.planes_shape)
    assert torch.equal(fitted(replace(CONFIG, steps=0), start=start).planes, start)


def test_planes_stay_where_diffusion_wants_them():
    planes = fitted(replace(CONFIG, steps=30, rate=0.2), learn_decoder=True).planes
    assert 0.99 < planes.abs().max() <= 1 + 1e-6


def test_a_run_goes_on_with_the_same_bits():
    config = replace(CONFIG, steps=20)
    run = Fitting(ball(), FIELD, new_decoder(FIELD, draws()), config, draws(), learn_decoder=True)
    for _ in range(11):
        run.step()
    state = run.state()
    whole, resumed = (fitted(config, learn_decoder=True, state=s) for s in (None, state))
    assert torch.equal(whole.planes, resumed.planes)
    for name, value in whole.decoder.state_dict().items():
        assert torch.equal(value, resumed.decoder.state_dict()[name])


def test_another_fits_state_is_refused():
    run = Fitting(ball(), FIELD, new_decoder(FIELD, draws()), CONFIG, draws())
    with pytest.raises(ForeignState):
        run.restore({**run.state(), "grid": torch.zeros(8)})


def test_a_fit_that_goes_empty_is_stopped():
    decoder = new_decoder(FIELD, draws())
    with torch.no_grad():
        decoder.get_parameter("net.2.bias")[0] = -1e3  # sees nothing whatever the planes
    with pytest.raises(ValueError, match="expected to see what the masks show, but after .* only 0% of it"):
        fit(ball(), FIELD, decoder, CONFIG, generator=draws())


def test_where_memory_runs_out_fewer_rays_go_together(monkeypatch):
    config, honest = replace(CONFIG, steps=3), Fitting._cast
    whole = fitted(config, learn_decoder=True)

    def hungry(run, field, origins, *rest):
        if origins.shape[1] > CONFIG.rays // 2:
            raise torch.OutOfMemoryError("out of memory")
        return honest(run, field, origins, *rest)

    monkeypatch.setattr(Fitting, "_cast", hungry)
    assert_close(fitted(config, learn_decoder=True).planes, whole.planes, atol=1e-4, rtol=0)


def test_each_step_reports_what_is_seen_of_the_masks():
    seen = []
    fitted(
        replace(CONFIG, steps=30), learn_decoder=True, callback=lambda progress: seen.append(progress.report)
    )
    assert len(seen) == 30 and all(0 <= share <= 1 for share in seen) and seen[-1] > 0.5


def test_planes_are_summed_from_coarse_to_fine():
    assert sizes_of(128) == [16, 32, 64, 128] and sizes_of(20) == [20]


def test_a_config_names_what_is_out_of_bounds():
    with pytest.raises(ValueError, match="samples"):
        FitConfig(samples=1)


def test_views_on_their_own_are_enough_for_grids_and_slices():
    grid = replace(FIELD, depth=2)
    head = fit(ball(), grid, new_decoder(grid, draws()), replace(CONFIG, steps=3), generator=draws())
    assert head.planes.shape == (1, *grid.planes_shape) and isinstance(ball(), Views)


def test_the_released_decoder_is_fitted_through_as_well():
    field = replace(FIELD, decoder="frequencies", density_shift=0.0, density_scale=1.0)
    decoder = new_decoder(field, draws())
    with torch.no_grad():
        decoder.get_parameter("sigma_net.2.bias")[0] = 3.0
    head = fit(ball(), field, decoder, replace(CONFIG, steps=30), generator=draws(), learn_decoder=True)
    assert error(head, ball()) < 0.6 * ball().colour.square().mean()
