"""`bench mvnrs --speed`: seconds of an iteration beside plain score distillation's, with the same renderer and calls of the UNet."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ...commands.report import Row
from ...diffusion.autoencoder import encode
from ...diffusion.hpdm import shipped_hpdm
from ...diffusion.new_views import embedded_model
from ...diffusion.schedule import add_noise
from ...distillation.head_scene import RefineConfig
from ...distillation.refinement import Refinement
from ...distillation.sds import sds_gradient, sds_loss
from ..exact_heads import ExactHead
from ..inverted_heads import InvertedHeads
from ..turbo.speed import median_seconds


def plain_gradient(run: Refinement, t: int, generator: torch.Generator) -> Tensor:
    """Score distillation as it is usually done: each view rendered and encoded with a graph, one call of the UNet, one backward pass.

    Args:
        run: whose scene has been begun and looks at whole pictures. t: timestep of all views.

    Returns:
        the planes' gradient [1, 3, C, (D,) H, W].
    """
    scene, model, S = run.scene, run.scene.denoiser.model, run.config.size
    planes, cameras = scene.pixels.head.planes, scene.pixels.cameras
    schedule = model.denoiser.schedule
    total = torch.zeros_like(planes)
    for view, _ in scene.order[1:]:  # the photo's own is not denoised in MV-NRS either
        z = encode(model.vae, scene.render(view).mT.view(1, 3, S, S).clamp(0, 1))
        noise = torch.randn(z.shape, generator=generator).to(z)
        step = torch.full((1,), t, device=z.device)
        with torch.no_grad():
            noise_pred = model.denoiser(
                add_noise(schedule, z, noise, step), step, model.prompts(cameras[[view]])
            )
        loss = sds_loss(z, sds_gradient(schedule, noise_pred, noise, step))
        total += torch.autograd.grad(loss, planes)[0]
    return total


def speed_rows(exact: ExactHead, config: RefineConfig) -> list[Row]:
    """Of one iteration of all views, whole pictures for both, at K = 1 and 4; the UNet's own share; and with the preset's drawn rays."""
    rows = []
    head = InvertedHeads().head(exact)
    model = embedded_model()
    network = shipped_hpdm()
    for steps in (1, 4):
        whole = replace(config, denoising_steps=steps, rays=0, iterations=1000, guidance=1.0)
        run = Refinement(head, model, network, whole, torch.Generator().manual_seed(0))
        ours = median_seconds(run.iteration, repeats=2)
        cameras = run.scene.pixels.cameras[1:]
        side = whole.size // 8
        z = torch.randn(len(cameras.cam2world), 4, side, side)
        t = torch.full((len(cameras.cam2world),), 400)
        prompts = model.prompts(cameras)
        draws = torch.Generator().manual_seed(0)
        with torch.no_grad():
            alone = median_seconds(lambda z=z, t=t, prompts=prompts: model.denoiser(z, t, prompts))
        plain = (
            median_seconds(lambda run=run, draws=draws: plain_gradient(run, 400, draws), repeats=2)
            + (steps - 1) * alone
        )
        name = f"K = {steps}, {len(cameras.cam2world)} views of {whole.size} pixels"
        rows += [
            Row(name, "an iteration of MV-NRS", ours, "s"),
            Row(name, "plain score distillation with as many calls of the UNet", plain, "s"),
            Row(name, "MV-NRS over plain", ours / plain, ""),
            Row(name, "share of the UNet alone in MV-NRS", steps * alone / ours, ""),
        ]
        if config.rays:
            refinement = Refinement(
                head, model, network, replace(whole, rays=config.rays), torch.Generator().manual_seed(0)
            )
            quick = median_seconds(refinement.iteration, repeats=2)
            rows += [
                Row(name, f"an iteration of MV-NRS, {config.rays} rays a view", quick, "s"),
                Row(name, f"MV-NRS, {config.rays} rays a view, over plain", quick / plain, ""),
            ]
    return rows
