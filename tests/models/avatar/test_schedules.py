"""models/avatar/schedules.py: the reference's tables and sampler step; what schedules and the sampler promise."""

import re
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from portrait_diffusion.models.avatar import schedules as ours
from portrait_diffusion.models.avatar.schedules import (
    BASE,
    UPSAMPLER,
    ScheduleConfig,
    ancestral_step,
    guided_noise,
    posterior,
    sample,
    sampling_steps,
    schedule_of,
    step_noise,
)
from portrait_diffusion.models.diffusion.schedule import CLEAN, add_noise, ddim_step
from torch.testing import assert_close

from ...golden_fixtures import assert_near, each

NAMES = {
    "linear": ScheduleConfig(kind="linear"),
    "squaredcos_cap_v2": ScheduleConfig(kind="squared_cosine"),
    "cosine_light": BASE,
    "cosine": ScheduleConfig(tau=5.0),
}  # the reference's options
TABLE = 1e-9


def config_of(entry):
    """Of a schedule as the reference's fixtures name it."""
    if entry["kind"] == "named":
        return replace(NAMES[entry["name"]], count=entry["num_steps"])
    return ScheduleConfig(
        kind=entry["kind"],
        count=entry["num_steps"],
        start=entry["start"],
        end=entry["end"],
        tau=entry["tau"],
    )


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@each("diffusion_rodin_schedules*")
def test_the_reference_s_tables(golden):
    for name, entry in golden.config["schedules"].items():
        config = config_of(entry)
        schedule = schedule_of(config)
        tables = posterior(schedule)
        a = schedule.alphas_cumprod
        values = {
            "alphas_cumprod": a,
            "alpha": a.sqrt(),
            "sigma": (1 - a).sqrt(),
            "betas": ours.betas(schedule),
            "logsnr": ours.log_snr(schedule),
            "posterior_mean_coef1": tables.clean,
            "posterior_mean_coef2": tables.noisy,
            "posterior_log_variance_clipped": tables.log_variance,
        }
        for key, value in values.items():
            assert_close(
                value, golden.wanted(f"{name}/{key}"), rtol=TABLE, atol=TABLE, msg=f"{name}/{key} differs"
            )
        assert_close(  # absolute bounds say nothing of the end
            a, golden.wanted(f"{name}/alphas_cumprod"), rtol=1e-6, atol=0
        )
        if golden.has(f"out/{name}/gamma_t101"):
            gamma = ours.cosine_gamma if config.kind == "cosine" else ours.sigmoid_gamma
            t = torch.linspace(0, 1, 101, dtype=torch.float64)
            values = gamma(t, config.start, config.end, config.tau)
            assert_close(values, golden.wanted(f"{name}/gamma_t101"), rtol=0, atol=TABLE)


@each("diffusion_rodin_schedules*")
def test_the_reference_s_sampling_steps(golden):
    names = [re.fullmatch(r"out/(\w+)/steps(\d+)/timesteps", name) for name in golden.tensors]
    names = [name for name in names if name]
    assert names
    for name in names:
        schedule = schedule_of(config_of(golden.config["schedules"][name[1]]))
        steps = sampling_steps(schedule, int(name[2])).flip(0)
        prefix = f"{name[1]}/steps{name[2]}"
        assert torch.equal(steps, golden.wanted(f"{prefix}/timesteps"))
        path = [CLEAN, *steps.tolist()]
        sigmas = [step_noise(schedule, t, before) for before, t in zip(path, path[1:])]
        table = torch.cat([schedule.alphas_cumprod, torch.ones(1, dtype=torch.float64)])
        assert_close(table[path[1:]], golden.wanted(f"{prefix}/alphas"), rtol=0, atol=TABLE)
        assert_close(table[path[:-1]], golden.wanted(f"{prefix}/alphas_prev"), rtol=0, atol=TABLE)
        wanted = golden.wanted(f"{prefix}/sigmas_eta1")
        assert_close(torch.tensor(sigmas, dtype=torch.float64), wanted, rtol=0, atol=TABLE)


def schedule_named(golden):
    """The schedule that a fixture of losses and steps calls by the reference's name."""
    return schedule_of(replace(NAMES[golden.config["schedule"]], count=golden.config["num_steps"]))


@each("diffusion_rodin_losses*")
def test_the_reference_s_guided_step(golden):
    config, schedule = golden.config, schedule_named(golden)
    steps = [*sampling_steps(schedule, config["sampling_steps"]).flip(0).tolist()]
    index = config["step_index"]
    t = int(golden.given("step_t"))
    assert steps[index] == t
    assert torch.equal(
        ours.network_time(schedule, golden.given("step_t")), golden.wanted("step_scaled_t").float()
    )
    conditional, unconditional = golden.given("step_model_output_cond_uncond").chunk(2)
    output = guided_noise(
        conditional, unconditional, config["guidance_scale"], golden.given("step_x").shape[1]
    )
    t_next = steps[index - 1] if index else CLEAN
    z, clean = ancestral_step(
        schedule, golden.given("step_x"), output, t, t_next, golden.given("step_noise"), config["eta"]
    )
    assert_near(clean, golden.wanted("step_pred_x0"), 1e-5, "step_pred_x0")
    assert_near(z, golden.wanted("step_x_prev"), 1e-5, "step_x_prev")


