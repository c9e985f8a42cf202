"""models/avatar/conditioning.py: what is read of an autoencoder, Pillow's filter, nulls and dropped rows."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from portrait_diffusion.models.avatar.conditioning import (
    Conditions,
    PortraitConfig,
    lanczos,
    portrait_conditions,
    portrait_image,
)
from portrait_diffusion.models.camera import frontal
from portrait_diffusion.models.diffusion.autoencoder import encode
from portrait_diffusion.models.diffusion.embedded import AutoencoderConfig, autoencoder
from portrait_diffusion.models.photo.alignment import uncropped
from torch.testing import assert_close

from . import small
from .small import random

CONFIG = PortraitConfig(size=64)


@pytest.fixture(scope="module")
def vae():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return autoencoder(AutoencoderConfig()).requires_grad_(False).eval()


def images(rows=2, size=64):
    return random(rows, 3, size, size).sigmoid()


def test_maps_are_what_the_down_blocks_hand_on(vae):
    outputs = []
    hooks = [
        block.register_forward_hook(lambda _, __, out: outputs.append(out))
        for block in vae.encoder.down_blocks
    ]
    vae.encode(2 * images() - 1)
    for hook in hooks:
        hook.remove()
    conditions = portrait_conditions(vae, images(), CONFIG)
    assert [list(x.shape[1:]) for x in conditions.maps] == [[16, 32, 32], [32, 16, 16], [64, 8, 8]]
    for ours, theirs in zip(conditions.maps, outputs):
        assert_close(ours, theirs)
    chosen = portrait_conditions(vae, images(), replace(CONFIG, blocks=(2,)))
    assert len(chosen.maps) == 1 and torch.equal(chosen.maps[0], conditions.maps[2])


def test_the_latent_is_read_before_or_behind_the_last_convolution(vae):
    before = portrait_conditions(vae, images(), CONFIG).latent
    behind = portrait_conditions(vae, images(), replace(CONFIG, quantised=True)).latent
    assert_close(behind, encode(vae, images()) / vae.config.scaling_factor)
    assert_close(before, vae.encoder(2 * images() - 1).chunk(2, 1)[0])
    assert not torch.allclose(before, behind)


def test_a_latent_may_be_drawn(vae):
    def latent(seed, config=CONFIG):
        return portrait_conditions(vae, images(), config, torch.Generator().manual_seed(seed)).latent

    mean = portrait_conditions(vae, images(), CONFIG).latent
    assert torch.equal(latent(1), latent(1)) and not torch.equal(latent(1), latent(2))
    uniform = latent(1, replace(CONFIG, uniform=True))
    assert (uniform >= mean).all() and not (latent(1) >= mean).all()


def test_the_latent_s_row_keeps_its_portrait(vae):
    whole = portrait_conditions(vae, images(), CONFIG)
    row = portrait_conditions(vae, images()[1:], CONFIG)
    for ours, theirs in zip((whole[1:].latent, *whole[1:].maps), (row.latent, *row.maps), strict=True):
        assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("source, target", ((96, 64), (64, 64), (50, 64), (300, 32)))
def test_lanczos_is_pillow_s(source, target):
    image = random(1, 1, source, source + 7).sigmoid()
    theirs = Image.fromarray(image[0, 0].numpy()).resize((target, target), Image.Resampling.LANCZOS)
    assert_close(lanczos(image, target)[0, 0], torch.from_numpy(np.asarray(theirs).copy()), rtol=0, atol=2e-5)


def test_a_portrait_is_shown_on_white():
    mask = torch.zeros(1, 96, 96)
    mask[:, 30:60, 30:60] = 1
    image = portrait_image(uncropped(torch.zeros(3, 96, 96), mask, frontal()), 64)
    assert image.shape == (1, 3, 64, 64)
    assert_close(image[..., :5, :], torch.ones(1, 3, 5, 64))
    assert image[..., 30, 30].max() < 0.01 and image.min() >= 0 and image.max() <= 1


def test_the_null_is_ones():
    null = small.conditions().null()
    assert all(bool((x == 1).all()) for x in (null.latent, *null.maps))
    assert [x.shape for x in null.maps] == [x.shape for x in small.conditions().maps]


def test_rows_are_dropped_whole_and_as_often_as_asked():
    conditions = small.conditions(1).repeated(1000)
    dropped = conditions.dropped(torch.Generator().manual_seed(0), 0.2)
    empty = (dropped.latent == 1).flatten(1).all(1)
    assert empty.float().mean().item() == pytest.approx(0.2, abs=0.04)
    for x, y in zip(dropped.maps, conditions.maps):
        assert torch.equal((x == 1).flatten(1).all(1), empty)
        assert torch.equal(x[~empty], y[~empty])
    again = conditions.dropped(torch.Generator().manual_seed(0), 0.2)
    assert torch.equal(again.latent, dropped.latent)
    assert torch.equal(conditions.dropped(torch.Generator(), 0.0).latent, conditions.latent)


def test_rows_are_put_together():
    conditions = small.conditions(2)
    both = conditions.beside(conditions.null())
    assert (
        len(both) == 4 and torch.equal(both[:2].maps[1], conditions.maps[1]) and (both[2:].latent == 1).all()
    )
    assert torch.equal(conditions.repeated(2).latent[1], conditions.latent[0])
    assert conditions.to(torch.float64).maps[0].dtype == torch.float64


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda vae: portrait_conditions(vae, images(1, 32), CONFIG), r"expected images \[B, 3, 64, 64\]"),
        (lambda vae: portrait_conditions(vae, images(1, 60), CONFIG), "multiples of 8"),
        (
            lambda vae: portrait_conditions(vae, images(1), replace(CONFIG, blocks=(4,))),
            r"an encoder with blocks \(4,\), got .* and 4 blocks",
        ),
        (lambda vae: Conditions(torch.zeros(2, 4, 8)), r"expected a latent \[B, C, h, w\]"),
        (lambda vae: Conditions(torch.zeros(2, 4, 8, 8), (torch.zeros(1, 4, 8, 8),)), "maps of as many rows"),
        (
            lambda vae: small.conditions().dropped(torch.Generator(), 2),
            "expected a chance from 0 to 1, got 2",
        ),
        (lambda vae: lanczos(torch.zeros(3, 8, 8), 4), r"expected images \[B, C, H, W\]"),
        (lambda vae: PortraitConfig(blocks=(9,)), "expected blocks from 0 to 7, got 9"),
    ],
)
def test_other_values_are_refused(vae, call, words):
    with pytest.raises(ValueError, match=words):
        call(vae)
