"""`train encoder`: aligned photo -> identity code and pose.

By regression on the factory's renders, augmented; then, for the last part of the run, end to end through the frozen prior.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checkpoint import shipped, write
from ..prior.embedded import EmbeddedGenerator
from ..prior.encoder import EncoderConfig, PortraitEncoder
from ..prior.families import load_generator
from ..synthetic.codes import lift
from ..synthetic.factories import chosen_factory, codes_of
from ..synthetic.renders import Renders
from ..synthetic.splits import PRIOR, VALIDATION
from .growing import factory_options, growing
from .local import LocalRun, descend, initial_weights, rate_share, sitting, training_parser
from .prior import planes_of
from .prior_rays import GuidedSampling, draw_rays, guided_samples, ray_losses, render_guided

BATCH = 32
END_TO_END = 6  # heads of a batch that are rendered, too
END_TO_END_FROM = 0.7  # share of the run


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
    softness = F.avg_pool2d(
        F.max_pool2d(mask, 5, 1, 2), 5, 1, 2
    )  # some of the photo's background stays at the edges
    edge = torch.where(uniform(0, 1, 1, 1, 1) < 0.5, softness, mask)
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
    image, edge = (F.grid_sample(x, grid, padding_mode="border", align_corners=False) for x in (image, edge))
    tones = image.clamp(0, 1) ** uniform(0.75, 1.3, 1, 1, 1) * uniform(0.85, 1.15, 3, 1, 1)
    mean = tones.mean((1, 2, 3), keepdim=True)
    tones = (tones - mean) * uniform(0.75, 1.25, 1, 1, 1) + mean
    image = torch.where(
        uniform(0, 1, 1, 1, 1) < 0.5, tones, image
    )  # the others keep the colours that the code names
    blur = F.interpolate(F.avg_pool2d(image, 2), size=(S, S), mode="bilinear")
    image = torch.where(uniform(0, 1, 1, 1, 1) < 0.4, blur, image)
    image = image + torch.randn(image.shape, generator=generator).to(image) * uniform(0, 0.04, 1, 1, 1)
    u = (torch.arange(S, device=image.device) + 0.5) / S
    centre, half = uniform(0, 1, 2), uniform(0, 0.16, 2)
    hidden = ((u - centre[:, :1]).abs() < half[:, :1])[:, None, None, :] & (
        (u - centre[:, 1:]).abs() < half[:, 1:]
    )[:, None, :, None]
    occlusion = hidden & (uniform(0, 1, 1, 1, 1) < 0.25)
    image = torch.where(occlusion, uniform(0, 1, 3, 1, 1), image)
    return (image * edge + 1 - edge).clamp(0, 1)


@torch.no_grad()
def validate(encoder: PortraitEncoder, renders: Renders, device) -> dict[str, float]:
    """On validation heads: share of the codes' variance explained in front, and the pose's mean error in degrees over all views."""
    amounts, pose = encoder.amounts(renders.rgb.flatten(0, 1).to(device).float() / 255)
    truth = codes_of(renders.parameters)[:, :-1].to(device)
    angles = torch.stack([renders.yaw, renders.pitch], -1).flatten(0, 1).to(device)
    front = amounts.view(*renders.yaw.shape, -1)[:, 0]
    residue = (front - truth).square().mean() / truth.var(0).mean()
    return {
        "code_r2_front": 1 - residue.item(),
        "pose_error_degrees": math.degrees((pose - angles).abs().mean().item()),
    }


def rendered_loss(
    prior: EmbeddedGenerator, amounts: Tensor, truth: Renders, heads: Tensor, draws: torch.Generator
) -> Tensor:
    """Loss []: how the heads [B] of predicted codes [B, z_dim - 1] look on rays of their true views."""
    _, planes = planes_of(prior, lift(amounts), prior.backbone.synthesis.resolutions[-2])
    batch = draw_rays(truth, heads, 1, 256, draws, amounts.device)
    t = guided_samples(batch, GuidedSampling(band=0.06), prior.config.field.box_side, draws)
    losses = ray_losses(
        render_guided(prior.field(planes), batch, t), batch, torch.rand(3, generator=draws).to(amounts)
    )
    return losses["colour"] + 0.05 * losses["opacity"]


def shipped_prior(device, code_dim: int) -> EmbeddedGenerator | None:
    """The prior that ships, frozen; None before there is one of codes of that length."""
    prior = load_generator(shipped("prior")).to(device) if shipped("prior").is_file() else None
    if prior is None or prior.config.z_dim == code_dim:
        return prior
    print("the prior that ships takes codes of another factory: no end-to-end part", flush=True)
    return None


@dataclass
class Lessons:
    """What the encoder learns from. Attributes: truth: faces of N heads. codes: [N, code_dim - 1], on the CPU."""

    truth: Renders
    codes: Tensor

    def renew(self, truth: Renders) -> None:
        """Learn from these from now on."""
        self.truth, self.codes = truth, codes_of(truth.parameters)[:, :-1]


def run(arguments: list[str]) -> None:
    """Train for `--minutes`, write the weights that ship, print the held-out figures."""
    parser = training_parser("encoder", __doc__, minutes=45, heads=3000)
    factory_options(parser)
    options, device = sitting(parser, arguments)
    factory = chosen_factory(options.factory)
    seeds = PRIOR[options.first : options.first + options.heads]
    with growing(factory, seeds, views=3, size=128, faces=True) as growth:
        held_out = factory.cached(VALIDATION[:50], views=3, size=128, faces=True)
        growth.wait()
        with initial_weights(1):
            encoder = PortraitEncoder(EncoderConfig(z_dim=factory.code_dim)).to(device)
        optimiser = torch.optim.AdamW(encoder.parameters(), lr=1e-3, weight_decay=0.02)
        name = "encoder" if factory.number == 2 else f"encoder-{factory.number}"
        local = LocalRun(name, encoder, optimiser, options.minutes, {"": "encoder"}, options.checkpoint)
        draws = local.draws(1)
        prior = shipped_prior(device, factory.code_dim) if options.end > END_TO_END_FROM else None
        lessons = Lessons(growth.renders, codes_of(growth.renders.parameters)[:, :-1])

        def step(index: int, progress: float) -> dict[str, float]:
            if growth.grow_sometimes():
                lessons.renew(growth.renders)
            truth, codes = lessons.truth, lessons.codes
            heads = torch.randint(len(codes), (BATCH,), generator=draws)
            views = torch.randint(truth.rgb.shape[1], (BATCH,), generator=draws)
            image = truth.rgb[heads, views].to(device).float() / 255
            image = augment(image, truth.mask[heads, views][:, None].to(device).float(), draws)
            with torch.autocast(device.type, torch.bfloat16):
                amounts, pose = (x.float() for x in encoder.amounts(image))
            angles = torch.stack([truth.yaw[heads, views], truth.pitch[heads, views]], -1).to(device)
            loss = (amounts - codes[heads].to(device)).square().mean() + 2 * (pose - angles).square().mean()
            if prior is not None and progress > END_TO_END_FROM and index % 2:
                loss = loss + 2 * rendered_loss(prior, amounts[:END_TO_END], truth, heads[:END_TO_END], draws)
            descend(loss, optimiser, 1e-3 * rate_share(index, progress))
            return {"loss": loss.item()}

        ship = partial(write, shipped("encoder"), "encoder", encoder.config, encoder)
        local.run(step, options, lambda: validate(encoder, held_out, device), ship, save_every=1000)
        if options.keep:
            local.keep(options.keep)
    print(f"learnt from {growth.count} heads", flush=True)
