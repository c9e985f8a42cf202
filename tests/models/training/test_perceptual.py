"""models/training/perceptual.py: triplets are what they say; ranking moves the weights only; the unit is set."""

import pytest
import torch
import torch.nn.functional as F
from portrait_diffusion.models.metrics.perceptual import perceptual_distance
from portrait_diffusion.models.synthetic.codes import CODE_DIM
from portrait_diffusion.models.synthetic.renders import Renders
from portrait_diffusion.models.training import perceptual

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def renders():
    """Four made-up heads: smooth pictures in place of factory heads."""
    coarse = torch.rand(8, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    rgb = (
        (F.interpolate(coarse, size=(144, 144), mode="bicubic").clamp(0, 1) * 255)
        .byte()
        .view(4, 2, 3, 144, 144)
    )
    nothing = torch.zeros(4, 2)
    return Renders(torch.zeros(4, 62), rgb, rgb[:, :, 0] // 255, rgb[:, :, 0].half(), nothing, nothing)


@pytest.fixture
def learner():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return perceptual.Learner()


def test_triplets_repeat_and_their_near_is_never_the_reference(renders):
    first, second = (perceptual.draw_triplets(renders, 6, torch.Generator().manual_seed(1)) for _ in range(2))
    for name, value in vars(first).items():
        assert torch.equal(value, getattr(second, name)), name
    assert first.family.tolist() == [0, 1, 2, 0, 1, 2]
    for other in (first.near, first.far):
        assert ((other - first.reference).abs().flatten(1).mean(1) > 1e-4).all()


def test_features_learn_first_then_weights_alone_then_both(renders, learner):
    draws = torch.Generator().manual_seed(1)
    perceptual.feature_loss(learner, renders, torch.zeros(4, CODE_DIM - 1), draws, CPU).backward()
    assert learner.network.stem.weight.grad.abs().sum() > 0 and learner.network.log_weights[0].grad is None
    learner.zero_grad(set_to_none=True)
    perceptual.ranking_loss(
        learner.network, perceptual.draw_triplets(renders, 3, draws), CPU, features=False
    ).backward()
    assert learner.network.stem.weight.grad is None and learner.network.log_weights[0].grad.abs().sum() > 0
    perceptual.ranking_loss(
        learner.network, perceptual.draw_triplets(renders, 3, draws), CPU, features=True
    ).backward()
    assert learner.network.stem.weight.grad.abs().sum() > 0


def test_two_heads_are_one_apart_on_average(renders, learner):
    perceptual.set_unit(learner.network, renders, CPU)
    front = F.interpolate(renders.rgb[:, 0].float() / 255, size=(128, 128), mode="bilinear", antialias=True)
    assert perceptual_distance(learner.network, front, front.roll(1, 0)).mean().item() == pytest.approx(
        1, rel=1e-4
    )


def test_the_held_out_figures_are_shares(renders, learner):
    figures = perceptual.validate(learner.network, renders, CPU, 24)
    assert {"ours_all", "psnr_graded", "ssim_another_head"} <= set(figures) and all(
        0 <= v <= 1 for v in figures.values()
    )
