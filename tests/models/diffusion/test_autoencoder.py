import pytest
import torch
from portrait_diffusion.models.diffusion.autoencoder import (
    decode,
    decode_signed,
    decode_with_skips,
    encode,
    encode_with_skips,
    skips_for,
)
from torch.testing import assert_close

from . import tiny


def test_encoding_and_decoding_are_the_stock_autoencoders():
    vae, image = tiny.vae(), tiny.images(2)
    posterior = vae.encode(2 * image - 1).latent_dist
    latents = encode(vae, image)
    assert_close(latents, posterior.mode() * vae.config.scaling_factor)
    assert_close(decode_signed(vae, latents), vae.decode(latents / vae.config.scaling_factor).sample)
    assert_close(
        decode(vae, latents), (vae.decode(latents / vae.config.scaling_factor).sample / 2 + 0.5).clamp(0, 1)
    )


def test_a_sample_scatters_round_the_mode_as_the_posterior_says():
    vae, image = tiny.vae(), tiny.images(1).expand(400, 3, 16, 16)
    posterior = vae.encode(2 * image[:1] - 1).latent_dist
    drawn = encode(vae, image, tiny.draws(1)) / vae.config.scaling_factor
    assert torch.equal(drawn, encode(vae, image, tiny.draws(1)) / vae.config.scaling_factor)
    assert_close(
        (drawn.mean(0) - posterior.mean[0]).abs().max(),
        torch.zeros(()),
        atol=0.3 * posterior.std.max().item(),
        rtol=0,
    )
    assert_close(drawn.std(0).mean(), posterior.std.mean(), rtol=0.05, atol=0)


def test_new_skips_hardly_add_anything_and_none_change_nothing():
    vae, image = tiny.vae(), tiny.images(2)
    latents, activations = encode_with_skips(vae, image)
    assert [a.shape[-1] for a in activations] == [16, 8]
    skips = skips_for(vae)
    assert sorted(skips.state_dict()) == ["skip_conv_1.weight", "skip_conv_2.weight"]
    added = skips(activations)
    assert 0 < (decode_with_skips(vae, latents, added) - decode(vae, latents)).abs().max() < 1e-3
    none = tuple(torch.zeros_like(a) for a in added)
    assert torch.equal(decode_with_skips(vae, latents, none), decode(vae, latents))
    assert all(torch.equal(a, torch.zeros_like(a)) for a in skips_for(vae, gamma=0.0)(activations))


@pytest.mark.parametrize("shape", [(0, 3, 16, 16), (1, 3, 15, 16), (1, 4, 16, 16), (3, 16, 16)])
def test_bad_images_are_named(shape):
    with pytest.raises(ValueError, match="multiples of 2"):
        encode(tiny.vae(), torch.zeros(shape))


def test_a_sparing_encoder_keeps_less_for_the_same_gradient():
    from portrait_diffusion.models.out_of_memory import graph_bytes

    network, results, sizes = tiny.vae(), [], []
    for sparing in (False, True):
        image = tiny.images(1).requires_grad_()
        latents = encode(network, image, sparing=sparing)
        results.append((latents.detach(), torch.autograd.grad(latents.square().sum(), image)[0]))
        work = lambda part, image=image, sparing=sparing: (encode(network, image, sparing=sparing),)  # noqa: E731
        sizes.append(graph_bytes(work, slice(0, 1)))
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)
    assert sizes[1] < 0.5 * sizes[0]
