"""models/diffusion/schedule.py against diffusers' schedulers and DreamCraft3D's timestep prior."""

import re

import torch
from portrait_diffusion.models.diffusion import schedule as ours
from torch.testing import assert_close

from ...golden_fixtures import assert_near, each

TOLERANCE = 1e-6  # float32 tensors


def schedule(golden, prediction="epsilon"):
    config = golden.config
    assert config["beta_schedule"] == "scaled_linear"
    return ours.stable_diffusion_schedule(
        prediction, first_beta=config["beta_start"], last_beta=config["beta_end"]
    )


@each("diffusion_sd_scheduler*")
def test_tables(golden):
    tables = [name for name in golden.tensors if name.endswith("/alphas_cumprod")]
    assert tables
    for name in tables:
        assert_close(schedule(golden).alphas_cumprod, golden.tensors[name].double(), rtol=0, atol=1e-9)


@each("diffusion_sd_scheduler*")
def test_conversions(golden):
    clean, noise, output, t = (golden.given(name) for name in ("z0", "noise", "model_output", "t"))
    epsilon, v = schedule(golden), schedule(golden, "v_prediction")
    z = golden.wanted("x_t")
    assert_near(ours.add_noise(epsilon, clean, noise, t), z, TOLERANCE, "x_t")
    assert_near(ours.velocity(epsilon, clean, noise, t), golden.wanted("velocity"), TOLERANCE, "velocity")
    assert_near(
        ours.clean_from(epsilon, output, z, t), golden.wanted("x0_from_eps"), TOLERANCE, "x0_from_eps"
    )
    assert_near(ours.clean_from(v, output, z, t), golden.wanted("x0_from_v"), TOLERANCE, "x0_from_v")
    assert_near(ours.noise_from(v, output, z, t), golden.wanted("eps_from_v"), TOLERANCE, "eps_from_v")


@each("diffusion_sd_scheduler*")
def test_timesteps(golden):
    names = [re.fullmatch(r"out/timesteps_([a-z]+)_(\d+)", name) for name in golden.tensors]
    found = [name for name in names if name]
    assert found
    for name in found:
        steps = ours.timesteps(schedule(golden), int(name[2]), name[1], golden.config.get("steps_offset", 1))
        assert torch.equal(steps, golden.tensors[name[0]]), name[0]


@each("diffusion_time_prior*")
def test_time_prior(golden):
    config = golden.config
    prior = ours.TimePrior(
        high=config["m1"],
        low=config["m2"],
        high_spread=config["s1"],
        low_spread=config["s2"],
        first=config["max_step"],
        last=config["min_step"],
        count=config["num_train_timesteps"],
    )
    weights = ours.time_prior_weights(prior)
    assert_near(weights, golden.wanted("acc_weights"), TOLERANCE, "acc_weights")
    steps = [ours.time_prior(progress, prior, weights) for progress in golden.given("step_ratio").tolist()]
    assert steps == golden.wanted("t").tolist()
