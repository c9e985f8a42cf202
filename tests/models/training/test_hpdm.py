"""`train hpdm`: pairs are what they say, parts join one after the other, a few steps learn, nothing of the UNet changes."""

import math

import pytest
import torch
from portrait_diffusion.models.camera import orbit
from portrait_diffusion.models.diffusion.embedded import (
    AutoencoderConfig,
    EmbeddedUNet,
    UNetConfig,
    autoencoder,
)
from portrait_diffusion.models.training import hpdm, hpdm_data
from portrait_diffusion.models.training.hpdm_data import PairData

from ..test_projection import sphere

CPU, PAIRS, SIZE = torch.device("cpu"), 3, 256


def base():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = EmbeddedUNet(
            UNetConfig(channels=(8, 16, 16), heads=(1, 2, 2), context=8, tokens=2),
            torch.Generator().manual_seed(0),
        )
    return made.requires_grad_(False)


def pixels():
    """Balls of one colour in place of heads, the driver in front, the target 30 degrees aside."""
    cameras = [orbit(yaw, 0.0) for yaw in (0.0, math.radians(30))]
    (distance, mask), (_, other) = (sphere(camera, SIZE, 0.2) for camera in cameras)
    colour = torch.randint(200, (PAIRS, 3, 1, 1), generator=torch.Generator().manual_seed(0))
    driver, target = (torch.where(x > 0, colour, 255).byte() for x in (mask, other))
    angles = torch.tensor([[0.0, 0.0, math.radians(30), 0.0]]).repeat(PAIRS, 1)
    normal = torch.full((PAIRS, 3, SIZE, SIZE), 128, dtype=torch.uint8)
    opacity = (mask * 255).byte().repeat(PAIRS, 1, 1)
    return PairData(
        driver, target, target // 2 + 60, normal, distance.half().repeat(PAIRS, 1, 1), opacity, angles
    )


def latents(damage=False):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        vae = autoencoder(AutoencoderConfig(channels=(8, 8, 8, 8))).requires_grad_(False).eval()
    return hpdm_data.latent_pairs(pixels(), vae, damage=damage)


def test_pairs_begin_in_front_and_go_aside():
    angles = torch.stack([hpdm_data.draw_angles(seed) for seed in range(200)]).rad2deg()
    step = (angles[..., 2] - angles[..., 0]).abs()
    assert step.min() >= 10 - 1e-3 and step.max() <= 50 + 1e-3
    assert (angles[:, 0, :2] == 0).all() and angles[:, 1, 0].abs().max() > 90
    outward = angles[:, 1, 2].abs() > angles[:, 1, 0].abs()
    assert 0.6 < outward.float().mean() < 0.95


@pytest.mark.whole
def test_latents_know_what_the_driver_shows():
    clean, damaged = latents(), latents(damage=True)
    assert clean.clean.shape == (PAIRS, 4, 32, 32) and clean.geometry.shape == (PAIRS, 8, 32, 32)
    known = clean.known[0, 0] > 0
    assert 0.1 < known.float().mean() < 0.5
    assert ((clean.index32[0] >= 0) & known).sum() > 0.8 * known.sum()
    assert torch.equal(clean.clean, damaged.clean) and not torch.equal(clean.projected, damaged.projected)
    nearer = clean.priors(torch.tensor([2, 0]), CPU, torch.tensor([0.0, 1.0])).geometry
    assert torch.equal(nearer[0], clean.geometry[2])
    assert torch.equal(nearer[1], torch.cat([clean.clean[0], clean.geometry[0, 4:]]))  # the normals stay
    priors = clean.priors(torch.tensor([2, 0]), CPU)
    assert torch.equal(priors.warp.index((16, 16))[1], clean.index16[0].long()) and len(priors.warp) == 2


@pytest.mark.whole
def test_mirrored_pairs_are_the_same_heads_seen_from_the_other_side():
    data = pixels()
    both = hpdm_data.with_mirrored(data)
    assert len(both) == 2 * PAIRS and torch.equal(both.driver[PAIRS:], data.driver.flip(-1))
    assert torch.equal(both.angles[PAIRS:, [0, 2]], -data.angles[:, [0, 2]]) and torch.equal(
        both.angles[PAIRS:, 1], data.angles[:, 1]
    )
    assert both.normal[PAIRS, 0, 0, 0] == 127 and both.normal[PAIRS, 1, 0, 0] == 128
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        vae = autoencoder(AutoencoderConfig(channels=(8, 8, 8, 8))).requires_grad_(False).eval()
    made = hpdm_data.latent_pairs(both, vae, damage=False)
    here, there = made.known[:PAIRS], made.known[PAIRS:].flip(-1)
    assert (
        here != there
    ).float().mean() < 0.08 and here.mean() > 0.1  # the rim: a mask takes its cells' corners, on one side


@pytest.mark.whole
def test_parts_join_one_after_the_other_and_a_few_steps_learn():
    frozen, data, plan = base(), latents(), hpdm.HpdmTraining()
    before = {key: value.clone() for key, value in frozen.state_dict().items()}
    network = hpdm.begun(frozen, hpdm.branches_config(frozen))
    run = hpdm.HpdmRun(network, frozen, plan, data, CPU)
    assert run.parts(0.1) == {"geometry": False, "implicit": False} and run.parts(0.5) == {
        "geometry": True,
        "implicit": False,
    }
    start = hpdm.validate(network, frozen, data, CPU)
    assert start["noise_mse"] == start["noise_mse_alone"]  # all zero convolutions are zero
    for i in range(12):
        run.step(i + 100, 0.3)
    explicit = network.explicit.state_dict()
    assert run.parts(0.9) == {"geometry": True, "implicit": True}
    assert all(torch.equal(value, explicit[key]) for key, value in network.implicit.state_dict().items())
    for i in range(3):
        run.step(i + 100, 0.9)
    assert not torch.equal(
        network.implicit.conv_in_condition.weight, network.explicit.conv_in_condition.weight
    )
    kept = network.implicit.conv_in_condition.weight.clone()
    again = hpdm.HpdmRun(network, frozen, plan, data, CPU)  # the next sitting, from its beginning
    assert again.parts(0.0) == {"geometry": True, "implicit": True} and torch.equal(
        network.implicit.conv_in_condition.weight, kept
    )
    after = hpdm.validate(network, frozen, data, CPU)
    assert after["noise_mse"] < after["noise_mse_alone"] == start["noise_mse_alone"]
    assert all(torch.equal(value, before[key]) for key, value in frozen.state_dict().items())
