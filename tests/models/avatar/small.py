"""Networks of the cascade that run in milliseconds, with weights that are zero nowhere, and conditions for them."""

from dataclasses import replace
from pathlib import Path

import torch
from portrait_diffusion.models.avatar.cascade import AvatarConfig, Cascade
from portrait_diffusion.models.avatar.conditioning import Conditions, PortraitConfig
from portrait_diffusion.models.avatar.decoder import avatar_field
from portrait_diffusion.models.avatar.fitting import new_decoder
from portrait_diffusion.models.avatar.model import (
    KINDS,
    BaseFileConfig,
    UpsamplerFileConfig,
    save_base,
    save_upsampler,
)
from portrait_diffusion.models.avatar.shared_decoder import SharedDecoder, SharedDecoderConfig
from portrait_diffusion.models.avatar.unet import BaseConfig, BaseUNet
from portrait_diffusion.models.avatar.upsampler import Upsampler, UpsamplerConfig
from portrait_diffusion.models.checkpoint import write
from portrait_diffusion.models.diffusion.embedded import shipped_autoencoder
from portrait_diffusion.models.field.triplane import FieldConfig

READING = {
    "latent_patch": 4,
    "latent_width": 16,
    "pooling_heads": 2,
    "map_groups": 4,
    "token_width": 16,
}
BASE = BaseConfig(
    size=8,
    plane_channels=4,
    width=8,
    multipliers=(1, 2),
    blocks=(1, 2),
    attention=(8, 4),
    attention_maps=(0, 1),
    head_channels=8,
    groups=4,
    map_sides=(32, 16),
    map_taps=(0, 1),
    map_channels=(8, 16),
    map_patches=(16, 8),
    **READING,
)
GLOBAL = replace(
    BASE, map_sides=(), map_taps=(), map_channels=(), map_patches=(), attention_maps=(-1, -1)
)  # ablation: no tokens
SINGLE = replace(
    BASE, map_sides=(16,), map_taps=(1,), map_channels=(16,), map_patches=(8,), attention_maps=(0, 0)
)  # ablation: one scale
UPSAMPLER = UpsamplerConfig(
    size=16,
    plane_channels=4,
    width=8,
    multipliers=(1, 2),
    blocks=(1, 1),
    body=1,
    embedding=16,
    head_channels=8,
    groups=4,
    map_sides=(32,),
    map_channels=(8,),
    map_patches=(16,),
    **READING,
)
LATENT_TOKENS = replace(UPSAMPLER, map_sides=(), map_taps=(), map_channels=(), map_patches=())
AVATAR = AvatarConfig(
    base=BASE, upsampler=UPSAMPLER, portrait=PortraitConfig(size=64), base_steps=3, upsampler_steps=2
)


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def field_of(golden):
    """The config of a fixture's planes and decoder."""
    given = golden.config
    return avatar_field(
        channels=given["triplane_channels"],
        resolution=given["resolution"],
        hidden=given["hidden_dim"],
        bound=given["bound"],
        degree=given["freq_degree"],
        colour_layers=given["num_color_layers"],
    )


def made(make, config, seed=0):
    """A network whose zeros are filled, or they would hide what lies before them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = make(config)
        for parameter in net.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.1)
    return net.eval()


def base(config=BASE, seed=0) -> BaseUNet:
    return made(BaseUNet, config, seed)


def upsampler(config=UPSAMPLER, seed=0) -> Upsampler:
    return made(Upsampler, config, seed)


def cascade(config=AVATAR, seed=0) -> Cascade:
    return made(Cascade, config, seed)


def conditions(rows=2, seed=0):
    """Of portraits of 64 pixels: a latent of 8 x 8, maps of 32 x 32 and 16 x 16."""
    maps = (
        random(rows, 8, 32, 32, seed=seed + 1),
        random(rows, 16, 16, 16, seed=seed + 2),
        random(rows, 32, 8, 8, seed=seed + 3),
    )
    return Conditions(7 * random(rows, 4, 8, 8, seed=seed), maps)


# of the autoencoder that ships, whose portraits are of 64 pixels: networks as above, in files
PORTRAIT = PortraitConfig(size=64, quantised=True)
FILE_BASE = BaseFileConfig(
    network=replace(BASE, map_channels=(16, 32), map_patches=(8, 8)), portrait=PORTRAIT, steps=3
)
FILE_UPSAMPLER = UpsamplerFileConfig(
    network=replace(UPSAMPLER, map_channels=(16,), map_patches=(8,)), portrait=PORTRAIT, steps=2
)
FIELD = FieldConfig(channels=4, depth=0, resolution=16, hidden=8)


def shared(seed=0, field=FIELD) -> SharedDecoder:
    """A decoder that makes walls and void of planes of -1 .. 1, and mean planes."""
    draws = torch.Generator().manual_seed(seed)
    decoder = SharedDecoder(SharedDecoderConfig(field=field, scale=1.5))
    decoder.decoder.load_state_dict(new_decoder(field, draws).state_dict())
    decoder.mean.copy_(0.2 * torch.randn(decoder.mean.shape, generator=draws))
    return decoder.requires_grad_(False).eval()


def files(folder, seed=0, base_file=FILE_BASE, upsampler_file=FILE_UPSAMPLER, field=FIELD) -> list[Path]:
    """A small model's three files, by their kinds' names: decoder, base model, upsampler."""
    own, vae = shared(seed, field), shipped_autoencoder()
    paths = [folder / f"{kind}.safetensors" for kind in KINDS]
    write(paths[0], KINDS[0], own.config, own)
    own.half().float()  # as it is read again
    save_base(paths[1], base(base_file.network, seed), base_file, own, vae)
    save_upsampler(paths[2], upsampler(upsampler_file.network, seed), upsampler_file, own, vae)
    return paths
