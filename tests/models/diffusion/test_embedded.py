"""models/diffusion/embedded.py: diffusers' classes, small enough to ship, prompted by views as threestudio chooses them."""

import math

import pytest
import torch
from portrait_diffusion.models.checkpoint import write
from portrait_diffusion.models.diffusion.autoencoder import decode, encode, factor
from portrait_diffusion.models.diffusion.embedded import (
    PROMPTS,
    AutoencoderConfig,
    EmbeddedUNet,
    UNetConfig,
    autoencoder,
    prompt_index,
    shipped_autoencoder,
    shipped_unet,
    unet,
)

from ...golden_fixtures import each

SMALL = UNetConfig(channels=(8, 16, 16), heads=(1, 2, 2), context=8, tokens=2)


def megabytes(module):
    return sum(p.numel() for p in module.parameters()) * 2 / 1e6  # as it ships, in half precision


@each("diffusion_view_prompts*")
def test_views_get_the_references_prompts(golden):
    config = golden.config
    index = prompt_index(
        *(torch.deg2rad(golden.given(f"{name}_deg")) for name in ("azimuth", "elevation")),
        **{name: math.radians(config[f"{name}_threshold"]) for name in ("front", "back", "overhead")},
    )
    assert list(PROMPTS[:4]) == config["order"]
    conditional = golden.wanted("text_embeddings")[: len(index)]
    assert torch.equal(golden.given("text_embeddings_vd")[index], conditional)


def test_they_ship_within_their_share_of_the_weights():
    with torch.device("meta"):
        assert megabytes(autoencoder(AutoencoderConfig())) < 3.6
        assert megabytes(EmbeddedUNet(UNetConfig())) < 4.5


def test_latents_are_an_eighth_of_the_image_in_four_channels():
    vae = autoencoder(AutoencoderConfig(channels=(8, 8, 8, 8)))
    latents = encode(vae, torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    assert factor(vae) == 8 and latents.shape == (1, 4, 4, 4) and decode(vae, latents).shape == (1, 3, 32, 32)


def test_a_view_prompt_is_one_row_and_unknown_ones_are_named():
    network = EmbeddedUNet(SMALL)
    row = network.prompts.named("back", "empty")
    assert row.tokens.shape == (2, 2, 8) and torch.equal(row.tokens[0], network.prompts.tokens[2])
    with pytest.raises(ValueError, match="sideways"):
        network.prompts.named("sideways")


def test_more_input_channels_are_one_number_in_the_config():
    with torch.device("meta"):
        assert unet(UNetConfig(in_channels=8)).conv_in.weight.shape[1] == 8
    with pytest.raises(ValueError, match="as many channels as heads"):
        UNetConfig(channels=(8, 16), heads=(1,))


def test_weights_files_come_back_as_they_were(tmp_path):
    config, vae, network = AutoencoderConfig(channels=(8, 8), scaling_factor=0.5), None, EmbeddedUNet(SMALL)
    vae = autoencoder(config)
    write(tmp_path / "a.safetensors", "autoencoder", config, vae)
    write(tmp_path / "d.safetensors", "diffusion", SMALL, network)
    again, unet_again = (
        shipped_autoencoder(tmp_path / "a.safetensors"),
        shipped_unet(tmp_path / "d.safetensors"),
    )
    assert again.config.scaling_factor == 0.5 and torch.equal(
        again.decoder.conv_in.weight, vae.decoder.conv_in.weight.half().float()
    )
    z, t = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([400])
    with torch.no_grad():
        ours = unet_again.denoiser()(z, t, unet_again.prompts.named("front"))
        theirs = network.denoiser()(z, t, network.prompts.named("front"))
    torch.testing.assert_close(ours, theirs, atol=5e-3, rtol=5e-3)  # half precision
    with pytest.raises(ValueError, match="of kind autoencoder"):
        shipped_autoencoder(tmp_path / "d.safetensors")
