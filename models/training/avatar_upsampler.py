"""`train avatar-upsampler`: RodinHD's upsampler on fitted planes and spoilt coarse ones (section 3.2, eqs. 5 and 6; section 4.2).

It predicts clean planes, and is judged by them and by pieces of pictures that the shared decoder renders of them. One portrait in five is
left out, so that nobody's avatars are made finer, too. What ships is the running mean of the weights.
"""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ..avatar.cascade import AugmentationConfig, spoil
from ..avatar.conditioning import Conditions
from ..avatar.losses import clean_loss
from ..avatar.model import BASE_KIND, UPSAMPLER_KIND, UpsamplerFileConfig, save_upsampler
from ..avatar.planes import resize, roll_in, roll_out
from ..avatar.schedules import network_time, schedule_of
from ..avatar.shared_decoder import SharedDecoder, shared_decoder
from ..avatar.upsampler import Upsampler, UpsamplerConfig
from ..camera import Camera, orbit, rays
from ..checkpoint import read, shipped
from ..devices import placed
from ..diffusion.embedded import shipped_autoencoder
from ..diffusion.schedule import Schedule, add_noise
from ..field.casting import MarchingCaster
from ..field.volume_rendering import RenderConfig
from ..metrics.image import psnr
from ..metrics.perceptual import PerceptualNetwork, perceptual_distance, shipped_perceptual
from ..synthetic.splits import UPPER, VALIDATION
from .avatar_base import HELD_OUT, PORTRAIT
from .avatar_heads import AvatarHeads, Averaged, heads_of
from .avatar_planes import add_so_far, avatar_planes
from .local import LocalRun, descend, initial_weights, rate_share, sitting, training_parser

SEED = 9
COARSE = 64  # rows of the base model's planes, where none is there to ask
RAYS = RenderConfig(coarse=24, fine=8)


@dataclass(frozen=True, kw_only=True)
class UpsamplerTraining:
    """Attributes: batch: rows a step. rate: of AdamW. empty: chance of a portrait that is left out.

    pictures_every: steps between those with eq. 6. piece: pixels along what is rendered of a picture of `picture` pixels.
    pixel, perceptual: weights of eq. 6's parts (paper: 1 and 1, of a VGG's sums; our distance is 1 between strangers).
    """

    batch: int = 1
    rate: float = 1e-3
    empty: float = 0.2
    pictures_every: int = 2
    piece: int = 64
    picture: int = 160
    pixel: float = 1.0
    perceptual: float = 0.2


def upsampler_config(plane_channels: int, latent_scale: float, size: int = 128) -> UpsamplerConfig:
    """The upsampler that ships: 0.9 M parameters, the finest of the base model's three maps.

    Args:
        latent_scale: makes the variance of the autoencoder's latents 1. size: rows of a fine plane.
    """
    return UpsamplerConfig(
        size=size,
        plane_channels=plane_channels,
        width=16,
        multipliers=(1, 1, 1, 2),
        blocks=(1, 1, 1, 1),
        body=1,
        embedding=64,
        head_channels=16,
        map_sides=(128,),
        map_taps=(0,),
        map_channels=(16,),
        map_patches=(8,),
        map_groups=8,
        token_width=32,
        latent_scale=latent_scale,
        latent_patch=8,
        latent_width=48,
        pooling_heads=4,
        groups=8,
    )


@dataclass(frozen=True)
class Estimate:
    """Of B heads, in -1 .. 1: clean: [B, C, H, 3 H] as predicted. truth: [B, C, H, 3 H]. coarse: [B, 3, C, h, h], spoilt."""

    clean: Tensor
    truth: Tensor
    coarse: Tensor


def estimated(
    network: Upsampler,
    schedule: Schedule,
    coarse_size: int,
    augmentation: AugmentationConfig,
    planes: Tensor,
    conditions: Conditions,
    draws: torch.Generator,
    device: torch.device,
) -> Estimate:
    """Planes [B, 3, C, R, R] in -1 .. 1, noised at random steps, cleaned by the network beside their spoilt coarse selves."""
    size = network.config.size
    coarse = spoil(resize(planes, coarse_size), augmentation, draws)
    truth = roll_out(resize(planes, size))
    t = torch.randint(len(schedule), (len(truth),), generator=draws)
    noise = torch.randn(truth.shape, generator=draws)
    z = add_noise(schedule, truth, noise, t)
    truth, z, t, coarse = (x.to(device) for x in (truth, z, t, coarse))
    with torch.autocast(device.type, torch.bfloat16):
        clean = network(z, network_time(schedule, t), roll_out(coarse), conditions.to(device))
    return Estimate(clean.float(), truth, coarse)


def any_camera(draws: torch.Generator) -> Camera:
    """One camera [], all around, half of them within 60 degrees of the front."""
    turn, near, lift = torch.rand(3, generator=draws).tolist()
    yaw = (2 * turn - 1) * (math.pi / 3 if near < 0.5 else math.pi)
    return orbit(yaw, (2 * lift - 1) * math.radians(25))


def piece_of(
    shared: SharedDecoder, planes: Tensor, camera: Camera, corner: tuple[int, int], side: int, size: int
) -> Tensor:
    """A piece [1, 3, side, side] of a head's picture of `size` pixels, on white, in about 0 .. 1, differentiable by its planes.

    Args:
        planes: [1, 3, C, R, R] in -1 .. 1. camera: []. corner: its top and left, pixels.
    """
    caster = MarchingCaster(shared.head(shared.planes(planes)).field())
    top, left = corner
    origins, directions = (
        x[top : top + side, left : left + side].reshape(1, -1, 3) for x in rays(camera, size, size)
    )
    view = caster(origins, directions, RAYS)
    opacity = view.opacity[..., None]
    rgb = caster.field.rgb(view.features, opacity) + 1 - opacity
    return rgb.view(1, side, side, 3).movedim(-1, 1)


