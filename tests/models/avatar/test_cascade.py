"""models/avatar/cascade.py: both stages tied together, spoilt planes, and the whole config."""

import json
from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest
import torch
from portrait_diffusion.models.avatar.cascade import (
    AugmentationConfig,
    AvatarConfig,
    Cascade,
    blurred,
    generate,
    generate_coarse,
    generate_fine,
    spoil,
)
from portrait_diffusion.models.avatar.conditioning import portrait_conditions
from portrait_diffusion.models.avatar.schedules import BASE, UPSAMPLER, ScheduleConfig, schedule_of
from portrait_diffusion.models.bounds import configured
from portrait_diffusion.models.diffusion.embedded import AutoencoderConfig, autoencoder
from torch.testing import assert_close

from . import small
from .small import random


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_planes_come_by_their_seed_and_portrait():
    cascade, conditions = small.cascade(), small.conditions(1)
    planes = generate(cascade, conditions, seeded())
    assert planes.shape == (1, 3, 4, 16, 16) and planes.abs().max() <= 1 and not planes.requires_grad
    assert torch.equal(generate(cascade, conditions, seeded()), planes)
    assert not torch.equal(generate(cascade, conditions, seeded(1)), planes)
    assert not torch.equal(generate(cascade, small.conditions(1, seed=5), seeded()), planes)
    assert not torch.equal(generate(cascade, conditions.null(), seeded()), planes)


def test_progress_shows_coarse_planes_then_fine_ones():
    progress = []
    planes = generate(
        small.cascade(),
        small.conditions(2),
        seeded(),
        lambda done, total, estimate: progress.append((done, total, estimate)),
    )
    assert [(done, total) for done, total, _ in progress] == [(i, 5) for i in range(1, 6)]
    assert [x.shape[-1] for *_, x in progress] == [8, 8, 8, 16, 16]
    assert torch.equal(progress[-1][2], planes)


def test_a_callback_interrupts():
    def stop(done, total, planes):
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(small.cascade(), small.conditions(1), seeded(), stop)


def test_guidance_of_one_asks_for_the_portrait_only():
    base, schedule, conditions = small.base(), schedule_of(BASE), small.conditions(2)
    rows = []
    hook = base.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    plain = generate_coarse(base, schedule, conditions, seeded(), steps=2, guidance_scale=1)
    near = generate_coarse(base, schedule, conditions, seeded(), steps=2, guidance_scale=1.0 + 1e-9)
    hook.remove()
    assert rows == [2, 2, 4, 4]
    assert_close(plain, near, rtol=1e-3, atol=1e-3)
    none = generate_coarse(base, schedule, conditions, seeded(), steps=2, guidance_scale=0)
    assert_close(
        none, generate_coarse(base, schedule, conditions.null(), seeded(), steps=2), rtol=1e-3, atol=1e-3
    )


def test_half_precision_networks_are_sampled_in_float32():
    cascade = small.cascade().bfloat16()
    planes = generate(cascade, small.conditions(1), seeded())
    assert planes.dtype == torch.float32 and planes.isfinite().all()


def test_a_new_upsampler_hands_the_coarse_planes_on():
    coarse = 0.5 * random(2, 3, 4, 8, 8).clamp(-1, 1)
    net = Cascade(small.AVATAR).upsampler
    planes = generate_fine(net, schedule_of(UPSAMPLER), coarse, small.conditions(2), seeded(), steps=4)
    means = torch.nn.functional.avg_pool2d(planes.flatten(0, 1), 2).view_as(coarse)
    assert (means - coarse).abs().mean() < 0.1


def test_spoilt_planes_differ_by_row_and_by_seed_only():
    coarse = random(1, 3, 4, 16, 16).expand(6, -1, -1, -1, -1)
    rows = spoil(coarse, AugmentationConfig(), seeded())
    assert rows.shape == coarse.shape and torch.equal(rows, spoil(coarse, AugmentationConfig(), seeded()))
    assert not torch.equal(rows[0], rows[1])


@pytest.mark.parametrize("level", (0.0, 0.1))
def test_noise_is_as_strong_as_the_config_says(level):
    config = AugmentationConfig(blur_chance=0, shrink_chance=0, least_noise=level, most_noise=level)
    coarse = random(4, 3, 4, 16, 16)
    noise = spoil(coarse, config, seeded()) - coarse
    assert noise.std().item() == pytest.approx(level, rel=0.05, abs=1e-6)


