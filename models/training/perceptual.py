"""`train perceptual`: the network of the perceptual distance, on the factory's renders and damaged copies of them.

First its features, which learn to tell what was done to a picture, how badly, and who is in it; then, with the features kept, how much
each channel counts, so that distances rank damage as people do: more is further than less, a little blur further than a
little shift, another person furthest; at last both, in turns (the ways "lin" and "tune" of Zhang et al. 2018, section 4).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..checkpoint import read, shipped, write
from ..metrics.image import psnr, ssim
from ..metrics.perceptual import PerceptualConfig, PerceptualNetwork, feature_distance, perceptual_distance
from ..synthetic.codes import CODE_DIM, identity_codes
from ..synthetic.renders import Renders, cached_renders
from ..synthetic.splits import UPPER, VALIDATION
from .degradations import GENTLE, HARSH, KINDS, degrade, draw_chance, draw_pictures
from .local import LocalRun, descend, initial_weights, rate_share, sitting, training_parser

BATCH = 24
SIZE = 128
RATE = 1.5e-3
WEIGHTS_FROM, BOTH_FROM = 0.5, 0.6  # shares of the run
FAMILIES = ("graded", "gentle or harsh", "another head")


class Tasks(nn.Module):
    """What the features are asked while they learn: the damage's kind and strength, and the head's identity code."""

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.damage = nn.Sequential(
            nn.Linear(2 * sum(channels), 128), nn.SiLU(), nn.Linear(128, len(KINDS) + 2)
        )
        self.code = nn.Linear(16 * channels[-1], CODE_DIM - 1)

    def forward(self, features: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Features of B pictures -> kind [B, len(KINDS) + 1], the last for none; strength [B]; code [B, CODE_DIM - 1]."""
        moments = torch.cat([f(x, (2, 3)) for x in features for f in (torch.mean, torch.std)], 1)
        kind, strength = self.damage(moments).split([len(KINDS) + 1, 1], 1)
        return kind, strength[:, 0], self.code(F.adaptive_avg_pool2d(features[-1], 4).flatten(1))


class Learner(nn.Module):
    """The network, and the tasks that are thrown away after training."""

    def __init__(self) -> None:
        super().__init__()
        self.network = PerceptualNetwork(PerceptualConfig())
        self.tasks = Tasks(self.network.config.channels)


@dataclass(frozen=True)
class Triplets:
    """Pictures [B, 3, S, S] of which `near` should be nearer to `reference` than `far`; family [B], index into FAMILIES."""

    reference: Tensor
    near: Tensor
    far: Tensor
    family: Tensor


