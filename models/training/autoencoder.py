"""`train autoencoder`: the embedded AutoencoderKL, on the factory's second split.

Pixels, their gradients and our perceptual distance, with a faint pull of the posterior towards a unit Gaussian (Rombach et
al. 2022, appendix G). The scaling factor is measured at the end. Hues are compared by themselves, and at first two of the latent channels
are told to be them: left to itself a small network spends its first hour on edges and takes every shirt for grey. Pictures are whole, small
ones at first: norms take their statistics from the picture, so what is learnt on pieces of one shirt does not hold for a person. Late in
the run most are cut around the head, and errors count more where the picture is detailed: eyes are few pixels.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ..checkpoint import shipped, write
from ..devices import placed
from ..diffusion.autoencoder import decode, draw, encode, posterior_of
from ..diffusion.embedded import AutoencoderConfig, autoencoder
from ..metrics.perceptual import perceptual_distance, shipped_perceptual
from ..presence import present
from ..synthetic.renders import Renders, cached_renders
from ..synthetic.splits import UPPER, VALIDATION
from .local import LocalRun, descend, initial_weights, rate_share, sitting, training_parser

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

STAGES = (
    (0.2, 64, 16),
    (0.5, 128, 5),
    (1.0, 256, 2),
)  # share of the run until which, pixels, pictures a step: hues need many pictures
RATE = 1.5e-3
KL = 1e-6
PERCEPTUAL = 0.6
PERCEPTUAL_FROM = 0.4  # share of the run
HUE = 4.0  # weight of the hues
HUE_CELL = 4  # pixels over which they are averaged
HEADS_FROM = 0.5  # share of the run, from which two steps in three see heads
HEAD = 160  # pixels of 256
HEAD_CORNER = (36, 32)  # its least corner (y, x)
HEAD_ROOM = (24, 32)  # how much further that may lie
EMPHASIS, MOST_DETAIL = (
    15.0,
    0.2,
)  # weight of detail, and the detail (pictures in [-1, 1]) from which on it no longer grows
HINT = 4.0  # weight of the hues in the latents at the start; 0 from HINTED on
HINTED = 0.4  # share of the run
HINT_SCALE = 6.0  # latents of a hue of 1


def random_pictures(renders: Renders, count: int, side: int, draws: torch.Generator, device) -> Tensor:
    """`count` whole pictures [count, 3, side, side] in [0, 1] of random views, some on a coloured backdrop, some mirrored."""
    heads, views = (torch.randint(n, (count,), generator=draws) for n in renders.rgb.shape[:2])
    backdrops = torch.rand(count, 3, 1, 1, generator=draws).to(device)
    plain, mirrored = (
        torch.rand(count, 1, 1, 1, generator=draws).to(device) < share for share in (0.85, 0.5)
    )
    rgb = renders.rgb[heads, views].to(device).float() / 255
    mask = renders.mask[heads, views].to(device).float()[:, None]
    pictures = torch.where(plain, rgb, rgb * mask + backdrops * (1 - mask))
    return F.interpolate(torch.where(mirrored, pictures.flip(-1), pictures), size=(side, side), mode="area")


def around_heads(pictures: Tensor, draws: torch.Generator) -> Tensor:
    """Pictures [B, 3, 256, 256] -> the same place of all, with the head in it: [B, 3, HEAD, HEAD]."""
    top, left = (
        int(least + torch.randint(room + 1, (1,), generator=draws))
        for least, room in zip(HEAD_CORNER, HEAD_ROOM, strict=True)
    )
    return pictures[..., top : top + HEAD, left : left + HEAD]


def emphasis(truth: Tensor) -> Tensor:
    """How much each pixel's error counts [B, 1, S, S], 1 where pictures [B, 3, S, S] in [-1, 1] are even."""
    grey = truth.mean(1, keepdim=True)
    detail = (grey - F.avg_pool2d(grey, 5, 1, 2, count_include_pad=False)).abs()
    return 1 + EMPHASIS * F.avg_pool2d(detail, 3, 1, 1).clamp(max=MOST_DETAIL)


def slopes(image: Tensor) -> tuple[Tensor, Tensor]:
    """Differences of neighbours in [..., H, W]: across [..., H, W - 1] and down [..., H - 1, W]."""
    return image.diff(dim=-1), image.diff(dim=-2)


def hues(signed: Tensor) -> Tensor:
    """Differences of the colours from green [B, 2, S, S]: what a picture is beside its brightness."""
    return signed[:, ::2] - signed[:, 1:2]


def reconstruction_loss(output: Tensor, truth: Tensor) -> Tensor:
    """Of pictures [B, 3, S, S] in [-1, 1]: absolute and squared error, that of their slopes, which carry eyes and strands, and of hues."""
    error, weight = output - truth, emphasis(truth)
    across, down = slopes(error)
    edges = (weight[..., 1:] * across.abs()).mean() + (weight[..., 1:, :] * down.abs()).mean()
    return (
        (weight * error.abs()).mean()
        + error.square().mean()
        + edges
        + HUE * F.avg_pool2d(hues(error), HUE_CELL).square().mean()
    )


