"""The oracle of `bench prior`: the same field, fitted to all exact views at once. What an inversion could reach at best."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import torch
import torch.nn.functional as F

from ...camera import rays
from ...field.triplane import TriplaneField
from ...head import Head
from ...synthetic.multiview import MultiView
from ...training.prior_rays import (
    GuidedSampling,
    RayBatch,
    guided_samples,
    interest,
    ray_losses,
    reach_out,
    render_guided,
)

ORACLE_STEPS = 250
RAYS = 3000
RATE = 0.02


def fit_oracle(head: Head, views: MultiView) -> Head:
    """A head's planes and decoder fitted by Adam to rays of all views, sampled about their exact surface; no super-resolution."""
    planes = head.planes.clone().requires_grad_()
    decoder = deepcopy(head.decoder).requires_grad_(True)
    optimiser = torch.optim.Adam(
        [{"params": [planes], "lr": RATE}, {"params": decoder.parameters(), "lr": RATE / 10}]
    )
    batch, weight = _all_rays(views)
    draws = torch.Generator().manual_seed(0)
    for step in range(ORACLE_STEPS):
        pick = torch.multinomial(weight, RAYS, generator=draws)
        some = RayBatch(
            *(getattr(batch, key)[:, pick] for key in ("origins", "directions", "rgb", "mask", "distance"))
        )
        t = guided_samples(some, GuidedSampling(), head.config.box_side, draws)
        losses = ray_losses(
            render_guided(TriplaneField(planes, decoder, head.config), some, t),
            some,
            torch.rand(3, generator=draws),
        )
        optimiser.zero_grad()
        (4 * losses["colour"] + 0.3 * losses["opacity"] + losses["distance"]).backward()
        for group, rate in zip(optimiser.param_groups, (RATE, RATE / 10), strict=True):
            group["lr"] = rate * min(1.0, 2 * (1 - step / ORACLE_STEPS))
        optimiser.step()
    return replace(
        head, planes=planes.detach(), decoder=decoder.requires_grad_(False), latents=None, generator=None
    )


def _all_rays(views: MultiView) -> tuple[RayBatch, torch.Tensor]:
    """Every pixel's ray [1, V S S], and how likely it is drawn [V S S]; at most as many as `multinomial` takes."""
    step = 1
    while views.views.mask[:, :, ::step, ::step].numel() >= 2**24:
        step += 1
    size = views.views.rgb.shape[-1]
    origins, directions = (x[:, ::step, ::step].reshape(1, -1, 3) for x in rays(views.camera, size, size))
    rgb, mask, distance = (
        x[..., ::step, ::step] for x in (views.views.rgb, views.views.mask, views.views.ray_distance)
    )
    weight = interest(rgb, mask[:, 0]).flatten()
    flat = rgb.permute(0, 2, 3, 1).reshape(1, -1, 3)
    distance = reach_out(distance[:, 0], mask[:, 0], mask.shape[-1] // 28)
    return RayBatch(origins, directions, flat, mask.reshape(1, -1), distance.reshape(1, -1)), F.normalize(
        weight, p=1, dim=0
    )
