import pytest
import torch
from portrait_diffusion.models.diffusion.denoiser import Conditioning, DiffusersDenoiser, guided
from portrait_diffusion.models.diffusion.schedule import noise_from, stable_diffusion_schedule
from portrait_diffusion.models.diffusion.view_mixing import view_mixing
from torch.testing import assert_close

from . import tiny


def latents(rows, seed=3, channels=4):
    return torch.randn(rows, channels, 8, 8, generator=tiny.draws(seed))


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_it_is_noise_that_comes_whatever_the_network_predicts(prediction):
    denoiser, z, t, told = (
        tiny.denoiser(prediction=prediction),
        latents(2),
        torch.tensor([10, 700]),
        tiny.conditioning(2),
    )
    raw = denoiser.unet(z, t, told.tokens).sample
    assert_close(denoiser(z, t, told), noise_from(denoiser.schedule, raw, z, t))


def test_guidance_is_two_calls_in_one():
    denoiser, z, t = tiny.denoiser(), latents(2), torch.tensor([10, 700])
    cond, uncond = tiny.conditioning(2, 1), tiny.conditioning(2, 2)
    one, other = denoiser(z, t, cond), denoiser(z, t, uncond)
    assert_close(guided(denoiser, z, t, cond, uncond, 7.5), other + 7.5 * (one - other), atol=1e-4, rtol=1e-4)
    assert_close(guided(denoiser, z, t, cond, uncond, 1.0), one)


def test_mixing_one_view_is_the_stock_unet_to_the_bit():
    denoiser, z, t, told = tiny.denoiser(), latents(3), torch.full((3,), 400), tiny.conditioning(3)
    assert torch.equal(denoiser.mixed(1)(z, t, told), denoiser.unet(z, t, told.tokens).sample)


def test_mixing_is_undone_even_after_an_error_and_sees_other_views():
    denoiser, z, t, told = tiny.denoiser(), latents(6), torch.full((6,), 400), tiny.conditioning(6)
    before = denoiser.unet.attn_processors
    stock = denoiser(z, t, told)
    mixed = denoiser.mixed(3)(z, t, told)
    assert (mixed - stock).abs().max() > 1e-4
    with pytest.raises(InterruptedError), view_mixing(denoiser.unet, 3):
        raise InterruptedError
    assert denoiser.unet.attn_processors == before
    assert torch.equal(denoiser(z, t, told), stock)
    assert_close(
        denoiser.mixed(3)(z[3:], t[3:], told.rows(slice(3, 6))), mixed[3:]
    )  # groups do not see each other


def test_concat_latents_go_beside_the_noisy_ones():
    denoiser = DiffusersDenoiser(tiny.unet(in_channels=8), stable_diffusion_schedule())
    z, t, told = latents(2), torch.tensor([5, 6]), tiny.conditioning(2)
    beside = Conditioning(told.tokens, latents(2, 4))
    assert_close(
        denoiser(z, t, beside), denoiser.unet(torch.cat([z, beside.concat], 1), t, told.tokens).sample
    )
    with pytest.raises(ValueError, match="takes 8 channels, got 4 of latents and 0"):
        denoiser(z, t, told)


def test_conditioning():
    one, two = tiny.conditioning(1, 1), tiny.conditioning(2, 2)
    both = Conditioning.cat(one, two)
    assert len(both) == 3 and torch.equal(
        both.rows(torch.tensor([2, 0])).tokens, torch.stack([two.tokens[1], one.tokens[0]])
    )
    assert len(one.repeated(5)) == 5 and two.to("cpu", torch.float64).tokens.dtype == torch.float64
    with pytest.raises(ValueError, match="expected 1 row or 3"):
        two.repeated(3)
    with pytest.raises(ValueError, match="all of 2 parts or in none"):
        Conditioning.cat(one, Conditioning(one.tokens, latents(1)))
    with pytest.raises(ValueError, match="one row each"):
        Conditioning(one.tokens, latents(2))


def test_bad_input_is_named():
    denoiser, t, told = tiny.denoiser(), torch.full((3,), 400), tiny.conditioning(3)
    with pytest.raises(ValueError, match="whole groups of 2 views, got 3"):
        denoiser.mixed(2)(latents(3), t, told)
    with pytest.raises(ValueError, match=r"expected latents \[B, 4, h, w\]"):
        denoiser(latents(3, channels=16), t, told)
    with pytest.raises(ValueError, match="one per latent"):
        denoiser(latents(3), t[:1], told)
    with pytest.raises(ValueError, match="3 rows of conditioning, got 1"):
        denoiser(latents(3), t, tiny.conditioning(1))
