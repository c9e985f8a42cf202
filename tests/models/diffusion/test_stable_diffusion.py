import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from portrait_diffusion.models.diffusion.stable_diffusion import (
    autoencoder_from,
    unet_to_diffusers,
    unet_to_ldm,
    vae_to_diffusers,
    vae_to_ldm,
)
from torch.testing import assert_close

from ...golden_fixtures import GOLDEN_DIR, load
from . import tiny

SD15 = {
    "block_out_channels": (8, 16, 32, 32),
    "norm_num_groups": 4,
    "cross_attention_dim": 12,
    "attention_head_dim": 2,
}
ZERO123 = GOLDEN_DIR / "diffusion_ldm_unet_zero123_tiny.safetensors"


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_unet_there_and_back(layers):
    with torch.device("meta"):
        state = UNet2DConditionModel(layers_per_block=layers, **SD15).state_dict()
    state = {key: torch.empty(0) for key in state}
    ldm = unet_to_ldm(state)
    assert len(ldm) == len(state) and same(unet_to_diffusers(ldm), state)


def test_unet_of_stable_diffusion_has_the_keys_of_its_single_file():
    with torch.device("meta"):
        state = UNet2DConditionModel(cross_attention_dim=768).state_dict()
    ldm = unet_to_ldm(state)
    assert len(ldm) == 686
    for key in (
        "input_blocks.0.0.weight",
        "input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight",
        "input_blocks.3.0.op.weight",
        "input_blocks.4.0.skip_connection.weight",
        "input_blocks.11.0.out_layers.3.bias",
        "middle_block.2.emb_layers.1.weight",
        "output_blocks.2.1.conv.weight",
        "output_blocks.5.2.conv.weight",
        "output_blocks.11.1.proj_out.weight",
        "time_embed.2.bias",
        "out.2.weight",
    ):
        assert key in ldm, key
    assert ldm["output_blocks.2.1.conv.weight"].shape == (1280, 1280, 3, 3)


@pytest.mark.skipif(not ZERO123.is_file(), reason="the fixture of the LDM layout is not in this folder")
def test_the_references_own_ldm_keys_are_all_known():
    state = load(ZERO123).state("model.diffusion_model.")
    assert same(unet_to_ldm(unet_to_diffusers(state)), state)


@pytest.mark.parametrize("layers", [1, 2])
def test_vae_there_and_back_and_built_from_either(layers):
    made = AutoencoderKL(
        block_out_channels=(4, 8, 8),
        layers_per_block=layers,
        norm_num_groups=2,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
    ).eval()
    state = made.state_dict()
    ldm = vae_to_ldm(state)
    assert (
        ldm["encoder.mid.attn_1.q.weight"].shape == (8, 8, 1, 1)
        and "decoder.up.2.upsample.conv.weight" in ldm
    )
    assert ldm["decoder.norm_out.weight"].shape == (4,)
    assert same(vae_to_diffusers(ldm), state)
    image = tiny.images(1) * 2 - 1
    for layout in (state, ldm):
        again = autoencoder_from(layout, norm_num_groups=2)
        assert_close(
            again.decode(again.encode(image).latent_dist.mode()).sample,
            made.decode(made.encode(image).latent_dist.mode()).sample,
        )


def test_other_networks_are_named():
    with pytest.raises(ValueError, match="got a tensor label_emb"):
        unet_to_diffusers({"input_blocks.0.0.weight": torch.zeros(1), "label_emb.0.0.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match="remove a prefix"):
        unet_to_diffusers({"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match="another kind of VAE"):
        autoencoder_from({"taesd_encoder.0.weight": torch.zeros(1)})
    state = {key: value for key, value in tiny.vae().state_dict().items() if key != "decoder.conv_out.bias"}
    with pytest.raises(ValueError, match="decoder.conv_out.bias is missing"):
        autoencoder_from(state, norm_num_groups=2)
