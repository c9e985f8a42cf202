"""`train prior`: the embedded generator and its discriminator, from the factory's identity codes and exact views.

Multi-view reconstruction with known codes, cameras and depths carries geometry and colour, planes growing from coarse to fine; the
last part adds the super-resolved picture and the adversarial loss of EG3D (dual, camera-conditioned, R1), which only sharpen.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from ..camera import orbit
from ..checkpoint import shipped, write
from ..field.casting import MarchingCaster, render
from ..head import Head
from ..prior.contract import styles
from ..prior.discriminator import Discriminator, DiscriminatorConfig
from ..prior.embedded import EmbeddedGenerator, embedded_generator
from ..prior.families import family_of
from ..synthetic.factories import chosen_factory, codes_of
from ..synthetic.renders import Renders
from ..synthetic.splits import PRIOR, VALIDATION
from .growing import factory_options, growing
from .local import LocalRun, descend, initial_weights, sitting, training_parser
from .prior_pictures import PictureBatch, draw_pictures, picture_losses, raw_features, super_resolved
from .prior_rays import (
    GuidedSampling,
    draw_rays,
    guided_samples,
    print_behind,
    ray_losses,
    relief_loss,
    render_guided,
)

HELD_OUT_HEADS = 25


@dataclass(frozen=True, kw_only=True)
class PriorTraining:
    """Sizes and rates of a training.

    Attributes:
        heads, views, rays: per step; rays per view.
        rate, discriminator_rate: of Adam. mapping_rate: times that for the mapping, whose stored weights are 100 times larger.
        warm_up: steps.
        fine_from, pictures_from, adversary_from: shares of the run after which planes are fine, pictures whole, the critic heard.
        pictures_every: steps between steps on whole pictures. pictures: per such step.
        relief: weight of the surface's slope. relief_share: of the rays that it is taken on.
        print_behind: weight of what the planes tell of the face to the back.
        adversary: weight. r1: its gradient penalty. r1_every: critic steps between penalties.
    """

    heads: int = 4
    views: int = 2
    rays: int = 320
    rate: float = 2.5e-3
    discriminator_rate: float = 2e-3
    mapping_rate: float = 100.0
    warm_up: int = 200
    fine_from: float = 0.15
    pictures_from: float = 0.60
    adversary_from: float = 0.78
    pictures_every: int = 3
    pictures: int = 2
    relief: float = 2.0
    relief_share: float = 0.4
    print_behind: float = 1.0
    adversary: float = 0.02
    r1: float = 2.0
    r1_every: int = 8
    sampling: GuidedSampling = field(default_factory=GuidedSampling)


class Pair(nn.Module):
    """Generator and discriminator under one state dict, for the local checkpoint."""

    def __init__(self, generator: EmbeddedGenerator, discriminator: Discriminator) -> None:
        super().__init__()
        self.generator, self.discriminator = generator, discriminator


def fast_precision(device: torch.device) -> contextlib.AbstractContextManager:
    """Convolutions in bfloat16, which processors and accelerators multiply several times faster."""
    return torch.autocast(device.type, torch.bfloat16)


def planes_of(generator: EmbeddedGenerator, codes: Tensor, stop: int | None) -> tuple[Tensor, Tensor]:
    """Styles [B, num_ws, w_dim] and float32 planes [B, 3, C, (D,) H, W] of codes [B, z_dim]."""
    ws = styles(generator, codes)
    with fast_precision(codes.device):
        planes = generator.planes(ws, "none", stop=stop)
    return ws, planes.float()


def ray_step(
    generator: EmbeddedGenerator,
    codes: Tensor,
    truth: Renders,
    index: Tensor,
    config: PriorTraining,
    stop: int | None,
    draws: torch.Generator,
) -> dict[str, Tensor]:
    """Reconstruction losses, each [], on rays of the heads `index` [B] with codes [B, z_dim]."""
    batch = draw_rays(truth, index, config.views, config.rays, draws, codes.device)
    t = guided_samples(batch, config.sampling, generator.config.field.box_side, draws)
    _, planes = planes_of(generator, codes, stop)
    field = generator.field(planes)
    losses = ray_losses(render_guided(field, batch, t), batch, torch.rand(3, generator=draws).to(codes))
    return losses | {
        "relief": relief_loss(field, batch, config.relief_share, draws),
        "print_behind": print_behind(planes, generator.config.field),
    }


def begin_plain(generator: EmbeddedGenerator) -> None:
    """Let the finest planes and super-resolution begin as plain enlargements: what they then add is learnt, not unlearnt."""
    blocks: list[nn.Module] = [
        generator.backbone.synthesis.get_submodule(f"b{generator.config.field.resolution}")
    ]
    if generator.superresolution is not None:
        blocks += [generator.superresolution.get_submodule(name) for name in ("block0", "block1")]
    for block in blocks:
        nn.init.zeros_(block.get_parameter("torgb.weight"))


def critic_loss(critic: Discriminator, fake: PictureBatch, real: PictureBatch, penalty: float) -> Tensor:
    """Non-saturating logistic loss [], R1 on real pictures (Mescheder et al. 2018) where `penalty` > 0."""
    image, raw = (
        real.image.detach().requires_grad_(penalty > 0),
        real.raw.detach().requires_grad_(penalty > 0),
    )
    on_real = critic(image, raw, real.label)
    loss = (
        F.softplus(critic(fake.image.detach(), fake.raw.detach(), fake.label)).mean()
        + F.softplus(-on_real).mean()
    )
    if penalty > 0:
        slopes = torch.autograd.grad(on_real.sum(), (image, raw), create_graph=True)
        loss = loss + penalty / 2 * sum(slope.square().sum((1, 2, 3)).mean() for slope in slopes)
    return loss


@torch.no_grad()
def validate(generator: EmbeddedGenerator, renders: Renders, heads: int, device) -> dict[str, float]:
    """Mean PSNR in dB at 128 pixels over whole images of validation heads fed with their true codes: in front, and all views."""
    errors = []
    for i in range(heads):
        ws, planes = planes_of(generator, codes_of(renders.parameters[i : i + 1]).to(device), None)
        camera = orbit(renders.yaw[i], renders.pitch[i]).to(device)
        picture = render(
            MarchingCaster(generator.field(planes, ws)),
            camera,
            128,
            128,
            generator.config.render,
            normals=False,
        )
        truth = F.interpolate(renders.rgb[i].to(device).float() / 255, size=(128, 128), mode="area")
        errors.append((picture.rgb - truth).square().mean((1, 2, 3)))
    psnr = -10 * torch.stack(errors).log10()
    return {"front_psnr_db": psnr[:, 0].mean().item(), "all_psnr_db": psnr.mean().item()}


def step_rate(step: int, progress: float, warm_up: int) -> float:
    """Share of the learning rate: linear warm-up, constant, then a cosine over the last half of the run."""
    late = max(0.0, min(1.0, (progress - 0.5) / 0.5))
    return min(1, (step + 1) / warm_up) * (0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * late)))


def optimisers(pair: Pair, config: PriorTraining) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
    """Adam for the generator, its mapping apart, and for the discriminator."""
    mapping = list(pair.generator.backbone.mapping.parameters())
    mapping_ids = {id(p) for p in mapping}
    others = [p for p in pair.generator.parameters() if id(p) not in mapping_ids]
    groups = [{"params": others, "scale": 1.0}, {"params": mapping, "scale": config.mapping_rate}]
    critic = [
        {"params": list(pair.discriminator.parameters()), "scale": config.discriminator_rate / config.rate}
    ]
    return torch.optim.Adam(groups, lr=config.rate, betas=(0.5, 0.99)), torch.optim.Adam(
        critic, lr=config.rate, betas=(0.0, 0.99)
    )


class PriorRun:
    """One training: its networks, data and draws, and what a step does at each share of the run."""

    def __init__(
        self,
        truth: Renders,
        config: PriorTraining,
        device: torch.device,
        generator: EmbeddedGenerator,
        critic: Discriminator,
    ) -> None:
        self.config, self.device = config, device
        self.renew(truth)
        self.generator, self.critic = generator, critic
        self.pair = Pair(generator, critic)
        self.optimiser, self.critic_optimiser = optimisers(self.pair, config)
        self.draws = torch.Generator().manual_seed(0)
        self.step_count = 0

    def renew(self, truth: Renders) -> None:
        """Learn from these from now on."""
        self.truth = truth
        self.codes = codes_of(truth.parameters).to(self.device)

    def heads(self, count: int) -> Tensor:
        """Indices [count] of random heads."""
        return torch.randint(len(self.truth.parameters), (count,), generator=self.draws)

    def step(self, progress: float) -> dict[str, float]:
        """One step; the losses."""
        config = self.config
        rate = config.rate * step_rate(self.step_count, progress, config.warm_up)
        stop = None if progress > config.fine_from else self.generator.backbone.synthesis.resolutions[-2]
        if progress > config.pictures_from and self.step_count % config.pictures_every == 0:
            losses = self.picture_step(rate, progress > config.adversary_from)
        else:
            index = self.heads(config.heads)
            terms = ray_step(self.generator, self.codes[index], self.truth, index, config, stop, self.draws)
            loss = 4 * terms["colour"] + 0.3 * terms["opacity"] + terms["distance"]
            if stop is None:  # coarse planes have no slope worth turning, and no face in detail
                loss = loss + config.relief * terms["relief"] + config.print_behind * terms["print_behind"]
            descend(loss, self.optimiser, rate)
            losses = {key: value.item() for key, value in terms.items()}
        self.step_count += 1
        return losses

    def picture_step(self, rate: float, adversary: bool) -> dict[str, float]:
        """One step on whole pictures: generator, then critic."""
        config = self.config
        index = self.heads(self.config.pictures)
        real = draw_pictures(self.truth, index, self.generator, self.draws, self.device)
        with torch.set_grad_enabled(
            adversary
        ):  # until the critic is heard, only super-resolution learns from pictures: half the time
            ws, planes = planes_of(self.generator, self.codes[index], None)
            features = raw_features(self.generator, planes, ws, real, config.sampling, self.draws)
        fake = super_resolved(self.generator, features, ws, real.label)
        terms = picture_losses(fake, real, self.critic)
        loss = 4 * terms["raw"] + 4 * terms["image"] + 0.1 * terms["features"]
        if adversary:
            terms["adversary"] = F.softplus(-self.critic(fake.image, fake.raw, fake.label)).mean()
            loss = loss + config.adversary * terms["adversary"]
        descend(loss, self.optimiser, rate)
        count = self.step_count // config.pictures_every
        penalty = config.r1 * config.r1_every if count % config.r1_every == 0 else 0.0
        terms["critic"] = critic_loss(self.critic, fake, real, penalty)
        descend(terms["critic"], self.critic_optimiser, rate)
        return {f"picture_{key}": value.item() for key, value in terms.items()}


def finish(run: PriorRun, held_out: Renders) -> dict[str, float]:
    """The mean style, the figures, and the two weights files that ship."""
    with torch.no_grad():
        styles = run.generator.backbone.mapping.style(run.codes)
        run.generator.backbone.mapping.w_avg.copy_(styles.mean(0))
    figures = validate(run.generator, held_out, len(held_out.parameters), run.device)
    notes = {key: f"{value:.3f}" for key, value in figures.items()} | {"steps": str(run.step_count)}
    write(
        shipped("prior"),
        "prior",
        run.generator.config,
        run.generator,
        family=family_of(run.generator),
        **notes,
    )
    write(shipped("discriminator"), "discriminator", run.critic.config, run.critic, steps=str(run.step_count))
    return figures


@torch.no_grad()
def sample_sheet(generator: EmbeddedGenerator, renders: Renders, path: Path, heads: int = 8) -> None:
    """Validation heads of true codes as the generator finally shows them, each row below its truth."""
    rows = []
    for i in range(heads):
        ws, planes = planes_of(
            generator,
            codes_of(renders.parameters[i : i + 1]).to(next(generator.decoder.parameters()).device),
            None,
        )
        head = Head(planes, generator.decoder, generator.config.field, None, ws, generator)
        camera = orbit(renders.yaw[i], renders.pitch[i])
        truth = renders.rgb[i].float() / 255
        view = head.render(camera.to(planes.device), truth.shape[-1], normals=False).rgb
        rows += [torch.cat(list(x), -1) for x in (truth, view.cpu())]
    picture = (torch.cat(rows, -2).clamp(0, 1) * 255).round().byte().permute(1, 2, 0)
    Image.fromarray(picture.numpy()).save(path)


def run(arguments: list[str]) -> None:
    """Train for `--minutes`, write the weights that ship, print the held-out figures."""
    parser = training_parser("prior", __doc__, minutes=80, heads=1000)
    factory_options(parser)
    parser.add_argument("--sheet", type=Path, help="PNG of validation heads below their truth")
    options, device = sitting(parser, arguments)
    factory = chosen_factory(options.factory)
    with growing(factory, PRIOR[options.first : options.first + options.heads]) as growth:
        held_out = factory.cached(VALIDATION[:HELD_OUT_HEADS], shard=HELD_OUT_HEADS)
        growth.wait()
        with initial_weights(0):
            generator = embedded_generator(factory.code_dim).to(device)
            begin_plain(generator)
            critic = Discriminator(DiscriminatorConfig()).to(device)
        state = PriorRun(growth.renders, PriorTraining(), device, generator, critic)
        local = LocalRun(
            "prior" if factory.number == 2 else f"prior-{factory.number}",
            state.pair,
            state.optimiser,
            options.minutes,
            {"generator.": "prior", "discriminator.": "discriminator"},
            options.checkpoint,
        )
        state.step_count = local.resume()
        state.draws.manual_seed(state.step_count)  # a sitting that goes on sees other draws

        def step(index: int, progress: float) -> dict[str, float]:
            if growth.grow_sometimes():
                state.renew(growth.renders)
            return state.step(progress)

        local.train(step, options, judge=lambda: validate(generator, held_out, 3, device))
        if options.keep:
            local.keep(options.keep)
    print(f"learnt from {growth.count} heads", flush=True)
    if options.end >= 1:
        print(
            f"{state.step_count} steps; validation {finish(state, held_out)}; wrote prior and discriminator",
            flush=True,
        )
    if options.sheet:
        sample_sheet(generator, held_out, options.sheet)
