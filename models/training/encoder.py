"""`train encoder`: aligned photo -> identity code and pose, by regression on the factory's renders, augmented."""

from __future__ import annotations

import argparse
import math
import time

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checkpoint import shipped, write
from ..prior.encoder import EncoderConfig, PortraitEncoder
from .local import LocalRun, pick_device
from .renders import Renders, cached_renders

MAX_YAW = math.radians(61)
BATCH = 32


def usable_views(renders: Renders) -> Tensor:
    """[M, 2] indices (head, view) of the views from which a face can be read."""
    return (renders.yaw.abs() < MAX_YAW).nonzero()


def augment(image: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
    """What alignment, matting and cameras do to a portrait: shifts, small turns, colour, blur, noise, ragged edges, occlusion.

    Args:
        image: [B, 3, S, S] on white. mask: [B, 1, S, S].

    Returns:
        [B, 3, S, S] in [0, 1], on white.
    """
    B, S = image.shape[0], image.shape[-1]

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(B, *shape, generator=generator).to(image) * (high - low) + low

    backdrop = uniform(0, 1, 3, 1, 1)
    softness = F.avg_pool2d(F.max_pool2d(mask, 5, 1, 2), 5, 1, 2)  # some of the photo's background stays at the edges
    ragged = torch.where(uniform(0, 1, 1, 1, 1) < 0.5, softness, mask)
    image = image * mask + backdrop * (1 - mask)
    angle, scale, shift = uniform(-0.07, 0.07), uniform(0.93, 1.07), uniform(-0.05, 0.05, 2)
    turn = torch.stack(
        [
            torch.stack([angle.cos() * scale, -angle.sin() * scale, shift[:, 0]], -1),
            torch.stack([angle.sin() * scale, angle.cos() * scale, shift[:, 1]], -1),
        ],
        1,
    )
    grid = F.affine_grid(turn, list(image.shape), align_corners=False)
    image, ragged = (F.grid_sample(x, grid, padding_mode="border", align_corners=False) for x in (image, ragged))
    image = image.clamp(0, 1) ** uniform(0.7, 1.4, 1, 1, 1) * uniform(0.8, 1.2, 3, 1, 1)
    mean = image.mean((1, 2, 3), keepdim=True)
    image = (image - mean) * uniform(0.75, 1.25, 1, 1, 1) + mean
    blurred = F.interpolate(F.avg_pool2d(image, 2), size=(S, S), mode="bilinear")
    image = torch.where(uniform(0, 1, 1, 1, 1) < 0.4, blurred, image)
    image = image + torch.randn(image.shape, generator=generator).to(image) * uniform(0, 0.04, 1, 1, 1)
    u = (torch.arange(S, device=image.device) + 0.5) / S
    centre, half = uniform(0, 1, 2), uniform(0, 0.16, 2)
    hidden = ((u - centre[:, :1]).abs() < half[:, :1])[:, None, None, :] & ((u - centre[:, 1:]).abs() < half[:, 1:])[:, None, :, None]
    occluded = hidden & (uniform(0, 1, 1, 1, 1) < 0.25)
    image = torch.where(occluded, uniform(0, 1, 3, 1, 1), image)
    return (image * ragged + 1 - ragged).clamp(0, 1)


@torch.no_grad()
def validate(encoder: PortraitEncoder, renders: Renders, device) -> dict[str, float]:
    """On validation heads: share of the codes' variance explained in front, and the pose's mean error in degrees."""
    picks = usable_views(renders)
    images = renders.rgb[picks[:, 0], picks[:, 1]].to(device).float() / 255
    codes, pose = encoder(images)
    truth = renders.parameters[picks[:, 0]].to(device)
    angles = torch.stack([renders.yaw[picks[:, 0], picks[:, 1]], renders.pitch[picks[:, 0], picks[:, 1]]], -1).to(device)
    front = picks[:, 1].to(device) == 0
    left = (codes - truth)[front].square().mean() / truth[front].var(0).mean()
    return {"code_r2_front": 1 - left.item(), "pose_error_degrees": math.degrees((pose - angles).abs().mean().item())}


def run(arguments: list[str]) -> None:
    """Train for `--minutes`, write the weights that ship, print the held-out figures."""
    parser = argparse.ArgumentParser(prog="portrait-diffusion train encoder", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--heads", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 for all")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    device = pick_device()
    truth, held_out = cached_renders(range(options.heads)), cached_renders(range(90_000, 90_025))
    config = EncoderConfig(z_dim=truth.parameters.shape[1])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)  # the initial weights
        encoder = PortraitEncoder(config).to(device)
    optimiser = torch.optim.AdamW(encoder.parameters(), lr=1e-3, weight_decay=1e-4)
    local = LocalRun("encoder", encoder, optimiser, options.minutes)
    draws = torch.Generator().manual_seed(1)
    started, step, picks = time.monotonic(), local.resume(), usable_views(truth)
    while local.progress() < 1:
        heads, views = picks[torch.randint(len(picks), (BATCH,), generator=draws)].unbind(1)
        image = truth.rgb[heads, views].to(device).float() / 255
        image = augment(image, truth.mask[heads, views][:, None].to(device).float(), draws)
        codes, pose = encoder(image)
        angles = torch.stack([truth.yaw[heads, views], truth.pitch[heads, views]], -1).to(device)
        loss = (codes - truth.parameters[heads].to(device)).square().mean() + 2 * (pose - angles).square().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        for group in optimiser.param_groups:
            group["lr"] = 1e-3 * min(1, (step + 1) / 100) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(local.progress(), 1))))
        optimiser.step()
        step += 1
        if step % 100 == 0:
            print(f"step {step}  {time.monotonic() - started:.0f} s  loss {loss.item():.4f}", flush=True)
        if step % 500 == 0:
            local.save(step)
            print("validation", validate(encoder, held_out, device), flush=True)
    local.save(step)
    figures = validate(encoder, held_out, device)
    write(shipped("encoder"), "encoder", config, encoder, **{key: f"{value:.3f}" for key, value in figures.items()}, steps=str(step))
    print(f"{step} steps; validation {figures}; wrote {shipped('encoder').name}", flush=True)
