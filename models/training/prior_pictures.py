"""Whole pictures for `train prior`: the raw render of a view, its super-resolution, and what both are compared with."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..camera import RADIUS, Camera, label_from_camera, orbit, rays
from ..fitting.perceptual import critic_distance
from ..presence import present
from ..prior.discriminator import Discriminator
from ..prior.embedded import EmbeddedGenerator
from ..synthetic.renders import Renders
from .prior_rays import GuidedSampling, RayBatch, draw_views, guided_samples, reach_out, render_guided


@dataclass(frozen=True)
class PictureBatch:
    """Pictures of B heads, one view each.

    Attributes:
        image: [B, 3, S, S] and raw: [B, 3, R, R], on white, in [-1, 1]. label: [B, 25].
        rays: of the raw picture's pixels; None for fakes.
    """

    image: Tensor
    raw: Tensor
    label: Tensor
    rays: RayBatch | None = None


def draw_pictures(
    renders: Renders, index: Tensor, generator: EmbeddedGenerator, draws: torch.Generator, device
) -> PictureBatch:
    """A random view of each of the heads `index` [B]; distances of the raw picture's rays are the nearest fine pixel's."""
    pick = (index, draw_views(renders.yaw[index], 1, draws)[:, 0])
    image = renders.rgb[pick].to(device).float() / 127.5 - 1
    mask, R = renders.mask[pick].to(device).float()[:, None], generator.config.raw_resolution
    raw = F.interpolate(image, size=(R, R), mode="area")
    camera: Camera = orbit(renders.yaw[pick], renders.pitch[pick]).to(device)
    origins, directions = (x.flatten(1, 2) for x in rays(camera, R, R))
    step = image.shape[-1] // R
    covered = F.max_pool2d(mask, step)
    distance = (
        renders.beyond[pick].to(device).float()[:, None] * mask + (mask - 1) * -10
    )  # empty pixels are never the nearest
    nearest = reach_out((-F.max_pool2d(-distance, step) + RADIUS)[:, 0], covered[:, 0], 3)
    batch = RayBatch(origins, directions, (raw.flatten(2).mT + 1) / 2, covered.flatten(1), nearest.flatten(1))
    return PictureBatch(image, raw, label_from_camera(camera), batch)


def raw_features(
    generator: EmbeddedGenerator,
    planes: Tensor,
    ws: Tensor,
    real: PictureBatch,
    sampling: GuidedSampling,
    draws: torch.Generator,
) -> Tensor:
    """What super-resolution is fed with [B, F, R, R], from the cameras of `real`; rendered where its surface is and a margin around."""
    B, R = len(ws), generator.config.raw_resolution
    rays = present(real.rays, "pictures with their rays", "take them with rays")
    near = F.max_pool2d(rays.mask.view(B, 1, R, R), 7, 1, 3).flatten(1) > 0
    count = int(near.sum(1).max())
    pick = near.float().topk(count, dim=1).indices  # [B, count]; pads with empty rays

    def of(x: Tensor) -> Tensor:
        return x.gather(1, pick) if x.ndim == 2 else x.gather(1, pick[..., None].expand(-1, -1, x.shape[-1]))

    batch = RayBatch(
        *(
            of(x)
            for x in (
                rays.origins,
                rays.directions,
                rays.rgb,
                rays.mask,
                rays.distance,
            )
        )
    )
    t = guided_samples(batch, sampling, generator.config.field.box_side, draws)
    rendering = render_guided(generator.field(planes, ws), batch, t)
    on_white = rendering.features + (1 - rendering.opacity)[..., None]
    every = on_white.new_ones(B, R * R, on_white.shape[-1]).scatter(
        1, pick[..., None].expand_as(on_white), on_white
    )
    return generator.signed(every.mT.unflatten(2, (R, R)))


def super_resolved(generator: EmbeddedGenerator, features: Tensor, ws: Tensor, label: Tensor) -> PictureBatch:
    """The generator's pictures of features [B, F, R, R], styles [B, num_ws, w_dim] and label [B, 25]."""
    return PictureBatch(generator.super_resolve(features[:, :3], features, ws), features[:, :3], label)


def picture_losses(fake: PictureBatch, real: PictureBatch, critic: Discriminator) -> dict[str, Tensor]:
    """L1 [] of raw and final pictures, and of the critic's features.

    The critic's own weights get no gradient worth keeping.
    """
    features = critic_distance(critic)((fake.image, fake.raw), (real.image, real.raw))
    return {
        "raw": (fake.raw - real.raw).abs().mean(),
        "image": (fake.image - real.image).abs().mean(),
        "features": features,
    }
