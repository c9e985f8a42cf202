import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from portrait_diffusion.models.diffusion.schedule import (
    CLEAN,
    PREDICTIONS,
    Schedule,
    TimePrior,
    add_noise,
    annealed_t,
    clean_from,
    clean_from_noise,
    ddim,
    ddim_step,
    from_sigmas,
    noise_from,
    sigmas,
    stable_diffusion_schedule,
    time_prior,
    timesteps,
    velocity,
)
from torch.testing import assert_close

seeds = st.integers(0, 2**31 - 1)
SCHEDULE = stable_diffusion_schedule()


def sample(seed, rows=3):
    g = torch.Generator().manual_seed(seed)
    shape = rows, 4, 2, 2
    clean, noise = (torch.randn(shape, generator=g, dtype=torch.float64) for _ in range(2))
    return clean, noise, torch.randint(0, 1000, (rows,), generator=g)


@given(seeds, st.sampled_from(PREDICTIONS))
def test_a_perfect_output_gives_back_what_was_mixed(seed, prediction):
    clean, noise, t = sample(seed)
    schedule = stable_diffusion_schedule(prediction)
    z = add_noise(schedule, clean, noise, t)
    output = {"epsilon": noise, "v_prediction": velocity(schedule, clean, noise, t), "sample": clean}[
        prediction
    ]
    assert_close(clean_from(schedule, output, z, t), clean)
    assert_close(noise_from(schedule, output, z, t), noise)


@given(seeds, st.sampled_from(PREDICTIONS))
def test_conversions_of_any_output_agree_with_each_other(seed, prediction):
    output, z, t = sample(seed)
    schedule = stable_diffusion_schedule(prediction)
    clean, noise = clean_from(schedule, output, z, t), noise_from(schedule, output, z, t)
    assert_close(add_noise(schedule, clean, noise, t), z)
    assert_close(clean_from_noise(schedule, noise, z, t), clean)
    assert_close(
        {"epsilon": noise, "v_prediction": velocity(schedule, clean, noise, t), "sample": clean}[prediction],
        output,
    )


@given(seeds, st.integers(1, 30), st.sampled_from(("leading", "trailing", "linspace")))
def test_ddim_with_a_perfect_denoiser_returns_the_clean_latents(seed, count, spacing):
    clean, noise, _ = sample(seed)
    steps, seen = timesteps(SCHEDULE, count, spacing), []

    def perfect(z, t):
        a = SCHEDULE.alpha(t, z)
        return (z - a.sqrt() * clean) / (1 - a).sqrt()

    z = add_noise(SCHEDULE, clean, noise, steps[:1].expand(3))
    assert_close(ddim(SCHEDULE, perfect, z, steps, lambda done, total: seen.append((done, total))), clean)
    assert seen == [(i + 1, count) for i in range(count)]


@given(seeds)
def test_a_step_to_the_same_timestep_stays_and_one_to_clean_ends(seed):
    z, noise_pred, t = sample(seed)
    assert_close(ddim_step(SCHEDULE, z, noise_pred, t, t), z)
    assert_close(ddim_step(SCHEDULE, z, noise_pred, t, CLEAN), clean_from_noise(SCHEDULE, noise_pred, z, t))


def test_a_callback_may_interrupt():
    def stop(done, total):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        ddim(SCHEDULE, lambda z, t: z, torch.zeros(1, 4, 2, 2), timesteps(SCHEDULE, 3), stop)


@given(st.integers(1, 1000), st.sampled_from(("leading", "trailing", "linspace")))
def test_timesteps_fall_and_stay_in_the_table(count, spacing):
    steps = timesteps(SCHEDULE, count, spacing)
    assert len(steps) == count and (steps.diff() < 0).all() or (spacing == "leading" and count == 1000)
    assert 0 <= steps.min() and steps.max() < 1000


def test_sigmas_and_back():
    assert_close(from_sigmas(sigmas(SCHEDULE)).alphas_cumprod, SCHEDULE.alphas_cumprod)


@given(st.floats(0, 1), st.floats(0, 1))
def test_annealing_and_the_time_prior_never_rise(a, b):
    first, second = sorted((a, b))
    prior = TimePrior()
    assert annealed_t(first, 980, 20) >= annealed_t(second, 980, 20)
    assert time_prior(first, prior) >= time_prior(second, prior)
    assert annealed_t(-1, 980, 20) == 980 and annealed_t(2, 980, 20, 0.5) == 20


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="expected a prediction among"):
        stable_diffusion_schedule("x0")
    with pytest.raises(ValueError, match="falling inside"):
        Schedule(alphas_cumprod=SCHEDULE.alphas_cumprod.flip(0))
    with pytest.raises(ValueError, match="whole numbers from 0 to 999"):
        add_noise(SCHEDULE, torch.zeros(1, 4, 2, 2), torch.zeros(1, 4, 2, 2), 1000)
    with pytest.raises(ValueError, match="count from 1 to 1000"):
        timesteps(SCHEDULE, 0)
    with pytest.raises(ValueError, match="expected a spacing among"):
        timesteps(SCHEDULE, 3, "karras")
    with pytest.raises(ValueError, match="0 < low <= high"):
        TimePrior(low=900)
