"""models/diffusion/hpdm.py: nothing at first, BrushNet with its weights alone, what the driver shows arrives where it is seen."""

import pytest
import torch
from portrait_diffusion.models.camera import orbit
from portrait_diffusion.models.diffusion.brushnet import Branch, BranchConfig, start_from_unet
from portrait_diffusion.models.diffusion.denoiser import Conditioning, guided
from portrait_diffusion.models.diffusion.hpdm import Hpdm, HpdmConfig, HpdmDenoiser, Priors, Warp
from portrait_diffusion.models.projection import projector
from torch.testing import assert_close

from ..test_projection import sphere
from . import tiny

BRANCH = BranchConfig(channels=(8, 16), layers=1, groups=4)
CONFIG = HpdmConfig(branch=BRANCH, hidden=8)
B = 2


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def warp():
    front = orbit(0.0, 0.0)
    distance, mask = sphere(front, 32, 0.28)
    return Warp([projector(distance, mask, front, orbit(yaw, 0.0)) for yaw in (0.3, -0.3)])


def priors(**changes):
    values = {"geometry": random(B, 8, 8, 8, seed=2), "driver": random(B, 4, 8, 8, seed=3), "warp": warp()}
    return Priors(random(B, 4, 8, 8, seed=1), (random(B, 1, 8, 8) > 0).float(), **(values | changes))


def network(config=CONFIG, *, seed=0, awake=True):
    """An HPDM, its zero convolutions awake unless told otherwise."""
    made = tiny.seeded(lambda: Hpdm(config), seed)
    draws = torch.Generator().manual_seed(seed)
    for parameter in made.parameters():
        if awake and not parameter.any():
            parameter.copy_(torch.randn(parameter.shape, generator=draws) * 0.1)
    return made


def noisy():
    return (
        random(B, 4, 8, 8, seed=5),
        torch.tensor([10, 700]),
        Conditioning(random(B, tiny.TOKENS, tiny.WIDTH, seed=6)),
    )


@torch.no_grad()
def test_at_first_the_frozen_unet_says_exactly_what_it_said():
    base = tiny.denoiser()
    told = HpdmDenoiser(base, network(awake=False), priors())
    assert torch.equal(told(*noisy()), base(*noisy()))
    assert (HpdmDenoiser(base, network(), priors())(*noisy()) - base(*noisy())).abs().max() > 1e-3
    assert torch.equal(HpdmDenoiser(base, network(), priors(), weight=0.0)(*noisy()), base(*noisy()))


@torch.no_grad()
def test_with_one_branch_alone_it_is_brushnet():
    made = network(HpdmConfig(branch=BRANCH, geometry=False, implicit=False))
    branch = Branch(BRANCH)
    branch.load_state_dict(made.explicit.state_dict())
    given, (z, t, _) = priors(), noisy()
    expected = branch(z, t, torch.cat([given.projected, given.known], 1))
    assert all(torch.equal(a, b) for a, b in zip(made(z, t, given), expected, strict=True))


@torch.no_grad()
def test_brushnet_s_weights_beside_fresh_parts_are_brushnet_still():
    alone, whole = network(HpdmConfig(branch=BRANCH, geometry=False, implicit=False)), network(awake=False)
    whole.explicit.load_state_dict(alone.explicit.state_dict())
    given, (z, t, _) = priors(), noisy()
    assert all(torch.equal(a, b) for a, b in zip(whole(z, t, given), alone(z, t, given), strict=True))


@torch.no_grad()
def test_features_of_the_driver_arrive_where_the_target_sees_them():
    shift = warp()
    features = torch.arange(64.0).view(1, 1, 8, 8).repeat(2, 3, 1, 1) + 1
    seen = shift(features)
    index = shift.index((8, 8))
    assert seen.shape == features.shape and torch.equal(seen[:, 0] == 0, index == -1)
    assert torch.equal(seen[:, 1][index >= 0], index[index >= 0].float() + 1)
    assert (index[0] != index[1]).any() and (index >= 0).float().mean() > 0.2


@torch.no_grad()
def test_every_prior_counts():
    made, (z, t, _) = network(), noisy()
    base = made(z, t, priors())
    for name, value in (("geometry", random(B, 8, 8, 8, seed=9)), ("driver", random(B, 4, 8, 8, seed=9))):
        other = made(z, t, priors(**{name: value}))
        assert max((a - b).abs().max() for a, b in zip(base, other, strict=True)) > 1e-4, name
    half = made(z, t, priors(), weight=0.5)
    assert_close(half[3], base[3] / 2)


@torch.no_grad()
def test_guidance_doubles_rows():
    told = HpdmDenoiser(tiny.denoiser(), network(), priors())
    z, t, text = noisy()
    other = Conditioning(random(B, tiny.TOKENS, tiny.WIDTH, seed=8))
    assert_close(
        guided(told, z, t, text, other, 3.0),
        told(z, t, other) + 3 * (told(z, t, text) - told(z, t, other)),
        atol=1e-4,
        rtol=1e-4,
    )
    with pytest.raises(ValueError, match="whole repetitions"):
        told(z[:1], t[:1], text.rows(slice(1)))


def test_gradients_reach_all_but_the_unet():
    made, base = network(), tiny.denoiser()
    learnt = {
        name: p.requires_grad_()
        for name, p in made.named_parameters()
        if not name.startswith("implicit.brushnet")
    }
    HpdmDenoiser(base, made, priors())(*noisy()).square().mean().backward()
    assert [
        name
        for name, p in learnt.items()
        if p.grad is None or not p.grad.isfinite().all() or not p.grad.any()
    ] == []
    assert all(p.grad is None for p in base.unet.parameters())


@torch.no_grad()
def test_a_unet_s_weights_begin_a_branch():
    unet, branch = tiny.unet(), Branch(BRANCH)
    start_from_unet(branch, unet.state_dict())
    assert torch.equal(
        branch.down_blocks[1].resnets[0].conv1.weight, unet.down_blocks[1].resnets[0].conv1.weight
    )
    first = branch.conv_in_condition.weight
    assert (
        torch.equal(first[:, :4], unet.conv_in.weight)
        and torch.equal(first[:, 4:8], unet.conv_in.weight)
        and not first[:, 8].any()
    )
    assert not any(conv.weight.any() for conv in branch.zero_convolutions())
    with pytest.raises(ValueError, match="its own size"):
        start_from_unet(Branch(BranchConfig(channels=(8, 8), layers=1, groups=4)), unet.state_dict())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"geometry": None}, "coarse render"),
        ({"driver": None}, "driving view"),
        ({"warp": None}, "driving view"),
    ],
)
def test_missing_priors_are_named(changes, words):
    with pytest.raises(ValueError, match=words):
        network()(*noisy()[:2], priors(**changes))


def test_mismatched_latents_are_named():
    with pytest.raises(ValueError, match="the model's own VAE"):
        network()(random(B, 4, 16, 16), torch.tensor([1, 2]), priors())
