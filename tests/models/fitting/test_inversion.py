"""models/fitting/inversion.py: it fits, it keeps to its stages, it resumes with the same bits."""

from dataclasses import replace

import pytest
import torch
from portrait_diffusion.models.field.volume_rendering import RenderConfig
from portrait_diffusion.models.fitting import rays
from portrait_diffusion.models.fitting.inversion import Inversion, InversionConfig, invert
from portrait_diffusion.models.fitting.photo_losses import photo_target, ray_loss
from torch.testing import assert_close

from ..hungry import starve
from ..small import encoder, generator, portrait

pytestmark = pytest.mark.usefixtures("coarse_surveys")

CONFIG = InversionConfig(
    latent_steps=6, tuning_steps=6, detail_steps=6, sweep_steps=6, size=16, rays=64, coarse=8, fine=4
)


def draws(seed=0):
    return torch.Generator().manual_seed(seed)


class Stop(Exception):
    pass


def test_it_comes_closer_to_the_photo():
    long = replace(CONFIG, latent_steps=20, tuning_steps=40, detail_steps=0, tuning_rate=5e-3)
    head = invert(generator(), encoder(), portrait(), long, generator=draws())
    start = invert(
        generator(), encoder(), portrait(), replace(long, latent_steps=0, tuning_steps=0), generator=draws()
    )
    target = photo_target(portrait(), 16)
    after, before = (
        ray_loss(h.field(), target, RenderConfig(coarse=8, fine=4), 200, draws(1)).item()
        for h in (head, start)
    )
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
def run_and_states(coarse_surveys):
    """A head that was inverted without a break, and the state after each step."""
    states = {}
    head = invert(
        generator(),
        encoder(),
        portrait(),
        CONFIG,
        generator=draws(),
        callback=lambda now: states.setdefault(now.step, now.state()),
    )
    return head, states


@pytest.fixture(scope="module")
def whole(run_and_states):
    return run_and_states[0]


@pytest.mark.parametrize("at", [1, 5, 6, 9, 14, 18, 21])
def test_a_resumed_run_ends_with_the_same_bits(at, run_and_states):
    whole, states = run_and_states
    resumed = invert(generator(), encoder(), portrait(), CONFIG, generator=draws(99), state=states[at])
    assert torch.equal(whole.planes, resumed.planes)
    assert all(
        torch.equal(a, b)
        for a, b in zip(whole.generator.parameters(), resumed.generator.parameters(), strict=True)
    )


def test_a_run_that_ends_within_its_callback_leaves_the_same_state(run_and_states):
    kept = {}

    def die(now):
        if now.step == 9:
            kept.update(now.state())
            raise Stop

    with pytest.raises(Stop):
        invert(generator(), encoder(), portrait(), CONFIG, generator=draws(), callback=die)
    assert kept.keys() == run_and_states[1][9].keys()
    assert all(torch.equal(kept[name], tensor) for name, tensor in run_and_states[1][9].items())


def in_version_1(state):
    """A state of `Inversion` as the pack wrote it before states had versions: no counts of bad steps, variables by number."""
    variables = [name.removeprefix("value.") for name in state if name.startswith("value.")]
    old = {"step": state["numbers"][0], "draws": state["draws"]}
    for i, name in enumerate(variables):
        old |= {
            f"{i}.value": state[f"value.{name}"],
            f"{i}.first": state[f"first.{name}"],
            f"{i}.second": state[f"second.{name}"],
        }
    return old


def test_states_of_before_resume_with_the_same_bits(run_and_states):
    whole, states = run_and_states
    for at in (3, 8, 14):
        old = in_version_1(states[at])
        assert set(old) >= {"step", "draws", "0.value", "1.first", "2.second"} and not any(
            "version" in key for key in old
        )
        resumed = invert(generator(), encoder(), portrait(), CONFIG, generator=draws(99), state=old)
        assert torch.equal(whole.planes, resumed.planes)


def begun(at=0):
    net = generator()
    run = Inversion(net, net.mapping(torch.zeros(1, 6)), portrait(), replace(CONFIG, crop=16), draws())
    run.step_count = at
    return run


@pytest.mark.parametrize("way", ["forward", "backward"])
@pytest.mark.parametrize(
    "at", [0, 2, 6, 8, 12, 14]
)  # latents, generator, planes: rays of the photo, and a piece of the picture
def test_where_memory_runs_out_rays_are_rendered_in_pieces(at, way, monkeypatch):
    whole, short = begun(at), begun(at)
    loss = whole.step().loss
    starve(monkeypatch, rays, "render_rays", 40, way)
    assert short.step().loss == pytest.approx(loss, rel=1e-4)
    assert short.pieces.rows == 32 and torch.equal(short.draws.get_state(), whole.draws.get_state())
    for name, (first, _) in whole.moments.items():
        assert_close(short.moments[name][0], first, rtol=1e-3, atol=1e-6)


def test_a_photo_without_numbers_is_named_and_a_step_without_them_skipped(monkeypatch):
    with pytest.raises(ValueError, match="inversion: expected a photo and a mask of finite numbers, got NaN"):
        invert(
            generator(),
            encoder(),
            replace(portrait(), image=portrait().image * torch.nan),
            CONFIG,
            generator=draws(),
        )
    run, honest = begun(), Inversion._photo_loss
    monkeypatch.setattr(
        Inversion,
        "_photo_loss",
        lambda self, field: honest(self, field) * (torch.nan if self.step_count % 2 else 1),
    )
    for _ in range(8):
        progress = run.step()
    assert progress.skipped == 4 and run.latents.isfinite().all() and not torch.equal(run.latents, run.start)


def test_an_empty_mask_and_negative_steps_are_named():
    empty = replace(portrait(), mask=torch.zeros(1, 32, 32))
    with pytest.raises(ValueError, match="mask with a foreground"):
        invert(generator(), encoder(), empty, CONFIG, generator=draws())
    with pytest.raises(ValueError, match="steps >= 0"):
        InversionConfig(latent_steps=-1)
