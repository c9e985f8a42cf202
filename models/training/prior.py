"""`train prior`: the embedded generator, from the factory's identity codes and exact views.

Reconstruction with known codes, poses and depth: rays are sampled where the factory says that their surface is, which makes a
step several times cheaper than rendering blindly, and every gradient lands on the surface.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..camera import Camera, orbit, rays
from ..checkpoint import shipped, write
from ..field.triplane import FieldConfig, TriplaneField
from ..field.volume_rendering import RenderConfig, box_range, ray_weights, render
from ..prior.embedded import EmbeddedGenerator, GeneratorConfig
from .local import LocalRun, pick_device
from .renders import Renders, cached_renders

# A wall needs some 500 per scene unit: with EG3D's scale of 1 the features themselves grow to hundreds and nothing else is learnt.
FIELD = FieldConfig(density_shift=-4.0, density_scale=100.0)


@dataclass(frozen=True, kw_only=True)
class PriorTraining:
    """Attributes: heads, views, rays per step; learning_rate and its warm-up in steps; surface_band in scene units."""

    heads: int = 4
    views: int = 3
    rays: int = 400
    learning_rate: float = 2e-3
    warm_up: int = 200
    surface_band: float = 0.05


@dataclass(frozen=True)
class RayBatch:
    """Rays of B heads: origins, directions [B, R, 3]; rgb [B, R, 3] on white; mask, distance [B, R]."""

    origins: Tensor
    directions: Tensor
    rgb: Tensor
    mask: Tensor
    distance: Tensor


def draw_rays(renders: Renders, index: Tensor, config: PriorTraining, generator: torch.Generator, device) -> RayBatch:
    """Rays of the heads `index` [B]: three quarters inside the silhouette, more where the picture has detail."""
    B, V, R = len(index), config.views, config.rays
    total = renders.rgb.shape[1]
    view = torch.stack([torch.randperm(total, generator=generator)[:V] for _ in range(B)])
    pick = (index[:, None], view)
    rgb = renders.rgb[pick].to(device).float() / 255  # [B, V, 3, S, S]
    mask = renders.mask[pick].to(device).float()
    S = mask.shape[-1]
    grey = rgb.mean(2)
    detail = F.pad((grey[..., 1:, :] - grey[..., :-1, :]).abs(), (0, 0, 0, 1)) + F.pad((grey[..., 1:] - grey[..., :-1]).abs(), (0, 1))
    near_edge = F.max_pool2d(mask.flatten(0, 1)[:, None], 9, 1, 4)[:, 0].view_as(mask)
    wanted = mask * (0.25 + 4 * detail.clamp(max=0.5)) + 0.12 * near_edge + 0.03
    noise = torch.rand(wanted.shape, generator=generator).to(device)  # Gumbel: weighted draw without replacement
    pixel = (wanted.log() - (-noise.clamp(min=1e-9).log()).log()).flatten(2).topk(R, dim=-1).indices  # [B, V, R]
    camera = orbit(renders.yaw[pick], renders.pitch[pick]).to(device)
    origins, directions = rays(camera, S, S)

    def at(image: Tensor) -> Tensor:  # [B, V, S, S, c] -> [B, V * R, c]
        flat = image.flatten(2, 3)
        return flat.gather(2, pixel[..., None].expand(-1, -1, -1, flat.shape[-1])).flatten(1, 2)

    distance = renders.distance[pick].to(device).float()
    return RayBatch(at(origins), at(directions), at(rgb.movedim(2, -1)), at(mask[..., None])[..., 0], at(distance[..., None])[..., 0])


def guided_edges(batch: RayBatch, config: PriorTraining, box_side: float, generator: torch.Generator) -> Tensor:
    """Bin edges [B, R, 18]: six through the free space, twelve around the surface; all spread evenly on empty rays."""
    near, far = box_range(batch.origins, batch.directions, box_side)
    hit = batch.mask > 0.5
    front = torch.where(hit, (batch.distance - config.surface_band).clamp(min=near), near)
    end = torch.where(hit, batch.distance + config.surface_band, far)

    def spread(a: Tensor, b: Tensor, count: int) -> Tensor:
        jitter = torch.rand(*a.shape, count, generator=generator).to(a)
        u = (torch.arange(count, device=a.device) + jitter) / count
        return a[..., None] + (b - a)[..., None] * u

    # empty rays: the "free space" third runs through the first third of the box
    middle = torch.where(hit, front, near + (far - near) / 3)
    return torch.cat([spread(near, middle, 6), spread(middle, end, 12)], -1)


def loss_terms(field: TriplaneField, batch: RayBatch, edges: Tensor, backdrop: Tensor) -> dict[str, Tensor]:
    """Colour over a random backdrop [3], opacity, and the spread of each ray's weight about the exact distance."""
    middle = (edges[..., 1:] + edges[..., :-1]) / 2
    points = batch.origins[..., None, :] + batch.directions[..., None, :] * middle[..., None]
    density, colour = field(points)
    weights = ray_weights(density, edges)
    opacity = weights.sum(-1)
    rgb = (weights[..., None] * colour).sum(-2) + (1 - opacity)[..., None] * backdrop
    truth = torch.where(batch.mask[..., None] > 0.5, batch.rgb, backdrop)
    off = (weights * (middle - batch.distance[..., None]).abs()).sum(-1) * batch.mask
    return {
        "colour": (rgb - truth).abs().mean(),
        "opacity": F.binary_cross_entropy(opacity.clamp(1e-4, 1 - 1e-4), batch.mask),
        "distance": off.mean() * 10,
    }


