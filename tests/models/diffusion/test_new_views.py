"""models/diffusion/new_views.py: chains go outward, a ring is drawn view by view and can be stopped, what shows nothing is named."""

import math
from dataclasses import replace

import pytest
import torch
from portrait_diffusion.models.camera import orbit
from portrait_diffusion.models.diffusion import new_views
from portrait_diffusion.models.diffusion.autoencoder import encode
from portrait_diffusion.models.diffusion.new_views import (
    Coarse,
    DiffusionModel,
    NewViewConfig,
    blended,
    chains,
    generate,
    new_view,
    ring,
)
from portrait_diffusion.models.diffusion.schedule import add_noise
from portrait_diffusion.models.diffusion.view_priors import (
    DrivingView,
    ProjectedView,
    normal_map,
    view_priors,
)
from torch.testing import assert_close

from ..small import head as small_head
from ..test_projection import sphere
from . import tiny
from .test_hpdm import network

SIZE = 32


def model():
    tokens = tiny.conditioning(1).tokens
    return DiffusionModel(
        denoiser=tiny.denoiser(),
        vae=tiny.vae(),
        tokens=torch.cat([tokens] * 4 + [torch.zeros_like(tokens)]),
    )


def ball(head, cameras, size):
    """What a ball in a head's place looks like."""
    distance, mask = (
        torch.stack(x)
        for x in zip(*(sphere(cameras[i], size, 0.22) for i in range(len(cameras.cam2world))), strict=True)
    )
    rgb = torch.where(mask[:, None] > 0, torch.tensor([0.8, 0.5, 0.4])[:, None, None], 1.0)
    normal = torch.zeros(len(mask), 3, size, size)
    normal[:, 2] = -mask
    return Coarse(rgb, normal, distance, mask, cameras)


@pytest.fixture(autouse=True)
def solid(monkeypatch):
    monkeypatch.setattr(new_views, "coarse_views", ball)


def draws(seed=0):
    return torch.Generator().manual_seed(seed)


def test_chains_go_outward_and_the_back_comes_last():
    yaw = torch.tensor([0.0, 45, 90, 135, 180, 225, 270, 315]).deg2rad()
    order = chains(yaw)
    assert [i for i, _ in order] == [0, 1, 7, 2, 6, 3, 5, 4] and dict(order) == {
        0: -1,
        1: -1,
        7: -1,
        2: 1,
        6: 7,
        3: 2,
        5: 6,
        4: 3,
    }
    assert chains(yaw.flip(0))[0] == (7, -1)  # any order of views will do
    aside = dict(chains(torch.tensor([0.0, 60.0]).deg2rad(), photo_yaw=math.radians(30)))
    assert aside == {0: -1, 1: -1}


def test_a_ring_is_drawn_view_by_view():
    head, cameras, seen, steps = small_head(), orbit(torch.tensor([-0.4, 0.4, 0.8]), torch.zeros(3)), [], []
    config = NewViewConfig(steps=2)
    options = {
        "config": config,
        "callback": lambda done, total, image: seen.append((done, total, image.shape)),
    }
    views = ring(
        model(),
        network(),
        head,
        cameras,
        SIZE,
        generator=draws(),
        **options,
        step=lambda done, total: steps.append(done),
    )
    assert (
        views.shape == (3, 3, SIZE, SIZE) and views.isfinite().all() and 0 <= views.min() and views.max() <= 1
    )
    assert seen == [(i, 3, (3, SIZE, SIZE)) for i in (1, 2, 3)] and steps == [1, 2] * 3
    again = ring(model(), network(), head, cameras, SIZE, generator=draws(), config=config)
    assert torch.equal(again, views)


def test_an_interrupt_stops_within_a_view():
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ring(
            model(),
            network(),
            small_head(),
            orbit(torch.tensor([0.3]), torch.zeros(1)),
            SIZE,
            generator=draws(),
            step=stop,
        )


class Recorder:
    """A denoiser that keeps what it is asked."""

    def __init__(self, base):
        self.base, self.schedule, self.latent_channels, self.asked = (
            base,
            base.schedule,
            base.latent_channels,
            [],
        )

    def __call__(self, z, t, conditioning):
        self.asked.append((z, t))
        return self.base(z, t, conditioning)


