"""`train identity`: the network of the identity similarity, on heads of the factory in several looks each.

Each look of a head has a view, an expression, light, clothing and, half the time, glasses of its own. Heads come in pairs of siblings,
who share skin and hair, so that a face has to be told from a face and not by its colours alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ..camera import Camera, orbit
from ..checkpoint import shipped, write
from ..metrics.identity import CROP_SIDE, CROP_SIZE, CROP_TOP, IdentityConfig, IdentityNetwork
from ..synthetic.head import PARAMETER_NAMES, sample_parameters
from ..synthetic.rendering import render_head
from ..synthetic.renders import FACTORY_VERSION, cache_folder, cached_shards
from ..synthetic.splits import UPPER, VALIDATION
from .degradations import KINDS, degrade, draw_chance
from .local import LocalRun, descend, initial_weights, rate_share, sitting, training_parser

PAIRS = 16  # of siblings in a batch
LOOKS = 3  # of each head in it
RATE = 1.5e-3
TEMPERATURE = 0.1
KEPT = 6  # looks of each head in the cache
SHARD = 10  # heads of a file
YAW, PITCH = math.radians(75), math.radians(20)


def _between(first: str, last: str) -> list[int]:
    """Indices of the parameters from one name to another, both included."""
    return list(range(PARAMETER_NAMES.index(first), PARAMETER_NAMES.index(last) + 1))


COLOURS = _between("skin_darkness", "eye_colour") + _between(
    "hair_style", "hair_parting"
)  # what siblings share
LOOK = _between("clothing_style", "clothing_pattern") + _between(
    "smile", "light_warmth"
)  # what is no part of a person
GLASSES = _between("glasses", "glasses_colour")


@dataclass(frozen=True)
class Looks:
    """Crops uint8 [N, KEPT, 3, 128, 128] of N heads; 2 j and 2 j + 1 are siblings."""

    crops: Tensor

    def draw(self, heads: Tensor, looks: Tensor) -> Tensor:
        """[B, 3, 128, 128] in [0, 1]."""
        return self.crops[heads, looks].float() / 255


def person(seed: int) -> Tensor:
    """Parameters [P] of the head of a seed; an odd one has the skin and the hair of the seed before."""
    parameters = sample_parameters(seed)
    if seed % 2:
        parameters[COLOURS] = sample_parameters(seed - 1)[COLOURS]
    return parameters


def crop_camera(yaw: Tensor, pitch: Tensor) -> Camera:
    """Canonical cameras [V] that see `metrics.identity.head_crop` of their frame only."""
    whole = orbit(yaw, pitch)
    zoom = torch.tensor(
        [[1 / CROP_SIDE, 0, 0.5 - 0.5 / CROP_SIDE], [0, 1 / CROP_SIDE, -CROP_TOP / CROP_SIDE], [0, 0, 1]]
    )
    return Camera(whole.cam2world, zoom.to(whole.intrinsics) @ whole.intrinsics)


def render_looks(seed: int) -> Tensor:
    """KEPT looks of one head, the first from the front: uint8 [KEPT, 3, 128, 128]."""
    generator = torch.Generator().manual_seed(seed)
    crops = []
    for look in range(KEPT):
        parameters = person(seed)
        draws = torch.rand(len(PARAMETER_NAMES), generator=generator) * 2 - 1
        variable = LOOK + GLASSES * bool(torch.rand((), generator=generator) < 0.5)
        parameters[variable] = draws[variable]
        turn = (torch.rand(2, 1, generator=generator) * 2 - 1) * (look > 0)
        crops.append(render_head(parameters, crop_camera(turn[0] * YAW, turn[1] * PITCH), CROP_SIZE).rgb[0])
    return (torch.stack(crops) * 255).round().to(torch.uint8)


def cached_looks(seeds: range) -> Looks:
    """Looks of the seeds, a whole number of shards, read from the cache, or made and put there; prints progress."""
    folder = cache_folder() / f"factory-{FACTORY_VERSION}" / f"looks-{CROP_SIZE}x{KEPT}"
    shards = cached_shards(
        folder, seeds, SHARD, lambda some: {"crops": torch.stack([render_looks(seed) for seed in some])}
    )
    return Looks(shards["crops"][: len(seeds)])


def contrastive_loss(embeddings: Tensor) -> Tensor:
    """Supervised contrastive loss (Khosla et al. 2020, eq. 2): a look's other looks against those of all other heads.

    Args:
        embeddings: [P, L, D] unit vectors of P heads in L >= 2 looks.
    """
    P, L, _ = embeddings.shape
    flat = embeddings.flatten(0, 1)
    itself = torch.eye(P * L, dtype=torch.bool, device=flat.device)
    logits = (flat @ flat.mT / TEMPERATURE).masked_fill(itself, -math.inf).log_softmax(1)
    head = torch.arange(P * L, device=flat.device) // L
    same = (head[:, None] == head) & ~itself
    return -(logits.masked_fill(~same, 0).sum(1) / (L - 1)).mean()


def draw_batch(looks: Looks, generator: torch.Generator) -> Tensor:
    """Siblings in several looks, most of them damaged: [2 PAIRS, LOOKS, 3, 128, 128]."""
    pairs = torch.randperm(len(looks.crops) // 2, generator=generator)[:PAIRS]
    heads = torch.stack([2 * pairs, 2 * pairs + 1], 1).flatten()
    look_index = torch.rand(len(heads), KEPT, generator=generator).argsort(1)[:, :LOOKS]
    crops = looks.draw(heads[:, None].expand_as(look_index).flatten(), look_index.flatten())
    kind = torch.randint(len(KINDS), (len(crops),), generator=generator)
    strength = torch.rand(len(crops), generator=generator) * 0.6
    copies = degrade(crops, kind, strength, draw_chance(crops, generator))
    clean = torch.rand(len(crops), 1, 1, 1, generator=generator) < 0.25
    return torch.where(clean, crops, copies).unflatten(0, look_index.shape)


def area_under_curve(same: Tensor, other: Tensor) -> float:
    """Chance that a score of `same` [N] is above one of `other` [M], ties counting half: the area under the ROC curve."""
    ladder = other.sort().values
    places = same.contiguous()
    below = torch.searchsorted(ladder, places) + torch.searchsorted(ladder, places, right=True)
    return (below.double() / 2).mean().item() / len(other)


@torch.no_grad()
def pair_scores(network: IdentityNetwork, looks: Looks, device) -> tuple[Tensor, Tensor, Tensor]:
    """Similarities [pairs] of all looks: of one head, of siblings, of heads that share nothing."""
    N = len(looks.crops)
    embeddings = torch.cat([network(crops.to(device).float() / 255).float().cpu() for crops in looks.crops])
    scores = embeddings @ embeddings.mT
    head = torch.arange(N * KEPT) // KEPT
    upper = torch.ones_like(scores, dtype=torch.bool).triu(1)
    same, family = head[:, None] == head, head[:, None] // 2 == head // 2
    return scores[upper & same], scores[upper & family & ~same], scores[upper & ~family]


def validate(network: IdentityNetwork, held_out: Looks, device) -> dict[str, float]:
    """On pairs of looks of half of the heads: areas under the curve, and the share told rightly at the threshold of the other half."""
    half = len(held_out.crops) // 4 * 2  # siblings stay together
    calibration, held_out = Looks(held_out.crops[:half]), Looks(held_out.crops[half:])
    same, siblings, strangers = pair_scores(network, held_out, device)
    same_calibration, _, strangers_calibration = pair_scores(network, calibration, device)
    thresholds = torch.linspace(-1, 1, 401)[:, None]
    accuracies = (
        (same_calibration >= thresholds).float().mean(1)
        + (strangers_calibration < thresholds).float().mean(1)
    ) / 2
    threshold = thresholds[accuracies.argmax(), 0].item()
    return {
        "auc": area_under_curve(same, strangers),
        "auc_siblings": area_under_curve(same, siblings),
        "accuracy": (
            (same >= threshold).float().mean().item() + (strangers < threshold).float().mean().item()
        )
        / 2,
        "threshold": threshold,
        "mean_same": same.mean().item(),
        "mean_strangers": strangers.mean().item(),
    }


def run(arguments: list[str]) -> None:
    """Train for `--minutes`, write the weights that ship, print the held-out figures.

    Raises:
        ValueError: fewer than 4 heads, or than 8 held-out ones.
    """
    parser = training_parser("identity", __doc__, minutes=30, heads=600)
    parser.add_argument("--held-out", type=int, default=60, help="validation heads")
    options, device = sitting(parser, arguments)
    if options.heads < 4 or options.held_out < 8:
        raise ValueError(
            f"train identity: expected 4 heads or more and 8 held-out ones, got {options.heads} and {options.held_out}; raise --heads"
        )
    truth, held_out = (
        cached_looks(seeds) for seeds in (UPPER[: options.heads], VALIDATION[: options.held_out])
    )
    with initial_weights(4):
        network = IdentityNetwork(IdentityConfig()).to(device)
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=0.03)
    local = LocalRun("identity", network, optimiser, options.minutes)
    draws = local.draws(4)

    def step(index: int, progress: float) -> dict[str, float]:
        batch = draw_batch(truth, draws).to(device)
        with torch.autocast(device.type, torch.bfloat16):
            embeddings = network(batch.flatten(0, 1))
        loss = contrastive_loss(
            torch.nn.functional.normalize(embeddings.float(), dim=1).unflatten(0, batch.shape[:2])
        )
        descend(loss, optimiser, RATE * rate_share(index, progress))
        return {"loss": loss.item()}

    local.train(step, options)
    local.conclude(
        options,
        validate(network, held_out, device),
        partial(write, shipped("identity"), "identity", network.config, network),
    )
