"""models/diffusion/embedded_zero123.py: the UNet itself at first, told of a picture once trained, bound to its base."""

import pytest
import torch
from portrait_diffusion.models.camera import frontal, orbit
from portrait_diffusion.models.checkpoint import shipped
from portrait_diffusion.models.diffusion.denoiser import Conditioning
from portrait_diffusion.models.diffusion.embedded import shipped_autoencoder, shipped_unet
from portrait_diffusion.models.diffusion.embedded_zero123 import (
    Zero123,
    save_zero123,
    shipped_zero123,
    trainable,
    widened,
)
from portrait_diffusion.models.diffusion.zero123 import known_picture, told_of
from portrait_diffusion.models.metrics.identity import shipped_identity
from portrait_diffusion.models.training import zero123 as training
from torch.testing import assert_close


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def made():
    torch.manual_seed(0)
    network = Zero123(shipped_unet(), shipped_identity())
    return network, trainable(network, torch.Generator().manual_seed(0))


def pairs(heads=3):
    yaw = random(heads, 4, seed=3)
    looks = torch.nn.functional.normalize(random(heads, 4, 64, seed=2), dim=-1)
    return training.Pairs(random(heads, 4, 4, 8, 8, seed=1), looks, yaw, yaw / 4)


def test_the_widened_unet_is_the_old_one_whatever_is_beside():
    base = shipped_unet()
    wide, z, t, tokens = (
        widened(base.unet),
        random(2, 4, 8, 8),
        torch.tensor([5, 900]),
        base.prompts.named("front", "back").tokens,
    )
    with torch.no_grad():
        before, after = (
            base.unet(z, t, tokens).sample,
            wide(torch.cat([z, random(2, 4, 8, 8, seed=4)], 1), t, tokens).sample,
        )
    assert_close(before, after)
    assert wide.config.in_channels == 8 and base.unet.config.in_channels == 4


def test_only_what_is_added_learns(made):
    network, learnt = made
    frozen = {name: p.clone() for name, p in network.named_parameters() if not p.requires_grad}
    assert sum(p.numel() for p in learnt) * 2 < 1.3e6  # bytes as shipped
    optimiser, draws = torch.optim.Adam(learnt, 1e-2), torch.Generator().manual_seed(0)
    losses = []
    for _ in range(4):
        loss = training.noise_error(
            network, pairs(), torch.arange(3), 1.0, 0.0, draws.manual_seed(0), torch.device("cpu")
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] and network.told.picture.abs().max() > 0
    assert all(torch.equal(p, frozen[name]) for name, p in network.named_parameters() if name in frozen)


def test_a_file_comes_back_merged_and_bound_to_its_base(made, tmp_path):
    network, _ = made
    save_zero123(tmp_path / "z.safetensors", network)
    again = shipped_zero123(tmp_path / "z.safetensors")
    z, t = random(2, 4, 8, 8), torch.tensor([400, 400])
    given = Conditioning(random(2, 1, 48, seed=7), random(2, 4, 8, 8, seed=8))
    with torch.no_grad():
        assert_close(
            network.denoiser()(z, t, given), again.denoiser()(z, t, given), atol=2e-2, rtol=1e-2
        )  # half precision
    other = shipped_unet()
    with torch.no_grad():
        for parameter in other.unet.parameters():
            parameter += 1
    with pytest.raises(ValueError, match="another base"):
        shipped_zero123(tmp_path / "z.safetensors", other)
    with pytest.raises(ValueError, match="kind zero123"):
        shipped_zero123(shipped("encoder"))


def test_cameras_are_told_one_row_each_and_guidance_zeros(made):
    network, _ = made
    picture = known_picture(network, shipped_autoencoder(), torch.rand(3, 64, 64), frontal())
    given, without = told_of(network, picture, orbit(torch.tensor([0.0, 1.0]), torch.zeros(2)))
    assert given.tokens.shape == (2, 1, 48) and given.concat.shape == (2, 4, 8, 8)
    assert (
        not without.tokens.any()
        and not without.concat.any()
        and not torch.equal(given.tokens[0], given.tokens[1])
    )