@torch.no_grad()
def validate(vae: AutoencoderKL, renders: Renders, device) -> dict[str, float]:
    """Mean PSNR in dB of whole validation images there and back, and the latents' standard deviation."""
    errors, spread = [], []
    for i in range(len(renders.rgb)):
        image = renders.rgb[i].to(device).float() / 255
        latents = encode(vae, image)
        errors.append((decode(vae, latents) - image).square().mean((1, 2, 3)))
        spread.append(latents)
    latents = torch.stack(spread)
    return {"psnr_db": (-10 * torch.stack(errors).log10()).mean().item(), "latent_std": latents.std().item()}


@torch.no_grad()
def sheet(vae: AutoencoderKL, renders: Renders, path: Path, device, heads: int = 6) -> None:
    """Validation heads below their truth."""
    rows = []
    for i in range(heads):
        image = renders.rgb[i].to(device).float() / 255
        rows += [torch.cat(list(x.cpu()), -1) for x in (image, decode(vae, encode(vae, image)))]
    picture = (torch.cat(rows, -2).clamp(0, 1) * 255).round().byte().permute(1, 2, 0)
    Image.fromarray(picture.numpy()).save(path)


def there_and_back(
    vae: AutoencoderKL, signed: Tensor, draws: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Reconstruction [B, 3, S, S] of pictures in [-1, 1] from a sample of the posterior, its mean KL divergence to a unit Gaussian, and the
    squared distance of the first two latent channels from the picture's hues."""
    into, out = (
        present(conv, f"an autoencoder with a {name}", "train the embedded one")
        for name, conv in (("quant_conv", vae.quant_conv), ("post_quant_conv", vae.post_quant_conv))
    )
    with torch.autocast(signed.device.type, torch.bfloat16):
        moments = into(vae.encoder(signed))
    posterior = posterior_of(moments)
    latents = draw(posterior, draws)
    with torch.autocast(signed.device.type, torch.bfloat16):
        output = vae.decoder(out(latents))
    small = F.interpolate(hues(signed), size=latents.shape[-2:], mode="area")
    apart = (posterior.mean[:, :2] / HINT_SCALE - small).square().mean()
    return output.float(), posterior.kl().sum() / signed.numel(), apart


def run(arguments: list[str]) -> None:
    """Train for `--minutes`, write the weights that ship, print the held-out figures."""
    parser = training_parser("autoencoder", __doc__, minutes=40, heads=600)
    parser.add_argument("--sheet", type=Path, help="PNG of validation heads below their truth")
    options, device = sitting(parser, arguments)
    truth, held_out = (cached_renders(seeds) for seeds in (UPPER[: options.heads], VALIDATION[:25]))
    config = AutoencoderConfig()
    with initial_weights(2):
        vae = placed(autoencoder(config), device)
    eyes = shipped_perceptual().to(device)
    optimiser = torch.optim.AdamW(vae.parameters(), lr=RATE, betas=(0.9, 0.99), weight_decay=1e-3)
    local = LocalRun("autoencoder", vae, optimiser, options.minutes)
    draws = local.draws(2)

    def step(index: int, progress: float) -> dict[str, float]:
        side, count = next(stage[1:] for stage in STAGES if progress < stage[0] or stage == STAGES[-1])
        heads = progress > HEADS_FROM and index % 3
        pictures = random_pictures(
            truth, round(count * (side / HEAD) ** 2) if heads else count, side, draws, device
        )
        pictures = around_heads(pictures, draws) if heads else pictures
        signed = 2 * pictures - 1  # from [0, 1] to [-1, 1]
        output, divergence, apart = there_and_back(vae, signed, draws)
        hint = HINT * max(0.0, 1 - progress / HINTED)
        loss = reconstruction_loss(output, signed) + KL * divergence + hint * apart
        terms = {"loss": loss.item(), "apart": apart.item()}
        if progress > PERCEPTUAL_FROM:
            with torch.autocast(device.type, torch.bfloat16):
                distance = perceptual_distance(eyes, (output + 1) / 2, pictures).mean()
            loss = loss + PERCEPTUAL * distance
            terms["perceptual"] = distance.item()
        descend(loss, optimiser, RATE * rate_share(index, progress, warm_up=200))
        return terms

    local.train(step, options, save_every=1000, judge=lambda: validate(vae, held_out, device))
    figures = validate(vae, held_out, device)
    final = replace(config, scaling_factor=round(1 / figures["latent_std"], 5))
    local.conclude(options, figures, partial(write, shipped("autoencoder"), "autoencoder", final, vae))
    if options.sheet:
        sheet(vae, held_out, options.sheet, device)
