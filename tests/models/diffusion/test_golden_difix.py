"""models/diffusion against Difix3D: view mixing in the UNet, one step, the VAE's skips with their LoRA."""

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from portrait_diffusion.models.diffusion.autoencoder import Skips, decode_signed, encode_with_skips
from portrait_diffusion.models.diffusion.denoiser import Conditioning, DiffusersDenoiser
from portrait_diffusion.models.diffusion.difix import difix_autoencoder, unet_from
from portrait_diffusion.models.diffusion.lora import Lora, merge_, read_peft
from portrait_diffusion.models.diffusion.schedule import clean_from, stable_diffusion_schedule
from portrait_diffusion.models.diffusion.turbo import mix_noise, predict_clean

from ...golden_fixtures import assert_near, each

TOLERANCE = 1e-4


def unet_denoiser(golden):
    unet = UNet2DConditionModel(**golden.config["unet"]).eval()
    unet.load_state_dict(golden.state())
    scheduler = golden.config["scheduler"]
    assert scheduler["beta_schedule"] == "scaled_linear"
    schedule = stable_diffusion_schedule(
        scheduler["prediction_type"],
        first_beta=scheduler["beta_start"],
        last_beta=scheduler["beta_end"],
        count=scheduler["num_train_timesteps"],
    )
    return DiffusersDenoiser(unet, schedule)


def noisy(golden):
    """Latents whose novel views have been given noise, [B, V, C, h, w]."""
    z, novel = golden.given("latents"), golden.config["novel_views"]
    assert golden.config["reference_index"] == z.shape[1] - 1 == novel
    return torch.cat(
        [mix_noise(z[:, :novel], golden.config["noise_level_r"], golden.given("noise")), z[:, novel:]], 1
    )


@each("diffusion_difix_unet*")
@torch.no_grad()
def test_unet(golden):
    denoiser, z, t = unet_denoiser(golden), noisy(golden), golden.config["timestep"]
    assert_near(z, golden.given("unet_input"), 1e-6, "unet_input")
    assert golden.given("timestep").tolist() == [t]
    assert_near(
        denoiser.schedule.alphas_cumprod[t].float(), golden.wanted("alpha_cumprod_t"), 1e-6, "alpha_cumprod_t"
    )
    B, V = z.shape[:2]
    tokens = golden.given("encoder_hidden_states")
    told = Conditioning(tokens.repeat_interleave(V, 0) if len(tokens) == B else tokens)
    steps = torch.full((B * V,), t)
    for name, views in (("noise_pred", V), ("noise_pred_no_mixing", 1)):
        prediction = denoiser.mixed(views)(z.flatten(0, 1), steps, told)
        assert_near(prediction.unflatten(0, (B, V)), golden.wanted(name), TOLERANCE, name)
    assert_near(predict_clean(denoiser, z, t, told), golden.wanted("z0"), TOLERANCE, "z0")
    again = clean_from(denoiser.schedule, golden.wanted("noise_pred"), golden.given("unet_input"), t)
    if denoiser.schedule.prediction == "epsilon":
        assert_near(again, golden.wanted("z0"), 1e-5, "z0 of their noise")


def autoencoder(golden) -> tuple[AutoencoderKL, Skips, Lora]:
    """The base without its LoRA, the skips without theirs, and the LoRA of both."""
    config = golden.config
    vae, skips = (
        AutoencoderKL(**config["vae"]).eval(),
        Skips(tuple(config["vae"]["block_out_channels"]), config["gamma"]),
    )
    lora = read_peft(golden.state(), config["lora_alpha"])
    assert set(lora.updates) == set(config["lora_targets"])
    assert {update.scale for update in lora.updates.values()} == {config["lora_scaling"]}
    base = {
        key.replace(".base_layer.", "."): value
        for key, value in golden.state().items()
        if ".lora_" not in key
    }
    own = {
        key.removeprefix("decoder."): value
        for key, value in base.items()
        if key.startswith("decoder.skip_conv_")
    }
    skips.load_state_dict(own)
    vae.load_state_dict(
        {key: value for key, value in base.items() if not key.startswith("decoder.skip_conv_")}
    )
    return vae, skips, lora


@each("diffusion_difix_vae*")
@torch.no_grad()
def test_vae(golden):
    vae, skips, lora = autoencoder(golden)
    merge_(vae, lora.without("decoder.skip_conv_"))
    merge_(skips, lora.within("decoder.skip_conv_").below("skip_conv_"))
    latents, activations = encode_with_skips(vae, (golden.given("image") + 1) / 2)
    assert_near(latents, golden.wanted("latents_mode"), TOLERANCE, "latents_mode")
    for i, activation in enumerate(activations):
        assert_near(activation, golden.wanted(f"enc_skip_{i}"), TOLERANCE, f"enc_skip_{i}")
    latents = golden.given("latents")
    assert_near(
        decode_signed(vae, latents, skips(activations)), golden.wanted("decoded"), TOLERANCE, "decoded"
    )
    assert_near(decode_signed(vae, latents), golden.wanted("decoded_no_skip"), TOLERANCE, "decoded_no_skip")


@each("diffusion_difix_unet*")
@torch.no_grad()
def test_the_unet_s_size_is_read_from_its_weights(golden):
    sizes = golden.config["unet"]
    heads = {c // n for c, n in zip(sizes["block_out_channels"], sizes["attention_head_dim"], strict=True)}
    unet = unet_from(golden.state(), head=heads.pop(), groups=sizes["norm_num_groups"])
    assert not heads and {key: list(unet.config[key]) for key in ("block_out_channels",)} == {
        "block_out_channels": sizes["block_out_channels"]
    }
    own = DiffusersDenoiser(unet, unet_denoiser(golden).schedule)
    z, t = noisy(golden), golden.config["timestep"]
    tokens = golden.given("encoder_hidden_states")
    told = Conditioning(tokens.repeat_interleave(z.shape[1], 0) if len(tokens) == len(z) else tokens)
    assert_near(predict_clean(own, z, t, told), golden.wanted("z0"), TOLERANCE, "z0")


@each("diffusion_difix_vae*")
@torch.no_grad()
def test_the_autoencoder_with_skips_is_read_as_published(golden):
    config = golden.config
    read = difix_autoencoder(golden.state(), groups=config["vae"]["norm_num_groups"])
    latents, activations = encode_with_skips(read.vae, (golden.given("image") + 1) / 2)
    assert_near(latents, golden.wanted("latents_mode"), TOLERANCE, "latents_mode")
    latents = golden.given("latents")
    decoded = decode_signed(read.vae, latents, read.skips(activations))
    assert_near(decoded, golden.wanted("decoded"), TOLERANCE, "decoded")
    assert not any(p.requires_grad for p in (*read.vae.parameters(), *read.skips.parameters()))


@each("diffusion_difix_vae*")
def test_an_autoencoder_without_skips_is_named(golden):
    state = {key: value for key, value in golden.state().items() if "skip_conv" not in key}
    with pytest.raises(ValueError, match="expected an autoencoder with skips"):
        difix_autoencoder(state, groups=golden.config["vae"]["norm_num_groups"])
    with pytest.raises(ValueError, match="expected the weights of a UNet in diffusers' layout"):
        unet_from(state)


@each("diffusion_difix_vae*")
def test_a_lora_without_its_other_half_is_refused(golden):
    state = golden.state()
    del state[next(key for key in state if ".lora_B." in key)]
    with pytest.raises(ValueError, match="no pair for"):
        read_peft(state)
