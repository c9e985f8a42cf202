"""models/distillation/sds.py and Perp-Neg against threestudio's numbers."""

import torch
from portrait_diffusion.models.diffusion.perp_neg import perp_neg_guided
from portrait_diffusion.models.diffusion.schedule import add_noise, stable_diffusion_schedule
from portrait_diffusion.models.distillation.sds import annealed, sds_gradient, sds_loss, text_guided

from ...golden_fixtures import assert_near, each

TOLERANCE = 2e-6


@each("diffusion_sds*")
def test_gradients(golden):
    schedule, s = stable_diffusion_schedule(), golden.config["guidance_scale"]
    latents, noise, t, text, without = (
        golden.given(name) for name in ("latents", "noise", "t", "noise_pred_text", "noise_pred_uncond")
    )
    negative = golden.given("noise_pred_neg").unflatten(0, (len(latents), -1))
    assert_near(
        add_noise(schedule, latents, noise, t), golden.wanted("latents_noisy"), TOLERANCE, "latents_noisy"
    )
    plain = text_guided(text, without, s)
    against = perp_neg_guided(text, without, negative, golden.given("neg_weights"), s)
    for kind in ("sds", "uniform", "fantasia3d"):
        assert_near(
            sds_gradient(schedule, plain, noise, t, kind), golden.wanted(f"grad_{kind}"), TOLERANCE, kind
        )
        assert_near(
            sds_gradient(schedule, against, noise, t, kind),
            golden.wanted(f"grad_{kind}_perpneg"),
            TOLERANCE,
            f"{kind}_perpneg",
        )


@each("diffusion_sds*")
def test_the_loss_hands_the_gradient_on(golden):
    schedule, s = stable_diffusion_schedule(), golden.config["guidance_scale"]
    latents, noise, t, text, without = (
        golden.given(name) for name in ("latents", "noise", "t", "noise_pred_text", "noise_pred_uncond")
    )
    leaf = latents.clone().requires_grad_()
    gradient = sds_gradient(schedule, without + s * (text - without), noise, t)
    loss = sds_loss(leaf, gradient, golden.config["grad_clip"])
    loss.backward()
    assert_near(loss.detach(), golden.wanted("zero123_loss"), TOLERANCE, "loss")
    assert_near(leaf.grad, golden.wanted("zero123_latent_grad"), TOLERANCE, "latent gradient")
    assert_near((leaf.grad * len(leaf)).norm(), golden.wanted("zero123_grad_norm"), TOLERANCE, "norm")


@each("diffusion_sds*")
def test_annealing(golden):
    steps = golden.given("anneal_steps").tolist()
    for name, specification in golden.config["anneal_specs"].items():
        ours = torch.tensor([annealed(specification, step) for step in steps], dtype=torch.float64)
        assert_near(ours, golden.wanted(f"anneal_{name}"), 1e-9, name)
