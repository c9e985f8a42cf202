"""Networks of the real classes, small enough for tests."""

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from portrait_diffusion.models.diffusion.autoencoder import skips_for
from portrait_diffusion.models.diffusion.denoiser import Conditioning, DiffusersDenoiser
from portrait_diffusion.models.diffusion.schedule import stable_diffusion_schedule
from portrait_diffusion.models.diffusion.turbo import Turbo, TurboConfig

TOKENS, WIDTH = 3, 12


def seeded(make, seed):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make().eval().requires_grad_(False)


def unet(seed=0, in_channels=4):
    return seeded(
        lambda: UNet2DConditionModel(
            sample_size=8,
            in_channels=in_channels,
            block_out_channels=(8, 16),
            layers_per_block=1,
            norm_num_groups=4,
            cross_attention_dim=WIDTH,
            attention_head_dim=2,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        ),
        seed,
    )


def vae(seed=0):
    return seeded(
        lambda: AutoencoderKL(
            block_out_channels=(4, 8),
            layers_per_block=1,
            norm_num_groups=2,
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
        ),
        seed,
    )


def denoiser(seed=0, prediction="epsilon"):
    return DiffusersDenoiser(unet(seed), stable_diffusion_schedule(prediction))


def conditioning(rows=1, seed=0):
    return Conditioning(torch.randn(rows, TOKENS, WIDTH, generator=torch.Generator().manual_seed(seed)))


def turbo(*, skips=True, prediction="epsilon", **config):
    autoencoder = vae()
    made = skips_for(autoencoder) if skips else None
    return Turbo(
        denoiser=denoiser(prediction=prediction),
        vae=autoencoder,
        conditioning=conditioning(),
        skips=made,
        config=TurboConfig(**config),
    )


def images(count, seed=0, height=16, width=16):
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(seed))


def draws(seed=0):
    return torch.Generator().manual_seed(seed)
