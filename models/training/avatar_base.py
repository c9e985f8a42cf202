"""`train avatar-base`: RodinHD's base model on planes that were fitted to the factory's heads (section 3.2, eq. 4; section 4.2).

The variational bound, by which the variance is learnt, beside the error of the velocity: where the schedule leaves nearly nothing but
noise, a network of a few thousand steps that predicts the noise (the paper's) does not copy it well enough for the planes in it to be
seen, and what a portrait tells of them is hardly any of its error. One portrait in five is left out, for guidance and for avatars of
nobody. What ships is the running mean of the weights. `--variant`: the rows of table 4b, which the cache keeps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from ..avatar.conditioning import Conditions, PortraitConfig
from ..avatar.losses import NoiseLoss, noise_loss
from ..avatar.model import BASE_KIND, BaseFileConfig, save_base
from ..avatar.planes import resize, roll_out
from ..avatar.schedules import BASE, network_time, schedule_of
from ..avatar.shared_decoder import shared_decoder
from ..avatar.unet import BaseConfig, BaseUNet
from ..checkpoint import shipped
from ..devices import placed
from ..diffusion.embedded import shipped_autoencoder
from ..diffusion.schedule import Schedule, add_noise
from ..synthetic.splits import UPPER, VALIDATION
from .avatar_heads import AvatarHeads, Averaged, heads_of
from .avatar_planes import add_so_far, avatar_planes
from .avatar_variants import SHIPPED, VARIANTS, checkpoint_name, variant_path
from .local import LocalRun, add_steps, descend, initial_weights, rate_share, sitting, training_parser

SEED = 8
HELD_OUT = 25  # validation heads
SCHEDULE = replace(BASE, prediction="v_prediction")
PORTRAIT = PortraitConfig(size=256, blocks=(0, 1, 2), quantised=True)


@dataclass(frozen=True, kw_only=True)
class BaseTraining:
    """Attributes: batch: rows a step. rate: of AdamW. empty: chance of a portrait that is left out."""

    batch: int = 3
    rate: float = 1e-3
    empty: float = 0.2


def base_config(plane_channels: int, latent_scale: float) -> BaseConfig:
    """The base model that ships: 2.1 M parameters; three scales of the portrait, at heights 16, 8 and 4, where attention is cheap.

    Args:
        latent_scale: makes the variance of the autoencoder's latents 1.
    """
    return BaseConfig(
        size=64,
        plane_channels=plane_channels,
        width=32,
        multipliers=(1, 1, 1, 2, 2),
        blocks=(1, 1, 1, 1, 1),
        attention=(16, 8, 4),
        attention_maps=(0, 1, 2),
        head_channels=32,
        map_sides=(128, 64, 32),
        map_taps=(0, 1, 2),
        map_channels=(16, 32, 64),
        map_patches=(8, 4, 2),
        map_groups=8,
        token_width=32,
        latent_scale=latent_scale,
        latent_patch=8,
        latent_width=48,
        pooling_heads=4,
        groups=8,
    )


def base_losses(
    network: BaseUNet,
    schedule: Schedule,
    planes: Tensor,
    conditions: Conditions,
    draws: torch.Generator,
    device: torch.device,
) -> NoiseLoss:
    """Eq. 4, the error of what is predicted, and the bound, of planes [B, 3, C, R, R] in -1 .. 1 at random steps."""
    clean = roll_out(resize(planes, network.config.size)).clamp(-1, 1)
    t = torch.randint(len(schedule), (len(clean),), generator=draws)
    noise = torch.randn(clean.shape, generator=draws)
    z = add_noise(schedule, clean, noise, t)
    clean, noise, z, t = (x.to(device) for x in (clean, noise, z, t))
    with torch.autocast(device.type, torch.bfloat16):
        output = network(z, network_time(schedule, t), conditions.to(device))
    return noise_loss(schedule, output.float(), clean, noise, z, t)


@torch.no_grad()
def validate(
    network: BaseUNet, schedule: Schedule, data: AvatarHeads, device: torch.device
) -> dict[str, float]:
    """On validation heads, the same draws every time: errors of noise and velocity, with the portrait and without; the bound in bits a
    number."""

    def errors(empty: float) -> Tensor:
        draws = torch.Generator().manual_seed(0)
        rows = []
        for heads in torch.arange(len(data)).repeat(2).split(10):
            planes, conditions = data.part(heads)
            conditions = conditions.dropped(draws, empty)
            losses = base_losses(network, schedule, planes, conditions, draws, device)
            rows.append(torch.stack([losses.simple, losses.own, losses.bound]))
        return torch.cat(rows, 1).mean(1)

    names = ("noise_mse", "velocity_mse", "bound")
    told, untold = (dict(zip(names, errors(empty).tolist(), strict=True)) for empty in (0.0, 1.0))
    return told | {f"{name}_untold": untold[name] for name in names[:2]}


def run(arguments: list[str]) -> None:
    """Train for `--minutes`, write the weights that ship, print the held-out figures."""
    parser = training_parser("avatar-base", __doc__, minutes=90, heads=512)
    parser.add_argument("--batch", type=int, default=BaseTraining.batch, help="rows a step")
    add_so_far(parser)
    parser.add_argument("--variant", choices=(SHIPPED, *VARIANTS), default=SHIPPED, help="others do not ship")
    add_steps(parser)
    options, device = sitting(parser, arguments)
    name = options.variant
    config = BaseTraining(batch=options.batch)
    shared, vae = shared_decoder(), placed(shipped_autoencoder(), device)
    data = heads_of(
        avatar_planes(UPPER[: options.heads], so_far=options.so_far), shared, vae, PORTRAIT, flips=True
    )
    held_out = heads_of(avatar_planes(VALIDATION[:HELD_OUT]), shared, vae, PORTRAIT, flips=False)
    sizes = base_config(shared.config.field.channels, vae.config["scaling_factor"])
    file = BaseFileConfig(network=sizes, schedule=SCHEDULE, portrait=PORTRAIT)
    file = file if name == SHIPPED else VARIANTS[name](file)
    with initial_weights(SEED):
        network = BaseUNet(file.network)
    schedule = schedule_of(file.schedule)
    both = Averaged(network).to(device)
    optimiser = torch.optim.AdamW(
        both.network.parameters(), lr=config.rate, betas=(0.9, 0.99), weight_decay=1e-3
    )
    parts = both.parts(BASE_KIND) if name == SHIPPED else None
    local = LocalRun(checkpoint_name(name), both, optimiser, options.minutes, parts, steps=options.steps)
    draws = local.draws(SEED)

    def step(index: int, progress: float) -> dict[str, float]:
        planes, conditions = data.draw(config.batch, draws)
        conditions = conditions.dropped(draws, config.empty)
        losses = base_losses(both.network, schedule, planes, conditions, draws, device)
        descend(
            losses.total.mean(),
            optimiser,
            config.rate * rate_share(index, progress, warm_up=200, least=0.05),
        )
        both.follow(index)
        return {"velocity": losses.own.mean().item(), "bound": losses.bound.mean().item()}

    path = shipped(BASE_KIND) if name == SHIPPED else variant_path(name)
    ship = partial(save_base, path, both.mean, file, shared, vae)
    local.run(
        step,
        options,
        lambda: validate(both.mean, schedule, held_out, device),
        ship,
        save_every=500,
        digits=4,
    )