@torch.no_grad()
def validate(generator: EmbeddedGenerator, renders: Renders, heads: int, device) -> dict[str, float]:
    """Mean PSNR in dB over whole images, in front and over all views, of validation heads fed with their true codes."""
    errors = []
    for i in range(heads):
        planes = generator(renders.parameters[i : i + 1].to(device))
        field = TriplaneField(planes, generator.decoder, generator.config.field)
        camera: Camera = orbit(renders.yaw[i, :4], renders.pitch[i, :4]).to(device)
        picture = render(field, camera, 64, 64, RenderConfig(), normals=False)
        truth = F.interpolate(renders.rgb[i, :4].to(device).float() / 255, size=(64, 64), mode="area")
        errors.append((picture.rgb - truth).square().mean((1, 2, 3)))
    psnr = -10 * torch.stack(errors).log10()
    return {"front_psnr_db": psnr[:, 0].mean().item(), "all_psnr_db": psnr.mean().item()}


def step_rate(step: int, progress: float, config: PriorTraining) -> float:
    """Learning rate: linear warm-up, then a cosine over the run's share done."""
    return config.learning_rate * min(1, (step + 1) / config.warm_up) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(progress, 1))))


def run(arguments: list[str]) -> None:
    """Train for `--minutes`, write the weights that ship, print the held-out figures."""
    parser = argparse.ArgumentParser(prog="portrait-diffusion train prior", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--heads", type=int, default=1000, help="factory heads to learn from")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 for all")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    device, training = pick_device(), PriorTraining()
    truth = cached_renders(range(options.heads))
    held_out = cached_renders(range(90_000, 90_025))
    config = GeneratorConfig(z_dim=truth.parameters.shape[1], field=FIELD)
    draws = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the initial weights
        generator = EmbeddedGenerator(config).to(device)
    optimiser = torch.optim.Adam(generator.parameters(), lr=training.learning_rate, betas=(0.9, 0.99))
    local = LocalRun("prior", generator, optimiser, options.minutes)
    started, step = time.monotonic(), local.resume()
    while local.progress() < 1:
        index = torch.randint(len(truth.parameters), (training.heads,), generator=draws)
        batch = draw_rays(truth, index, training, draws, device)
        edges = guided_edges(batch, training, config.field.box_side, draws)
        field = TriplaneField(generator(truth.parameters[index].to(device)), generator.decoder, config.field)
        terms = loss_terms(field, batch, edges, torch.rand(3, generator=draws).to(device))
        optimiser.zero_grad(set_to_none=True)
        (4 * terms["colour"] + 0.3 * terms["opacity"] + terms["distance"]).backward()
        torch.nn.utils.clip_grad_norm_(generator.parameters(), 1.0)
        for group in optimiser.param_groups:
            group["lr"] = step_rate(step, local.progress(), training)
        optimiser.step()
        step += 1
        if step % 100 == 0:
            shown = "  ".join(f"{key} {value.item():.4f}" for key, value in terms.items())
            print(f"step {step}  {time.monotonic() - started:.0f} s  {shown}", flush=True)
        if step % 1000 == 0:
            local.save(step)
            print("validation", validate(generator, held_out, 4, device), flush=True)
    with torch.no_grad():
        generator.w_mean.copy_(generator.mapping(truth.parameters.to(device))[:, 0].mean(0))
    local.save(step)
    figures = validate(generator, held_out, 25, device)
    write(shipped("prior"), "prior", config, generator, **{key: f"{value:.3f}" for key, value in figures.items()}, steps=str(step))
    print(f"{step} steps; validation {figures}; wrote {shipped('prior').name}", flush=True)
