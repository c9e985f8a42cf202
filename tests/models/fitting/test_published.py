"""Public generators are inverted as their authors and users do it: steps, rates, noise, backgrounds, cameras, whole pictures."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from portrait_diffusion.models.camera import camera_from_label, frontal, label_from_camera
from portrait_diffusion.models.field.volume_rendering import RenderConfig
from portrait_diffusion.models.fitting import inversion
from portrait_diffusion.models.fitting.inversion import (
    Inversion,
    first_styles,
    invert,
    projectable,
    projector_rate,
)
from portrait_diffusion.models.fitting.inversion_config import PRESETS, inversion_config, is_public
from portrait_diffusion.models.fitting.perceptual import eyes_for, vgg_distance
from portrait_diffusion.models.fitting.photo_losses import crop_loss, picture_target
from portrait_diffusion.models.head import load_head, save_head
from portrait_diffusion.models.metrics.vgg import VGG16
from portrait_diffusion.models.prior.contract import MEAN_CODES, mean_styles, styles
from portrait_diffusion.models.prior.panohead import PanoHeadGenerator
from torch.testing import assert_close

from .. import small
from ..prior import pretend

STEPS = {"latent_steps": 4, "tuning_steps": 3}
FEW = RenderConfig(coarse=8, fine=8, near=2.25, far=3.3)


def generator(family):
    """A pretend one with a small raw picture, so that a step takes no second."""
    config = replace(pretend.CONFIGS[family], raw_resolution=16, sr_resolution=16)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return pretend.KINDS[family](config).requires_grad_(False).eval()


def draws(seed=0):
    return torch.Generator().manual_seed(seed)


def config_of(prior, **changes):
    return replace(inversion_config(prior, None, "full"), **STEPS, **changes)


PUBLISHED = {
    "eg3d": (450, 0.01, 350, 3e-4),
    "panohead": (500, 0.1, 350, 3e-4),
    "spherehead": (500, 0.1, 350, 3e-4),
}


@pytest.mark.parametrize("family", pretend.KINDS)
def test_steps_and_rates_are_the_published_ones(family):
    prior = generator(family)
    full, quick = (inversion_config(prior, None, name) for name in ("full", "quick"))
    assert (full.latent_steps, full.latent_rate, full.tuning_steps, full.tuning_rate) == PUBLISHED[family]
    assert full.steps == 800 + (family != "eg3d") * 50 and quick.steps == full.steps // 5
    assert full.starts == 1 and full.keep_latents == 1.0 and full.latent_noise == 0.05 and not full.holds
    assert inversion_config(small.generator(), None, "quick") == PRESETS["quick"]
    assert inversion_config(prior, small.encoder(), "full") == PRESETS["full"] and not is_public(
        prior, small.encoder()
    )
    with pytest.raises(ValueError, match="expected a preset among quick, full, got 'slow'"):
        inversion_config(prior, None, "slow")


def test_the_projector_s_rate_rises_and_falls():
    rates = [projector_rate(0.1, i, 500) for i in range(500)]
    assert rates[0] == 0 and rates[10] == pytest.approx(0.04) and rates[25:375] == pytest.approx([0.1] * 350)
    assert rates[437] == pytest.approx(0.05, abs=1e-3) and rates[499] < 2e-5


def test_the_mean_is_that_of_ten_thousand_heads():
    prior = generator("eg3d")
    start, spread = first_styles(prior, None, small.portrait(), config_of(prior), draws())
    codes = torch.randn(10_000, 16, generator=draws())
    every = styles(prior, codes)[:, 0]
    assert MEAN_CODES == 10_000 and start.shape == (1, prior.num_ws, 12)
    assert_close(start[0, 0], every.mean(0), atol=1e-5, rtol=1e-4)
    assert spread == pytest.approx(float((every - every.mean(0)).square().sum(1).mean()) ** 0.5, rel=1e-4)
    assert len(mean_styles(prior, draws(), codes)[0]) == 8


def test_noise_of_the_latents_fades():
    prior = generator("eg3d")
    run = Inversion(
        prior, torch.zeros(1, prior.num_ws, 12), small.portrait(), config_of(prior), draws(), None, 2.0
    )
    sizes = [float(run._noise_at(0, count).std()) for count in range(4)]
    assert sizes[0] == pytest.approx(2.0 * 0.05, rel=0.25) and sizes[0] > sizes[1] > sizes[2] > sizes[3] == 0
    assert run._noise_at(1, 0) is None


@pytest.mark.usefixtures("coarse_surveys")
@pytest.mark.parametrize("family", pretend.KINDS)
def test_a_portrait_becomes_a_head(family, tmp_path):
    prior, states = generator(family), {}
    config = config_of(prior)
    head = invert(
        prior,
        None,
        small.portrait(64),
        config,
        generator=draws(),
        callback=lambda now: states.setdefault(now.step, now.state()),
    )
    before, after = prior.state_dict(), head.generator.state_dict()
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    assert head.latents.std(1).max() > 0  # W+: each row its own way
    assert "decoder.net.0.weight" in moved and not any("mapping." in key for key in moved)
    assert any(key.startswith("superresolution.") for key in moved)
    assert any(key.startswith("bcg_synthesis.") for key in moved) == (family != "eg3d")
    assert ("ConvA.0.weight" in moved) == (family == "spherehead")
    assert (
        head.generator.config.render.near == (2.25 if family == "eg3d" else 2.35)
        and prior.config.render.near == 2.25
    )
    again = invert(prior, None, small.portrait(64), config, generator=draws(), state=states[5])
    assert torch.equal(again.planes, head.planes)
    save_head(head, tmp_path / "head.safetensors")
    view = load_head(tmp_path / "head.safetensors").render(frontal()[None], 32)
    assert view.rgb.isfinite().all() and view.rgb.shape == (1, 3, 32, 32)


def test_the_camera_moves_as_the_whole_model_moves_it():
    prior, reference = generator("panohead"), small.portrait()
    own, seen_by = projectable(prior, reference, config_of(prior))
    label = label_from_camera(reference.camera)[None]
    shift = prior.offset(torch.zeros(1, 16), label)
    assert_close(seen_by.camera.position, reference.camera.position + shift[0])
    assert shift.abs().max() > 0 and own.config.render.near == 2.35
    assert own.decoder is prior.decoder  # weights are shared
    other, same = projectable(generator("eg3d"), reference, config_of(generator("eg3d")))
    assert torch.equal(same.camera.cam2world, reference.camera.cam2world) and other.config.render.near == 2.25


@torch.no_grad()
@pytest.mark.parametrize("family", ["panohead", "spherehead"])
def test_a_head_before_its_own_background_is_no_distance_away(family):
    prior = generator(family)
    ws = styles(prior, torch.randn(1, 16, generator=draws(1)))
    field = prior.field(prior.planes(ws), ws)
    own = prior.synthesis(ws, label_from_camera(frontal())[None])
    blank = picture_target(small.portrait(), prior, background=True)
    assert blank.background and float(blank.compared.min()) == 1
    target = replace(blank, image=own.image, raw=own.image_raw, mask=own.opacity)

    def loss(of, **weights):
        return float(crop_loss(prior, field, ws, of, FEW, 1 << 16, draws(), None, 0.0, **weights))

    assert loss(target) < 0.2 * loss(replace(target, background=False))  # its samples are jittered
    assert loss(target, pixels=0.0, silhouette=1.0) < 5e-3
    full = replace(target, mask=torch.ones_like(own.opacity))
    assert loss(full, pixels=0.0, silhouette=1.0) > float((1 - own.opacity).square().mean()) / 2
    assert loss(target, pixels=0.5) == pytest.approx(loss(target) / 2, rel=1e-4)


def test_a_fit_comes_closer_to_a_head_of_the_prior():
    """The target is a head of the generator itself, before its own background."""
    prior = generator("panohead")
    with torch.no_grad():
        ws = styles(prior, torch.randn(1, 16, generator=draws(3)))
        _, seen_by = projectable(prior, small.portrait(32), config_of(prior))
        shown = prior.synthesis(ws, label_from_camera(seen_by.camera)[None])
        image = ((F.interpolate(shown.image, size=(32, 32), mode="area") + 1) / 2).clamp(0, 1)[0]
        mask = F.interpolate(shown.opacity, size=(32, 32), mode="bilinear")[0].clamp(0, 1)
    reference = replace(small.portrait(32), image=image, mask=mask.clamp(min=0.6))
    losses = []
    invert(
        prior,
        None,
        reference,
        replace(
            config_of(prior), latent_steps=40, tuning_steps=10, keep_latents=0.0, silhouette=0.0, pixels=1.0
        ),
        generator=draws(),
        callback=lambda now: losses.append(now.loss),
    )
    assert sum(losses[-5:]) < 0.6 * sum(losses[:5]) and all(map(math.isfinite, losses))


def test_pixels_count_fully_where_nothing_else_looks(monkeypatch):
    prior, weights = generator("eg3d"), []
    start = torch.zeros(1, prior.num_ws, 12)

    def spy(*words, **kinds):
        weights.append((kinds["pixels"], kinds["silhouette"]))
        return crop_loss(*words, **kinds)

    monkeypatch.setattr(inversion, "crop_loss", spy)
    for eyes in (None, lambda ours, theirs: (ours[0] - theirs[0]).abs().mean()):
        Inversion(prior, start, small.portrait(), config_of(prior), draws(), eyes).step()
    assert weights == [(1.0, 0.1), (0.1, 0.1)]


def test_a_vgg_sees_pictures_of_256_pixels():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = VGG16().requires_grad_(False)
    a, b = torch.rand(2, 1, 3, 64, 64, generator=draws()) * 2 - 1
    small_a, small_b = (F.avg_pool2d(x, 2) for x in (a, b))
    assert_close(vgg_distance(network, 2)((a, a), (b, b)), vgg_distance(network)((small_a, a), (small_b, b)))
    wide = PanoHeadGenerator(replace(pretend.CONFIGS["panohead"], super_resolution="8XDC"))
    eyes = eyes_for(wide, None, network)
    big = F.interpolate(a, size=(512, 512))
    assert wide.resolution == 512 and eyes.name == "your VGG16"
    other = torch.zeros_like(big)
    assert_close(
        eyes.distance((big, big), (other, other)),
        vgg_distance(network)((F.avg_pool2d(big, 2), big), (F.avg_pool2d(other, 2), other)),
    )
    assert camera_from_label(label_from_camera(frontal())[None]).shape == (1,)