def test_the_facts_of_both_schedules():
    base, fine = schedule_of(BASE), schedule_of(UPSAMPLER)
    assert base.alphas_cumprod[0].item() == pytest.approx(0.99755, abs=1e-5)
    assert fine.alphas_cumprod[0].item() == pytest.approx(0.851, abs=1e-3)
    assert ours.log_snr(base)[500].item() == pytest.approx(-2.84, abs=0.02)
    assert ours.log_snr(fine)[50].item() == pytest.approx(-14.6, abs=0.1)
    assert (base.prediction, fine.prediction) == ("epsilon", "sample")


@given(st.floats(0.0, 0.9), st.floats(0.5, 6.0), st.integers(10, 500))
def test_gamma_runs_from_one_to_nothing(start, tau, count):
    for gamma in (ours.cosine_gamma, ours.sigmoid_gamma):
        values = gamma(torch.linspace(0, 1, count), start, 1.0, tau)
        assert values.dtype == torch.float64
        assert values[0] == 1 and abs(values[-1]) < 1e-12 and (values.diff() <= 0).all()


@given(st.integers(0, 998), st.integers(0, 99))
def test_an_ancestral_step_to_the_neighbour_is_the_posterior(t, seed):
    """DDPM (Ho et al. 2020, eqs. 6 and 7): mean and variance agree where nothing is clipped."""
    schedule = schedule_of(ScheduleConfig(kind="linear"))
    clean, noise, fresh = (random(1, 4, seed=3 * seed + i).double() for i in range(3))
    clean, tables = clean.clamp(-1, 1), posterior(schedule)
    z = add_noise(schedule, clean, noise, t)
    ours_z, estimate = ancestral_step(schedule, z, noise, t, t - 1 if t else CLEAN, fresh)
    assert_close(estimate, clean, rtol=1e-6, atol=1e-6)
    mean = tables.clean[t] * clean + tables.noisy[t] * z
    spread = (0.5 * tables.log_variance[t]).exp() if t else 0
    assert_close(ours_z, mean + spread * fresh, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("config", (BASE, UPSAMPLER))
def test_a_network_that_knows_the_answer_gives_it(config):
    schedule, clean = schedule_of(config), random(2, 3, 4).clamp(-0.9, 0.9)
    progress = []

    def predict(z, time):
        t = int(time[0] * config.count / 1000)
        a = schedule.alpha(t, z)
        return clean if config.prediction == "sample" else (z - a.sqrt() * clean) / (1 - a).sqrt()

    result = sample(
        schedule,
        predict,
        random(2, 3, 4, seed=1),
        sampling_steps(schedule, 10),
        torch.Generator().manual_seed(0),
        lambda done, count, estimate: progress.append((done, count, estimate.shape)),
    )
    assert_close(result, clean, rtol=1e-4, atol=1e-4)
    assert progress == [(i + 1, 10, clean.shape) for i in range(10)]


def test_without_eta_a_step_is_ddim_s():
    schedule, z, noise = schedule_of(ScheduleConfig(kind="linear")), random(1, 4), random(1, 4, seed=1)
    z = 0.1 * z + noise  # nothing is clipped
    ours_z, _ = ancestral_step(schedule, z, noise, 500, 400, random(1, 4, seed=2), eta=0.0)
    assert_close(ours_z, ddim_step(schedule, z, noise, 500, 400), rtol=1e-4, atol=1e-5)


def test_guidance_leaves_the_variance_out():
    a, b = random(2, 6, 3), random(2, 6, 3, seed=1)
    assert_close(guided_noise(a, b, 1.0, 3), a[:, :3])
    assert_close(guided_noise(a, b, 0.0, 3), b[:, :3])
    assert_close(guided_noise(a, b, 2.0, 3), 2 * a[:, :3] - b[:, :3])


@pytest.mark.parametrize("count, every", ((10, 100), (7, 142), (1000, 1)))
def test_steps_begin_at_the_last(count, every):
    steps = sampling_steps(schedule_of(BASE), count).tolist()
    assert len(steps) == count and steps[0] == 999 and all(a - b == every for a, b in zip(steps, steps[1:]))


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: ScheduleConfig(kind="cubic"), "expected a kind among cosine, sigmoid"),
        (lambda: ScheduleConfig(start=1.0, end=0.5), "expected start below end"),
        (lambda: ScheduleConfig(end=1.5), "both in 0 .. 1 of a cosine"),
        (lambda: ScheduleConfig(start=-0.5), "both in 0 .. 1 of a cosine, got -0.5 and 1.0"),
        (lambda: ScheduleConfig(tau=0), "expected tau from 0.001 to 100, got 0"),
        (lambda: sampling_steps(schedule_of(UPSAMPLER), 101), "expected a count from 1 to 100, got 101"),
        (lambda: posterior(schedule_of(ScheduleConfig(kind="linear", count=1))), "at least two steps, got 1"),
    ],
)
def test_other_values_are_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
