"""models/avatar/losses.py: the reference's losses and posterior, closed forms, and where gradients go."""

import math
from dataclasses import replace

import pytest
import torch
from portrait_diffusion.models.avatar.losses import (
    clean_loss,
    noise_loss,
    predicted_posterior,
    variational_bound,
)
from portrait_diffusion.models.avatar.schedules import BASE, network_time, posterior, schedule_of
from portrait_diffusion.models.diffusion.schedule import add_noise, noise_from, velocity
from torch.testing import assert_close

from ...golden_fixtures import assert_near, each
from .test_schedules import random, schedule_named

SCHEDULE = schedule_of(BASE)


@each("diffusion_rodin_losses*")
def test_the_reference_s_losses(golden):
    schedule = schedule_named(golden)
    clean, noise, t, output = (golden.given(name) for name in ("x_start", "noise", "t", "model_output"))
    z = add_noise(schedule, clean, noise, t)
    assert_near(z, golden.wanted("x_t"), 1e-6, "x_t")
    z = golden.wanted("x_t")
    normal = predicted_posterior(schedule, output, z, t)
    assert_near(normal.clean, golden.wanted("pred_xstart"), 1e-5, "pred_xstart")
    assert_near(normal.mean, golden.wanted("p_mean"), 1e-5, "p_mean")
    assert_near(normal.log_variance, golden.wanted("p_log_variance"), 1e-5, "p_log_variance")
    loss = noise_loss(schedule, output, clean, noise, z, t)
    assert_close(loss.simple, golden.wanted("mse"), rtol=1e-5, atol=1e-6)
    assert_close(loss.bound, golden.wanted("vb"), rtol=1e-4, atol=1e-6)
    assert_close(loss.total, golden.wanted("loss"), rtol=1e-4, atol=1e-6)
    assert_close(network_time(schedule, t), golden.wanted("model_timesteps").float())


def example(t=(0, 3, 500), channels=2):
    clean, noise = random(len(t), channels, 4, 12).clamp(-1, 1), random(len(t), channels, 4, 12, seed=1)
    steps = torch.tensor(t)
    return clean, noise, add_noise(SCHEDULE, clean, noise, steps), steps


def test_the_true_noise_costs_nothing():
    clean, noise, z, t = example()
    least = torch.cat([noise, -torch.ones_like(noise)], 1)  # the posterior's variance
    loss = noise_loss(SCHEDULE, least, clean, noise, z, t)
    assert not loss.simple.any()
    assert_close(loss.bound[1:], torch.zeros(2), rtol=0, atol=1e-4)
    assert loss.bound[0] > 0  # bits of a value of 256 grades


@pytest.mark.parametrize("prediction", ["v_prediction", "sample"])
def test_what_else_a_network_may_predict_is_judged_as_the_noise_that_it_means(prediction):
    clean, noise, z, t = example((3, 200))  # where neither signal nor noise is lost in float32
    schedule = schedule_of(replace(BASE, prediction=prediction))
    wrong = random(2, 2, 4, 12, seed=2) / 10
    fraction = random(2, 2, 4, 12, seed=3)
    guess = wrong + (clean if prediction == "sample" else velocity(schedule, clean, noise, t))
    loss = noise_loss(schedule, torch.cat([guess, fraction], 1), clean, noise, z, t)
    same = noise_loss(
        SCHEDULE, torch.cat([noise_from(schedule, guess, z, t), fraction], 1), clean, noise, z, t
    )
    assert_close(loss.simple, same.simple, rtol=1e-4, atol=1e-7)
    assert_close(loss.bound, same.bound, rtol=1e-3, atol=1e-7)
    assert_close(loss.own, wrong.square().mean((1, 2, 3)), rtol=1e-4, atol=1e-7)
    assert torch.equal(same.own, same.simple)


def test_the_bound_is_the_divergence_of_two_normal_distributions():
    clean, noise, z, t = example((3, 500))
    output = random(2, 4, 4, 12, seed=2) / 10
    tables, ours = posterior(SCHEDULE), predicted_posterior(SCHEDULE, output, z, t, clip=False)
    shape = (2, 1, 1, 1)
    mean = tables.clean[t].float().view(shape) * clean + tables.noisy[t].float().view(shape) * z
    spread = (0.5 * tables.log_variance[t]).exp().float().view(shape).expand_as(mean)
    theirs = torch.distributions.Normal(ours.mean, (0.5 * ours.log_variance).exp())
    wanted = torch.distributions.kl_divergence(torch.distributions.Normal(mean, spread), theirs)
    bound = variational_bound(SCHEDULE, output, clean, z, t)
    assert_close(bound, wanted.mean((1, 2, 3)) / math.log(2), rtol=1e-3, atol=1e-4)


def test_the_noise_learns_from_the_squares_and_the_variance_from_the_bound():
    clean, noise, z, t = example()
    output = random(3, 4, 4, 12, seed=2).requires_grad_()
    (slope,) = torch.autograd.grad(noise_loss(SCHEDULE, output, clean, noise, z, t).total.sum(), output)
    (simple,) = torch.autograd.grad((output[:, :2] - noise).square().mean((1, 2, 3)).sum(), output)
    assert_close(slope[:, :2], simple[:, :2])
    assert slope[:, 2:].abs().sum() > 0 and slope.isfinite().all()


def test_rows_do_not_depend_on_each_other():
    clean, noise, z, t = example()
    output = random(3, 4, 4, 12, seed=2)
    whole = noise_loss(SCHEDULE, output, clean, noise, z, t).total
    rows = [
        noise_loss(SCHEDULE, *(x[i : i + 1] for x in (output, clean, noise, z, t))).total for i in range(3)
    ]
    assert_close(whole, torch.cat(rows))


def test_clean_planes():
    clean = random(2, 3, 4, 4)
    assert not clean_loss(clean, clean).any()
    assert_close(clean_loss(clean + 0.5, clean), torch.full((2,), 0.25))


def test_an_output_without_variance_is_refused():
    clean, noise, z, t = example()
    with pytest.raises(
        ValueError, match=r"expected an output of 4 channels, noise and variance .* got \[3, 2, 4, 12\]"
    ):
        noise_loss(SCHEDULE, noise, clean, noise, z, t)