def test_strength_says_where_the_walk_begins_and_guidance_of_one_is_none():
    cameras = orbit(torch.tensor([0.0, 0.3]), torch.zeros(2))
    coarse = ball(None, cameras, SIZE)
    priors, views = view_priors(
        tiny.vae(), [coarse.driving(0, coarse.rgb[0])], cameras[1:], coarse.rgb[1:], coarse.normal[1:]
    )
    assert views[0].known.mean() > 0.01
    for strength, first, guidance in ((1.0, 999, 1.0), (0.25, 249, 3.0)):
        config, known = (
            NewViewConfig(steps=5, guidance=guidance, strength=strength),
            Recorder(tiny.denoiser()),
        )
        generate(
            replace(model(), denoiser=known),
            None,
            priors,
            cameras[1:],
            coarse.rgb[1:],
            generator=draws(),
            config=config,
        )
        z, t = known.asked[0]
        assert len(known.asked) == 5 and t[0] == first and len(z) == (1 if guidance == 1 else 2)
    noise = torch.randn(priors.projected.shape, generator=draws())
    assert_close(z[:1], add_noise(known.schedule, encode(tiny.vae(), coarse.rgb[1:]), noise, 249))


def test_where_a_photo_ends_nothing_is_known():
    coarse = ball(None, orbit(torch.tensor([0.0]), torch.zeros(1)), SIZE)
    shown = torch.ones(1, 2 * SIZE, 2 * SIZE)
    shown[:, SIZE:] = 0
    whole, half = coarse.driving(0, coarse.rgb[0]), coarse.driving(0, coarse.rgb[0], shown)
    assert (
        torch.equal(half.mask[: SIZE // 2 - 2], whole.mask[: SIZE // 2 - 2])
        and not half.mask[SIZE // 2 + 2 :].any()
    )


def test_background_that_a_head_covers_is_none_of_its_surface():
    camera, mask = orbit(0.0, 0.0), torch.zeros(80, 80)
    mask[20:60, 20:60] = 1
    image = torch.full((3, 80, 80), 0.3)
    image[:, :, :22] = 1.0  # the picture's person is narrower than the head
    image[:, 38:42, 38:42] = 1.0  # a white button
    kept = DrivingView(image, torch.full((80, 80), 2.7), mask, camera).surface()
    assert not kept[:, :22].any() and torch.equal(kept[:, 22:], mask[:, 22:])
    blank = DrivingView(
        torch.ones(3, 80, 80), torch.full((80, 80), 2.7), mask[:1, :].expand(80, 80) + torch.eye(80), camera
    ).surface()
    assert blank.any()  # a picture that is all white has a surface still


def test_what_is_known_is_laid_over_what_is_drawn():
    drawn, known = torch.zeros(3, 64, 64), torch.zeros(1, 64, 64)
    known[:, :, 20:] = 1
    view = ProjectedView(torch.ones(3, 64, 64), known)
    assert torch.equal(blended(drawn, view, 0.0), drawn)
    image = blended(drawn, view, 1 / 16)  # 4 cells
    assert (
        not image[..., :20].any()
        and (image[..., 30:] > 0.999).all()
        and (image[0, 32, 20:30].diff() >= 0).all()
    )
    assert 0 < image[0, 32, 22] < 0.5


def test_normals_point_at_the_camera_where_there_are_none():
    picture = normal_map(torch.zeros(1, 3, 2, 2))
    assert torch.equal(picture[0, :, 0, 0], torch.tensor([0.5, 0.5, 1.0]))


def test_a_driver_that_shows_nothing_is_named():
    coarse = ball(None, orbit(torch.tensor([0.0, math.pi]), torch.zeros(2)), SIZE)
    with pytest.raises(ValueError, match="shows nothing|share no surface"):
        new_view(
            model(),
            network(),
            coarse.driving(0, coarse.rgb[0]),
            coarse,
            1,
            generator=draws(),
            config=NewViewConfig(steps=1),
        )


def test_a_head_without_its_photo_is_named():
    with pytest.raises(ValueError, match="with its photo"):
        ring(
            model(),
            None,
            replace(small_head(), reference=None),
            orbit(torch.zeros(1), torch.zeros(1)),
            SIZE,
            generator=draws(),
        )
    with pytest.raises(ValueError, match="NewViewConfig"):
        NewViewConfig(strength=0.0)