def _uniform(B: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return torch.rand(B, generator=generator) * (high - low) + low


def _choose(B: int, names: tuple[str, ...], generator: torch.Generator) -> Tensor:
    """[B] indices into KINDS, of the given names."""
    return torch.tensor([KINDS.index(name) for name in names])[
        torch.randint(len(names), (B,), generator=generator)
    ]


def draw_triplets(renders: Renders, count: int, generator: torch.Generator) -> Triplets:
    """Damage in two strengths; a little gentle damage before much harsh damage; any mild damage before another head."""
    family = torch.arange(count) % len(FAMILIES)
    heads, others = (torch.randint(len(renders.rgb), (count,), generator=generator) for _ in range(2))
    others = torch.where(others == heads, (others + 1) % len(renders.rgb), others)
    views = torch.randint(renders.rgb.shape[1], (count,), generator=generator)
    views = torch.where(family == 2, 0, views)  # the front, which all heads share
    whole = (torch.rand(count, generator=generator) < 0.5) | (family == 2)
    reference = draw_pictures(renders, heads, views, SIZE, whole, generator)
    either, gentle, harsh = (_choose(count, names, generator) for names in (KINDS, GENTLE, HARSH))
    low = _uniform(count, 0, 0.7, generator)
    high = low + 0.15 + _uniform(count, 0, 1, generator) * (0.85 - low)
    little, much, mild = (_uniform(count, a, b, generator) for a, b in ((0, 0.5), (0.25, 1), (0, 0.6)))
    near = degrade(
        reference,
        torch.where(family == 1, gentle, either),
        torch.where(family == 0, low, torch.where(family == 1, little, mild)),
        draw_chance(reference, generator),
    )
    strong = torch.where(family == 1, much, high)
    chance = draw_chance(reference, generator)
    far = degrade(reference, torch.where(family == 1, harsh, either), strong, chance)
    other = draw_pictures(renders, others, views, SIZE, whole, generator)
    return Triplets(reference, near, torch.where((family == 2)[:, None, None, None], other, far), family)


def feature_loss(learner: Learner, renders: Renders, codes: Tensor, draws: torch.Generator, device) -> Tensor:
    """Loss [] of kind, strength and code, of one damaged batch.

    Args:
        codes: [N, CODE_DIM - 1]; asked of whole pictures only.
    """
    heads = torch.randint(len(codes), (BATCH,), generator=draws)
    views = torch.randint(renders.rgb.shape[1], (BATCH,), generator=draws)
    whole = torch.rand(BATCH, generator=draws) < 0.5
    image = draw_pictures(renders, heads, views, SIZE, whole, draws)
    kind = torch.randint(len(KINDS) + 1, (BATCH,), generator=draws)
    strength = _uniform(BATCH, 0, 1, draws)
    degradation = degrade(image, kind.clamp_max(len(KINDS) - 1), strength, draw_chance(image, draws))
    none = kind == len(KINDS)
    image = torch.where(none[:, None, None, None], image, degradation).to(device)
    with torch.autocast(device.type, torch.bfloat16):
        features = learner.network(image)
    kinds, strengths, code = learner.tasks([x.float() for x in features])
    strength_error = ((strengths - strength.to(device)).square() * (~none).to(device)).mean()
    code_error = ((code - codes[heads].to(device)).square().mean(1) * whole.to(device)).mean()
    return F.cross_entropy(kinds, kind.to(device)) + 4 * strength_error + code_error


def ranking_loss(network: PerceptualNetwork, triplets: Triplets, device, *, features: bool) -> Tensor:
    """Loss [], logistic in the logarithm of far over near.

    Args:
        features: whether they learn, too, not the channels' weights alone.
    """
    with torch.set_grad_enabled(features), torch.autocast(device.type, torch.bfloat16):
        pictures = torch.cat([triplets.reference, triplets.near, triplets.far]).to(device)
        levels = [x.float().chunk(3) for x in network(pictures)]
    reference, near, far = ([level[i] for level in levels] for i in range(3))
    distances = [(feature_distance(reference, x, network.weights()) + 1e-6).log() for x in (near, far)]
    return F.softplus(6 * (distances[0] - distances[1]) + 1).mean()


@torch.no_grad()
def set_unit(network: PerceptualNetwork, renders: Renders, device) -> None:
    """Scale the weights so that two different heads in front are 1 apart on average."""
    front = F.interpolate(
        renders.rgb[:64, 0].float() / 255, size=(SIZE, SIZE), mode="bilinear", antialias=True
    ).to(device)
    mean = perceptual_distance(network, front, front.roll(1, 0)).mean()
    for value in network.log_weights:
        value -= mean.log()


@torch.no_grad()
def validate(network: PerceptualNetwork, renders: Renders, device, count: int = 96) -> dict[str, float]:
    """Share of validation heads' triplets that are ranked rightly, by family, by ours, by PSNR and by SSIM."""
    generator = torch.Generator().manual_seed(2)
    right: dict[str, list[Tensor]] = {"ours": [], "psnr": [], "ssim": []}
    families = []
    for _ in range(max(1, count // 24)):
        triplets = draw_triplets(renders, 24, generator)
        near, far = (
            perceptual_distance(network, triplets.reference.to(device), x.to(device)).cpu()
            for x in (triplets.near, triplets.far)
        )
        right["ours"].append(near < far)
        for name, measure in (("psnr", psnr), ("ssim", ssim)):
            pairs = zip(
                triplets.reference.split(1), triplets.near.split(1), triplets.far.split(1), strict=True
            )
            right[name].append(torch.tensor([measure(a, b) > measure(a, c) for a, b, c in pairs]))
        families.append(triplets.family)
    family = torch.cat(families)
    shares = {}
    for name, values in right.items():
        correct = torch.cat(values).float()
        shares[f"{name}_all"] = correct.mean().item()
        shares |= {
            f"{name}_{title.replace(' ', '_')}": correct[family == i].mean().item()
            for i, title in enumerate(FAMILIES)
        }
    return shares


def _from_shipped(network: PerceptualNetwork) -> None:
    """Go on from the network that ships where it fits; the tasks start anew."""
    if shipped("perceptual").is_file():
        state = read(shipped("perceptual"), "perceptual")[1]
        if {k: v.shape for k, v in state.items()} == {k: v.shape for k, v in network.state_dict().items()}:
            network.load_state_dict(state)


def run(arguments: list[str]) -> None:
    """Train for `--minutes`, write the weights that ship, print the held-out figures."""
    parser = training_parser("perceptual", __doc__, minutes=30, heads=600)
    parser.add_argument("--held-out", type=int, default=50, help="validation heads")
    options, device = sitting(parser, arguments)
    truth, held_out = (
        cached_renders(seeds) for seeds in (UPPER[: options.heads], VALIDATION[: options.held_out])
    )
    codes = identity_codes(truth.parameters)[:, :-1]
    with initial_weights(3):
        learner = Learner().to(device)
    network = learner.network
    counts = list(network.log_weights)
    others = [p for p in learner.parameters() if all(p is not count for count in counts)]
    groups = [
        {"params": counts, "scale": 10},
        {"params": others},
    ]  # how much channels count: few numbers, far from where they start
    optimiser = torch.optim.AdamW(groups, lr=RATE, weight_decay=0.01)
    local = LocalRun("perceptual", learner, optimiser, options.minutes)
    if local.resume() == 0:
        _from_shipped(network)
    draws = torch.Generator().manual_seed(3 + local.step)  # a sitting that goes on sees other draws

    def step(index: int, progress: float) -> dict[str, float]:
        if progress < WEIGHTS_FROM or (progress >= BOTH_FROM and index % 2):
            loss = feature_loss(learner, truth, codes, draws, device)
        else:
            loss = ranking_loss(
                network, draw_triplets(truth, BATCH, draws), device, features=progress >= BOTH_FROM
            )
        least = WEIGHTS_FROM if progress >= WEIGHTS_FROM else 0.0
        ends = 1.0 if least else WEIGHTS_FROM
        descend(loss, optimiser, RATE * rate_share(index, (progress - least) / (ends - least)))
        return {"loss": loss.item()}

    local.train(step, options)
    set_unit(network, truth, device)
    local.save(local.step)
    figures = validate(network, held_out, device, 480)  # shares of triplets that are ranked rightly
    local.conclude(
        options, figures, partial(write, shipped("perceptual"), "perceptual", network.config, network)
    )