def pieces(
    shared: SharedDecoder, estimate: Estimate, config: UpsamplerTraining, draws: torch.Generator
) -> tuple[Tensor, Tensor]:
    """One piece of each head, as predicted and as fitted: [B, 3, side, side] each, the latter without gradient."""
    room = config.picture - config.piece + 1
    rows = []
    for clean, truth in zip(roll_in(estimate.clean), roll_in(estimate.truth), strict=True):
        camera = any_camera(draws).to(clean.device)
        top, left = torch.randint(room, (2,), generator=draws).tolist()
        with torch.no_grad():
            target = piece_of(shared, truth[None], camera, (top, left), config.piece, config.picture)
        own = piece_of(shared, clean[None], camera, (top, left), config.piece, config.picture)
        rows.append((own, target))
    predictions, targets = zip(*rows, strict=True)
    return torch.cat(predictions), torch.cat(targets)


def image_loss(
    eyes: PerceptualNetwork, pictures: Tensor, targets: Tensor, config: UpsamplerTraining
) -> dict[str, Tensor]:
    """Eq. 6's parts, weighed, [] each, of pieces [B, 3, side, side] in about 0 .. 1."""
    return {
        "pixel": config.pixel * (pictures - targets).square().mean(),
        "perceptual": config.perceptual * perceptual_distance(eyes, pictures, targets).mean(),
    }


@torch.no_grad()
def validate(
    network: Upsampler,
    schedule: Schedule,
    coarse_size: int,
    shared: SharedDecoder,
    data: AvatarHeads,
    device: torch.device,
) -> dict[str, float]:
    """On validation heads, the same draws every time: squared error of clean planes, that of coarse ones enlarged, PSNR of pieces in dB."""
    draws = torch.Generator().manual_seed(0)
    config, augmentation = UpsamplerTraining(), AugmentationConfig()
    figures = []
    for rows in torch.arange(len(data)).split(1):
        planes, conditions = data.part(rows)
        estimate = estimated(network, schedule, coarse_size, augmentation, planes, conditions, draws, device)
        enlarged = roll_out(resize(estimate.coarse, network.config.size))
        pictures, targets = pieces(shared, estimate, config, draws)
        figures.append(
            [
                clean_loss(estimate.clean, estimate.truth).item(),
                clean_loss(enlarged, estimate.truth).item(),
                psnr(pictures.clamp(0, 1), targets),
            ]
        )
    means = torch.tensor(figures).mean(0).tolist()
    return dict(zip(("planes_mse", "coarse_planes_mse", "pieces_psnr_db"), means, strict=True))


def run(arguments: list[str]) -> None:
    """Train for `--minutes`, write the weights that ship, print the held-out figures."""
    parser = training_parser("avatar-upsampler", __doc__, minutes=90, heads=512)
    parser.add_argument("--batch", type=int, default=UpsamplerTraining.batch, help="rows a step")
    add_so_far(parser)
    options, device = sitting(parser, arguments)
    config = UpsamplerTraining(batch=options.batch)
    shared, vae = shared_decoder(), placed(shipped_autoencoder(), device)
    judge = deepcopy(shared).to(device)
    eyes = shipped_perceptual().to(device)
    data = heads_of(
        avatar_planes(UPPER[: options.heads], so_far=options.so_far), shared, vae, PORTRAIT, flips=True
    )
    held_out = heads_of(avatar_planes(VALIDATION[:HELD_OUT]), shared, vae, PORTRAIT, flips=False)
    with initial_weights(SEED):
        field = shared.config.field
        network = Upsampler(upsampler_config(field.channels, vae.config["scaling_factor"], field.resolution))
    file = UpsamplerFileConfig(network=network.config, portrait=PORTRAIT)
    schedule, coarse_size = schedule_of(file.schedule), base_size()
    both = Averaged(network).to(device)
    optimiser = torch.optim.AdamW(
        both.network.parameters(), lr=config.rate, betas=(0.9, 0.99), weight_decay=1e-3
    )
    local = LocalRun(UPSAMPLER_KIND, both, optimiser, options.minutes, both.parts(UPSAMPLER_KIND))
    draws = local.draws(SEED)

    def step(index: int, progress: float) -> dict[str, float]:
        planes, conditions = data.draw(config.batch, draws)
        conditions = conditions.dropped(draws, config.empty)
        estimate = estimated(
            both.network, schedule, coarse_size, file.augmentation, planes, conditions, draws, device
        )
        terms = {"planes": clean_loss(estimate.clean, estimate.truth).mean()}
        if index % config.pictures_every == 0:
            pictures, targets = pieces(judge, estimate, config, draws)
            terms |= image_loss(eyes, pictures, targets, config)
        loss = sum(terms.values(), torch.zeros((), device=device))
        descend(loss, optimiser, config.rate * rate_share(index, progress, warm_up=200, least=0.05))
        both.follow(index)
        return {name: term.item() for name, term in terms.items()}

    ship = partial(save_upsampler, shipped(UPSAMPLER_KIND), both.mean, file, shared, vae)
    local.run(
        step,
        options,
        lambda: validate(both.mean, schedule, coarse_size, judge, held_out, device),
        ship,
        save_every=500,
        digits=4,
    )


def base_size() -> int:
    """Rows of the coarse planes: those of the base model that ships, where there is one."""
    path = shipped(BASE_KIND)
    return int(read(path, BASE_KIND)[0]["network"]["size"]) if path.is_file() else COARSE
