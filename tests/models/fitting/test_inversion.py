"""models/fitting/inversion.py: it fits, it keeps to its stages, it resumes with the same bits."""

from dataclasses import replace

import pytest
import torch
from portrait_diffusion.models.field.volume_rendering import RenderConfig
from portrait_diffusion.models.fitting.inversion import Inversion, InversionConfig, invert
from portrait_diffusion.models.fitting.photo_losses import photo_target, ray_loss

from ..small import encoder, generator, portrait

CONFIG = InversionConfig(latent_steps=6, tuning_steps=6, size=16, rays=64, coarse=8, fine=4)


def draws(seed=0):
    return torch.Generator().manual_seed(seed)


class Stop(Exception):
    pass


def test_it_comes_closer_to_the_photo():
    long = replace(CONFIG, latent_steps=20, tuning_steps=40, tuning_rate=5e-3)
    head = invert(generator(), encoder(), portrait(), long, generator=draws())
    start = invert(generator(), encoder(), portrait(), replace(long, latent_steps=0, tuning_steps=0), generator=draws())
    target = photo_target(portrait(), 16)
    after, before = (ray_loss(h.field(), target, RenderConfig(coarse=8, fine=4), 200, draws(1)).item() for h in (head, start))
    assert after < 0.7 * before


def test_the_callers_generator_is_never_changed():
    prior = generator()
    before = {key: value.clone() for key, value in prior.state_dict().items()}
    invert(prior, encoder(), portrait(), CONFIG, generator=draws())
    assert all(torch.equal(value, before[key]) for key, value in prior.state_dict().items())


def test_the_first_stage_moves_latents_only_and_the_second_the_generator_only():
    net = generator()
    run = Inversion(net, net.mapping(torch.zeros(1, 6)), portrait(), CONFIG, draws())
    for _ in range(CONFIG.latent_steps):
        run.step()
    assert not torch.equal(run.latents, run.start)
    assert all(torch.equal(a, b) for a, b in zip(run.generator.parameters(), net.parameters(), strict=True))
    latents = run.latents.detach().clone()
    for _ in range(CONFIG.tuning_steps):
        run.step()
    assert torch.equal(run.latents, latents)
    assert not torch.equal(run.generator.backbone.synthesis.b4.const, net.backbone.synthesis.b4.const)


@pytest.fixture(scope="module")
def whole():
    return invert(generator(), encoder(), portrait(), CONFIG, generator=draws())


@pytest.mark.parametrize("at", [1, 5, 6, 9])
def test_a_resumed_run_ends_with_the_same_bits(at, whole):
    kept = {}

    def die(now):
        if now.step == at:
            kept.update({key: value.clone() for key, value in now.state().items()})
            raise Stop

    with pytest.raises(Stop):
        invert(generator(), encoder(), portrait(), CONFIG, generator=draws(), callback=die)
    resumed = invert(generator(), encoder(), portrait(), CONFIG, generator=draws(99), state=kept)
    assert torch.equal(whole.planes, resumed.planes)
    assert all(torch.equal(a, b) for a, b in zip(whole.generator.parameters(), resumed.generator.parameters(), strict=True))


def test_an_empty_mask_and_negative_steps_are_named():
    empty = replace(portrait(), mask=torch.zeros(1, 32, 32))
    with pytest.raises(ValueError, match="mask with a foreground"):
        invert(generator(), encoder(), empty, CONFIG, generator=draws())
    with pytest.raises(ValueError, match="steps >= 0"):
        InversionConfig(latent_steps=-1)
