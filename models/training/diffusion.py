"""`train diffusion`: the embedded UNet and its view prompts, on latents of the factory's second split.

Noise prediction at uniform timesteps (Ho et al. 2020, eq. 14); one prompt in ten is the empty one, for guidance. What ships is the
running mean of the weights.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from ..checkpoint import shipped, write
from ..diffusion.autoencoder import decode, encode
from ..diffusion.denoiser import guided
from ..diffusion.embedded import PROMPTS, EmbeddedUNet, UNetConfig, prompt_index, shipped_autoencoder
from ..diffusion.schedule import add_noise, ddim, timesteps
from ..synthetic.renders import Renders, cached_renders
from ..synthetic.splits import UPPER, VALIDATION
from .local import LocalRun, descend, initial_weights, rate_share, sitting, training_parser

BATCH = 24
RATE = 1e-3
EMPTY = 0.1  # share of rows without a view prompt
MEAN_OF = 0.999  # of the running mean, per step


@dataclass(frozen=True)
class LatentData:
    """Latents of many views. Attributes: latents: [N, 4, h, w] scaled. prompts: [N] of their cameras."""

    latents: Tensor
    prompts: Tensor


@torch.no_grad()
def latent_data(renders: Renders, device, mirrored: bool) -> LatentData:
    """All views of the renders in the autoencoder that ships, and their mirror images behind them."""
    vae = shipped_autoencoder().to(device)
    parts = []
    for flip in (False, True) if mirrored else (False,):
        for head in renders.rgb:
            image = head.to(device).float() / 255
            parts.append(encode(vae, image.flip(-1) if flip else image).cpu())
    prompts = prompt_index(renders.yaw, renders.pitch).flatten()
    return LatentData(torch.cat(parts), prompts.repeat(1 + mirrored))


def noise_error(
    network: EmbeddedUNet, data: LatentData, rows: Tensor, empty: float, draws: torch.Generator, device
) -> Tensor:
    """Mean squared error [] of the predicted noise on rows [B] (indices) of the data at random timesteps."""
    denoiser = network.denoiser()
    z, prompts = data.latents[rows], data.prompts[rows]
    prompts = torch.where(torch.rand(len(rows), generator=draws) < empty, PROMPTS.index("empty"), prompts)
    t = torch.randint(len(denoiser.schedule), (len(rows),), generator=draws)
    noise = torch.randn(z.shape, generator=draws)
    noisy = add_noise(denoiser.schedule, z, noise, t).to(device)
    with torch.autocast(device.type, torch.bfloat16):
        noise_pred = denoiser(noisy, t.to(device), network.prompts(prompts.to(device)))
    return (noise_pred.float() - noise.to(device)).square().mean()


@torch.no_grad()
def validate(network: EmbeddedUNet, data: LatentData, device) -> dict[str, float]:
    """Mean squared error of the noise on validation views, the same draws every time."""
    draws = torch.Generator().manual_seed(0)
    errors = [
        noise_error(network, data, rows, 0.0, draws, device)
        for rows in torch.arange(len(data.latents)).split(25)
    ]
    return {"noise_mse": torch.stack(errors).mean().item()}


@torch.no_grad()
def sheet(network: EmbeddedUNet, path: Path, device, columns: int = 6) -> None:
    """Samples of every prompt, one row each: 25 steps, guidance 2."""
    vae = shipped_autoencoder().to(device)
    denoiser = network.denoiser()
    draws = torch.Generator().manual_seed(0)
    rows = []
    for name in PROMPTS:
        z = torch.randn(columns, 4, 32, 32, generator=draws).to(device)
        prompts, without = (
            network.prompts.named(*[name] * columns),
            network.prompts.named(*["empty"] * columns),
        )

        def predict(z: Tensor, t: Tensor, prompts=prompts, without=without) -> Tensor:
            return guided(denoiser, z, t, prompts, without, 2.0)

        z = ddim(denoiser.schedule, predict, z, timesteps(denoiser.schedule, 25))
        rows.append(torch.cat(list(decode(vae, z).cpu()), -1))
    picture = (torch.cat(rows, -2) * 255).round().byte().permute(1, 2, 0)
    Image.fromarray(picture.numpy()).save(path)


@torch.no_grad()
def follow(mean: nn.Module, network: nn.Module, step: int) -> None:
    """Move a running mean of weights; early on it is the mean of all."""
    share = max(1 - MEAN_OF, 1 / (step + 1))
    for average, now in zip(mean.parameters(), network.parameters(), strict=True):
        average.lerp_(now, share)


def run(arguments: list[str]) -> None:
    """Train for `--minutes`, write the weights that ship, print the held-out figures."""
    parser = training_parser("diffusion", __doc__, minutes=60, heads=600)
    parser.add_argument("--sheet", type=Path, help="PNG of samples, a row per view prompt")
    options, device = sitting(parser, arguments)
    data = latent_data(cached_renders(UPPER[: options.heads]), device, True)
    held_out = latent_data(cached_renders(VALIDATION[:25]), device, False)
    with initial_weights(3):
        network = EmbeddedUNet(UNetConfig(), torch.Generator().manual_seed(3)).to(device)
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, betas=(0.9, 0.99), weight_decay=1e-3)
    local = LocalRun("diffusion", network, optimiser, options.minutes)
    first = local.resume()
    draws = torch.Generator().manual_seed(3 + first)
    mean = deepcopy(network).requires_grad_(False)

    def step(index: int, progress: float) -> dict[str, float]:
        rows = torch.randint(len(data.latents), (BATCH,), generator=draws)
        loss = noise_error(network, data, rows, EMPTY, draws, device)
        descend(loss, optimiser, RATE * rate_share(index, progress, warm_up=200, least=0.05))
        follow(mean, network, index - first)
        return {"loss": loss.item()}

    ship = partial(write, shipped("diffusion"), "diffusion", network.config, mean)
    local.run(step, options, lambda: validate(mean, held_out, device), ship, save_every=1000, digits=4)
    if options.sheet:
        sheet(mean, options.sheet, device)
