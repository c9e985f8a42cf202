"""`train zero123`: what makes the embedded UNet a Zero-123, on pairs of views of the factory's second split.

Liu et al. 2023: noise prediction of one view, told of another; one row in ten is told nothing. The UNet itself is frozen.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ..camera import RADIUS
from ..checkpoint import shipped
from ..devices import placed
from ..diffusion.autoencoder import encode
from ..diffusion.denoiser import Conditioning
from ..diffusion.embedded import shipped_autoencoder, shipped_unet
from ..diffusion.embedded_zero123 import Zero123, save_zero123, trainable
from ..diffusion.schedule import add_noise
from ..diffusion.zero123 import Pose
from ..metrics.identity import head_crop, shipped_identity
from ..presence import present
from ..synthetic.renders import Renders, cached_renders
from ..synthetic.splits import UPPER, VALIDATION
from .local import LocalRun, descend, initial_weights, rate_share, sitting, training_parser

BATCH = 16
RATE = 1e-3
EMPTY = 0.1  # share of rows without a picture


@dataclass(frozen=True)
class Pairs:
    """Views of N heads. Attributes: latents: [N, V, C, h, w] scaled. looks: [N, V, D] identity's embeddings. yaw, pitch: [N, V] radians."""

    latents: Tensor
    looks: Tensor
    yaw: Tensor
    pitch: Tensor

    def __len__(self) -> int:
        return len(self.latents)

    def pose(self, heads: Tensor, views: Tensor, device: torch.device) -> Pose:
        """[B], of views [B] of heads [B], both indices."""
        yaw, pitch = self.yaw[heads, views].to(device), self.pitch[heads, views].to(device)
        return Pose(yaw, pitch, torch.full_like(yaw, RADIUS))


@torch.no_grad()
def pairs_of(renders: Renders, device: torch.device) -> Pairs:
    """All views in the autoencoder and the identity network that ship."""
    vae = placed(shipped_autoencoder(), device)
    eyes = shipped_identity().to(device)
    latents, looks = [], []
    for head in renders.rgb:
        image = head.to(device).float() / 255
        latents.append(encode(vae, image).cpu())
        looks.append(eyes(head_crop(image)).cpu())
    return Pairs(torch.stack(latents), torch.stack(looks), renders.yaw, renders.pitch)


def noise_error(
    network: Zero123,
    data: Pairs,
    heads: Tensor,
    scaling: float,
    empty: float,
    draws: torch.Generator,
    device: torch.device,
) -> Tensor:
    """Mean squared error [] of the predicted noise: of a random view of each head [B], told of another."""
    denoiser = network.denoiser()
    views = torch.stack([torch.randperm(data.yaw.shape[1], generator=draws)[:2] for _ in heads])
    source, target = views.unbind(1)
    z = data.latents[heads, target]
    picture = data.latents[heads, source].to(device) / scaling
    t = torch.randint(len(denoiser.schedule), (len(heads),), generator=draws)
    noise = torch.randn(z.shape, generator=draws)
    presence = (torch.rand(len(heads), generator=draws) >= empty).to(device)
    noisy = add_noise(denoiser.schedule, z, noise, t).to(device)
    with torch.autocast(device.type, torch.bfloat16):
        embedding = network.told.visual(data.looks[heads, source].to(device))[:, None]
        rows = network.conditioning(
            embedding, picture, data.pose(heads, source, device), data.pose(heads, target, device)
        )
        concat = present(
            rows.concat, "a Zero-123's picture beside the latents", "make it with its `conditioning`"
        )
        conditioning = Conditioning(
            rows.tokens * presence[:, None, None], concat * presence[:, None, None, None]
        )
        noise_pred = denoiser(noisy, t.to(device), conditioning)
    return (noise_pred.float() - noise.to(device)).square().mean()


@torch.no_grad()
def validate(network: Zero123, data: Pairs, scaling: float, device: torch.device) -> dict[str, float]:
    """On validation views, the same draws every time: error of the noise with the picture, and without."""
    errors = []
    for empty in (0.0, 1.0):
        draws = torch.Generator().manual_seed(0)
        each = [
            noise_error(network, data, rows, scaling, empty, draws, device)
            for rows in torch.arange(len(data)).repeat(4).split(25)
        ]
        errors.append(torch.stack(each).mean().item())
    return dict(zip(("noise_mse", "noise_mse_untold"), errors, strict=True))


def run(arguments: list[str]) -> None:
    """Train for `--minutes`, write the weights that ship, print the held-out figures."""
    parser = training_parser("zero123", __doc__, minutes=45, heads=600)
    options, device = sitting(parser, arguments)
    data, held_out = (
        pairs_of(cached_renders(seeds), device) for seeds in (UPPER[: options.heads], VALIDATION[:25])
    )
    scaling = shipped_autoencoder().config["scaling_factor"]
    with initial_weights(6):
        network = Zero123(shipped_unet(), shipped_identity())
    variables = trainable(network, torch.Generator().manual_seed(6))
    network = network.to(device)
    optimiser = torch.optim.AdamW(variables, lr=RATE, betas=(0.9, 0.99), weight_decay=1e-3)
    local = LocalRun("zero123", network, optimiser, options.minutes, {})
    draws = local.draws(6)

    def step(index: int, progress: float) -> dict[str, float]:
        heads = torch.randint(len(data), (BATCH,), generator=draws)
        loss = noise_error(network, data, heads, scaling, EMPTY, draws, device)
        descend(loss, optimiser, RATE * rate_share(index, progress, warm_up=200, least=0.05))
        return {"loss": loss.item()}

    ship = partial(save_zero123, shipped("zero123"), network)
    local.run(step, options, lambda: validate(network, held_out, scaling, device), ship, digits=4)
