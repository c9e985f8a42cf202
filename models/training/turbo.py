"""`train turbo`: LoRA on the embedded UNet and decoder, and skips, so that one step refines the feed-forward stage's views.

TurboPortrait3D, section 3.2 and 4: t = 400; noise shares drawn from 0 to 0.5, on the novel views only; squared error, perceptual distance
and a discriminator on the refined views; first on heads that the prior made itself, then on exact views of the factory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..camera import label_from_camera
from ..checkpoint import shipped
from ..diffusion.autoencoder import decode_signed, encode_with_skips, factor, skips_for
from ..diffusion.denoiser import Conditioning, DiffusersDenoiser
from ..diffusion.embedded import EmbeddedUNet, shipped_autoencoder, shipped_unet
from ..diffusion.lora import DECODER_TARGETS, UNET_TARGETS, fingerprint, inject, lora_of, target_names
from ..diffusion.schedule import stable_diffusion_schedule
from ..diffusion.turbo import TurboConfig, mix_noise, predict_clean
from ..diffusion.turbo_weights import TurboWeights, save_turbo
from ..metrics.image import psnr
from ..metrics.perceptual import PerceptualNetwork, perceptual_distance, shipped_perceptual
from ..prior.discriminator import Discriminator, shipped_critic
from ..synthetic.renders import cache_folder
from ..synthetic.splits import UPPER, VALIDATION
from .local import LocalRun, descend, rate_share, sitting, training_parser
from .prior import critic_loss
from .prior_pictures import PictureBatch
from .turbo_data import TurboData, shipped_stage, turbo_data

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

RAW = 128  # pixels of what the critic takes for the raw render
OWN_FIRST = 10_000  # of UPPER: the prior's own identities, which no factory render shares


@dataclass(frozen=True, kw_only=True)
class TurboTraining:
    """Sizes, weights and rates.

    Attributes:
        groups: heads per step. views: novel views of each. piece: side in pixels of what is decoded, but for whole pictures.
        shares: of noise, drawn from these. mixing: whether views see each other. pretraining: share of the run on the prior's own heads.
        rate: of Adam. rank, decoder_rank: of the LoRAs. squared, absolute, perceptual, adversary: weights.
        adversary_from: share of the run. pictures_every: steps between those on whole pictures, which alone the critic judges.
        r1: gradient penalty. r1_every: critic steps between penalties.
    """

    groups: int = 2
    views: int = 2
    piece: int = 128
    shares: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
    mixing: bool = True
    pretraining: float = 0.25
    rate: float = 1e-3
    rank: int = 16
    decoder_rank: int = 4
    squared: float = 4.0
    absolute: float = 1.0
    perceptual: float = 0.2
    adversary: float = 0.01
    adversary_from: float = 0.5
    pictures_every: int = 3
    r1: float = 2.0
    r1_every: int = 8


ABLATIONS: dict[str, Callable[[TurboTraining], TurboTraining]] = {
    "baseline": lambda config: config,
    "no-mixing": lambda config: replace(config, mixing=False),
    "fixed-noise": lambda config: replace(config, shares=(0.1,)),
    "no-discriminator": lambda config: replace(config, adversary=0.0),
    "no-pretraining": lambda config: replace(config, pretraining=0.0),
}


def ablation_path(name: str) -> Path:
    """Where `train turbo --ablation` leaves its refiner."""
    return cache_folder() / "ablations" / f"turbo-{name}.safetensors"


class Refining(nn.Module):
    """Base, factors, skips and critic under one state dict, for the local checkpoint.

    Args:
        base, vae, critic: what they begin with; they are changed. draws: first values of the factors.
    """

    def __init__(
        self,
        config: TurboTraining,
        base: EmbeddedUNet,
        vae: AutoencoderKL,
        critic: Discriminator,
        draws: torch.Generator,
    ) -> None:
        super().__init__()
        self.unet, self.vae, tokens = base.unet, vae, base.prompts.named("empty").tokens
        self.bases = fingerprint(self.unet), fingerprint(self.vae)
        inject(self.unet, target_names(self.unet, UNET_TARGETS), rank=config.rank, generator=draws)
        inject(
            self.vae.decoder,
            target_names(self.vae.decoder, DECODER_TARGETS),
            rank=config.decoder_rank,
            generator=draws,
        )
        self.skips = skips_for(self.vae)
        self.critic = critic.requires_grad_(True)
        self.tokens = nn.Parameter(tokens.clone())

    def denoiser(self) -> DiffusersDenoiser:
        """The UNet with its factors, behind the contract."""
        return DiffusersDenoiser(self.unet, stable_diffusion_schedule())

    def weights(self) -> TurboWeights:
        """A copy of what ships."""
        lora = lora_of(self.vae.decoder).below("decoder.")
        return TurboWeights(lora_of(self.unet), lora, self.skips, self.tokens.detach().clone(), *self.bases)

    def learnt(self) -> list[nn.Parameter]:
        """All that is trained but the critic."""
        return [
            p for name, p in self.named_parameters() if p.requires_grad and not name.startswith("critic.")
        ]


@dataclass(frozen=True)
class Batch:
    """Of B heads with V views: reference [B, 3, S, S]; renders, exact [B, V, 3, S, S] in [0, 1]; label [B * V, 25]."""

    reference: Tensor
    renders: Tensor
    exact: Tensor
    label: Tensor


def draw_batch(data: TurboData, groups: int, views: int, draws: torch.Generator, device) -> Batch:
    """Random heads, and random views of each."""
    heads = torch.randint(len(data), (groups,), generator=draws)
    order = torch.stack([torch.randperm(data.yaw.shape[1], generator=draws)[:views] for _ in range(groups)])
    pick = (heads[:, None], order)
    images = [data.reference[heads], data.renders[pick], data.exact[pick]]
    reference, renders, exact = (x.to(device).float() / 255 for x in images)
    label = label_from_camera(data.cameras()[pick]).flatten(0, 1).to(device)
    return Batch(reference, renders, exact, label)


def refine_piece(
    net: Refining, batch: Batch, r: Tensor, noise: Tensor, mixing: bool, corner: tuple[int, int], side: int
) -> tuple[Tensor, Tensor]:
    """Refined views and their truth, both [B * V, 3, side, side] in [-1, 1], cut out at a corner (latents, from the top left).

    Args:
        r: [B] shares of noise. noise: [B, V, 4, h, w].
    """
    B, V = batch.renders.shape[:2]
    with torch.no_grad():
        z, activations = encode_with_skips(net.vae, torch.cat([batch.renders.flatten(0, 1), batch.reference]))
    novel, reference = z[: B * V].unflatten(0, (B, V)), z[B * V :, None]
    mixture = mix_noise(novel.flatten(0, 1), r.repeat_interleave(V), noise.flatten(0, 1)).unflatten(0, (B, V))
    together = torch.cat([mixture, reference], 1) if mixing else mixture.flatten(0, 1)[:, None]
    prompt = Conditioning(net.tokens)
    clean = predict_clean(net.denoiser(), together, TurboConfig().t, prompt)
    clean = clean[:, :V].flatten(0, 1)
    f = factor(net.vae)

    def cut(x: Tensor, scale: int) -> Tensor:  # scale: pixels of x along one latent
        top, left, length = corner[0] * scale, corner[1] * scale, side // f * scale
        return x[..., top : top + length, left : left + length]

    skips = tuple(cut(x[: B * V], f >> i) for i, x in enumerate(activations))
    signed = decode_signed(net.vae, cut(clean, 1), net.skips(skips))
    return signed, cut(2 * batch.exact.flatten(0, 1) - 1, f)  # from [0, 1] to [-1, 1]


def dual(signed: Tensor) -> tuple[Tensor, Tensor]:
    """What the dual critic takes of pictures [B, 3, S, S] in [-1, 1]: as `image_pair`, with gradient."""
    raw = signed.shape[-1] * RAW // 256
    return signed, F.interpolate(signed, size=(raw, raw), mode="area")


class TurboRun:
    """One training: networks, data, draws, and what a step does at each share of the run."""

    def __init__(
        self,
        net: Refining,
        config: TurboTraining,
        own: TurboData,
        truth: TurboData,
        eyes: PerceptualNetwork,
        device: torch.device,
    ) -> None:
        self.net, self.config, self.own, self.truth, self.eyes, self.device = (
            net,
            config,
            own,
            truth,
            eyes,
            device,
        )
        self.optimiser = torch.optim.AdamW(net.learnt(), lr=config.rate, betas=(0.9, 0.99), weight_decay=1e-4)
        self.critic_optimiser = torch.optim.Adam(net.critic.parameters(), lr=1e-3, betas=(0.0, 0.99))
        self.draws = torch.Generator().manual_seed(4)
        self.step_count = 0
        self.pictures = 0

    def step(self, progress: float) -> dict[str, float]:
        """One step; the losses."""
        config, draws = self.config, self.draws
        data = self.own if progress < config.pretraining else self.truth
        batch = draw_batch(data, config.groups, config.views, draws, self.device)
        B, V, _, S, _ = batch.renders.shape
        r = torch.tensor(config.shares)[torch.randint(len(config.shares), (B,), generator=draws)].to(
            self.device
        )
        latents = S // factor(self.net.vae)
        noise = torch.randn(B, V, 4, latents, latents, generator=draws).to(self.device)
        whole = self.step_count % config.pictures_every == 0
        side = S if whole else config.piece
        room = (S - side) // factor(self.net.vae) + 1
        corner = tuple(torch.randint(room, (2,), generator=draws).tolist())
        with torch.autocast(self.device.type, torch.bfloat16):
            output, truth = refine_piece(self.net, batch, r, noise, config.mixing, corner, side)
        output = output.float()
        error = (output - truth) / 2
        distance = perceptual_distance(self.eyes, (output + 1) / 2, (truth + 1) / 2).mean()
        terms = {"squared": error.square().mean(), "absolute": error.abs().mean(), "perceptual": distance}
        loss = (
            config.squared * terms["squared"]
            + config.absolute * terms["absolute"]
            + config.perceptual * terms["perceptual"]
        )
        heard = whole and config.adversary > 0
        if heard and progress > config.adversary_from:
            terms["adversary"] = F.softplus(-self.net.critic(*dual(output), batch.label)).mean()
            loss = loss + config.adversary * terms["adversary"]
        descend(loss, self.optimiser, config.rate * rate_share(self.step_count, progress, least=0.03))
        if heard:
            terms["critic"] = self.critic_step(output, truth, batch.label)
        self.step_count += 1
        return {key: value.item() for key, value in terms.items()}

    def critic_step(self, output: Tensor, truth: Tensor, label: Tensor) -> Tensor:
        """One step of the critic on refined and exact pictures [B, 3, S, S] in [-1, 1], labels [B, 25]."""
        config = self.config
        penalty = config.r1 * config.r1_every if self.pictures % config.r1_every == 0 else 0.0
        fake, real = (PictureBatch(*dual(x.detach()), label) for x in (output, truth))
        loss = critic_loss(self.net.critic, fake, real, penalty)
        self.critic_optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.critic_optimiser.step()
        self.pictures += 1
        return loss


@torch.no_grad()
def validate(
    net: Refining, data: TurboData, config: TurboTraining, eyes: PerceptualNetwork, device
) -> dict[str, float]:
    """On validation heads, r = 0.1: PSNR in dB and our perceptual distance of the renders, and of the refined views."""
    draws = torch.Generator().manual_seed(0)
    figures = []
    for i in range(len(data)):
        one = TurboData(
            *(x[i : i + 1] for x in (data.reference, data.renders, data.exact, data.yaw, data.pitch))
        )
        batch = draw_batch(one, 1, one.yaw.shape[1], draws, device)
        S = batch.exact.shape[-1]
        noise = torch.randn(*batch.renders.shape[:2], 4, S // 8, S // 8, generator=draws).to(device)
        signed, _ = refine_piece(
            net, batch, torch.full((1,), 0.1, device=device), noise, config.mixing, (0, 0), S
        )
        output, exact = (signed.clamp(-1, 1) + 1) / 2, batch.exact[0]
        row = []
        for image in (batch.renders[0], output):
            row += [psnr(image, exact), perceptual_distance(eyes, image, exact).mean().item()]
        figures.append(row)
    mean = torch.tensor(figures).mean(0).tolist()
    return dict(
        zip(("renders_psnr_db", "renders_distance", "refined_psnr_db", "refined_distance"), mean, strict=True)
    )


def run(arguments: list[str]) -> None:
    """Train for `--minutes`, write the weights that ship, print the held-out figures."""
    parser = training_parser("turbo", __doc__, minutes=60, heads=600)
    parser.add_argument("--own", type=int, default=300, help="of the prior's own identities to begin with")
    parser.add_argument(
        "--ablation", choices=ABLATIONS, help="leave something out; the result is cached and does not ship"
    )
    options, device = sitting(parser, arguments)
    config = ABLATIONS[options.ablation or "baseline"](TurboTraining())
    stage = shipped_stage(device)
    own = turbo_data(stage, UPPER[OWN_FIRST:][: options.own], own=True)
    truth = turbo_data(stage, UPPER[: options.heads])
    held_out = turbo_data(stage, VALIDATION[:25])
    net = Refining(
        config, shipped_unet(), shipped_autoencoder(), shipped_critic(), torch.Generator().manual_seed(4)
    ).to(device)
    eyes = shipped_perceptual().to(device)
    state = TurboRun(net, config, own, truth, eyes, device)
    path = ablation_path(options.ablation) if options.ablation else shipped("turbo")
    local = LocalRun(path.stem, net, state.optimiser, options.minutes, {})
    state.step_count = local.resume()
    local.run(
        lambda index, progress: state.step(progress),
        options,
        lambda: validate(net, held_out, config, eyes, device),
        lambda **facts: save_turbo(path, net.weights(), **facts),
        digits=4,
    )