def test_blur_and_shrinking_take_detail_away():
    coarse = random(8, 3, 4, 16, 16)
    still = AugmentationConfig(blur_chance=0, shrink_chance=0, least_noise=0, most_noise=0)
    for changes in ({"blur_chance": 1.0}, {"shrink_chance": 1.0}):
        spoilt = spoil(coarse, replace(still, **changes), seeded())
        assert spoilt.std() < 0.95 * coarse.std()
        flat = spoil(torch.ones_like(coarse), replace(still, **changes), seeded())
        assert_close(flat, torch.ones_like(coarse))
    assert torch.equal(spoil(coarse, still, seeded()), coarse)


def test_a_blur_s_width_is_its_sigma():
    dot = torch.zeros(3, 1, 33, 33)
    dot[..., 16, 16] = 1
    spread = blurred(dot, 1.5)[0, 0].sum(0)
    x = torch.arange(33.0) - 16
    assert (spread * x**2).sum().sqrt().item() == pytest.approx(1.5, rel=0.02)


def test_a_config_survives_json():
    values = json.loads(json.dumps(asdict(small.AVATAR)))
    assert configured(AvatarConfig, values, "avatar model") == small.AVATAR


def test_all_layers_with_weights_are_the_caller_s():
    """So that a node can have them cast and moved as ComfyUI's layers are."""
    kinds = ("Linear", "Conv1d", "Conv2d", "GroupNorm", "LayerNorm")
    operations = SimpleNamespace(**{kind: type(kind, (getattr(torch.nn, kind),), {}) for kind in kinds})
    layers = [m for m in Cascade(small.AVATAR, operations=operations).modules() if hasattr(m, "weight")]
    assert layers and all(type(layer) in vars(operations).values() for layer in layers)


def test_the_paper_s_config_fits_together():
    """From a portrait of 256 pixels by Stable Diffusion XL's autoencoder to planes of 512, without any memory."""
    config = AvatarConfig()
    with torch.device("meta"):
        vae = autoencoder(AutoencoderConfig(channels=(128, 256, 512, 512), layers=2, groups=32))
        cascade = Cascade(config)
        conditions = portrait_conditions(vae, torch.zeros(1, 3, 256, 256), config.portrait)
        assert [list(x.shape[1:]) for x in conditions.maps] == [[128, 128, 128], [256, 64, 64], [512, 32, 32]]
        assert [cascade.base.map_tokens(conditions, i).shape for i in range(3)] == [(1, 512, 64)] * 3
        low, time = torch.zeros(1, 32, 128, 384), torch.zeros(1)
        assert cascade.base(low, time, conditions).shape == (1, 64, 128, 384)
        fine = torch.zeros(1, 32, 512, 1536)
        assert cascade.upsampler(fine, time, low, conditions).shape == fine.shape
    assert {name.partition(".")[0] for name in cascade.state_dict()} == {"base", "upsampler"}


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"base": replace(small.BASE, plane_channels=8)}, "planes of as many channels from both networks"),
        (
            {"base": replace(small.BASE, size=32, attention=(32, 16))},
            "finer ones from the upsampler, got 4 x 32",
        ),
        ({"portrait": {"size": 64, "blocks": [0]}}, "expected at least 2 maps of the portrait"),
        ({"portrait": {"sizes": 64}}, "avatar model's portrait: .* 'sizes' is unknown"),
        ({"upsampler": 3}, "avatar model's upsampler: .* 3 instead of names and values"),
        (
            {"base_schedule": ScheduleConfig(prediction="sample")},
            "expected a base model that predicts epsilon or v_prediction",
        ),
        ({"upsampler_steps": 101}, "expected upsampler_steps from 1 to 100, got 101"),
        ({"augmentation": {"least_noise": 2, "most_noise": 1}}, "expected least_noise up to most_noise"),
    ],
)
def test_configs_that_do_not_go_together_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        replace(small.AVATAR, **changes)


def test_what_are_no_coarse_planes_is_refused():
    with pytest.raises(ValueError, match=r"expected coarse planes \[B, 3, C, h, h\], got \[2, 4, 8, 24\]"):
        spoil(torch.zeros(2, 4, 8, 24), AugmentationConfig(), seeded())
