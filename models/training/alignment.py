"""`train alignment`: snapshots of the factory's heads -> foreground mask, landmarks, presence of a face; of factory 3 surfaces, too."""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from functools import partial

import torch

from ..checkpoint import shipped, write
from ..devices import channels_last
from ..photo.network import AlignmentConfig, AlignmentNetwork
from ..synthetic.factories import chosen_factory
from ..synthetic.renders import cached_renders
from ..synthetic.splits import PRIOR, VALIDATION
from .alignment_losses import loss_of
from .alignment_people import compare, people_options, train_people
from .local import LocalRun, descend, initial_weights, rate_share, sitting, training_parser
from .scenes import Scenes, Stage, draw_scenes, set_stage

BATCH = 32
RATE = 2e-3
NEAR_FRONT = math.radians(45)


@torch.no_grad()
def validate(network: AlignmentNetwork, stage: Stage, device) -> dict[str, float]:
    """On snapshots of validation heads: landmarks' error in % of the pupils' distance, mask overlap, share of right presences."""
    generator = torch.Generator().manual_seed(2)
    front = replace(stage, faces=(stage.renders.yaw.abs() <= NEAR_FRONT).nonzero())
    errors, overlaps, right = [], [], []
    for _ in range(8):
        scenes = draw_scenes(front, BATCH, generator)
        finding = network(scenes.image.to(device))
        places, _ = finding.landmarks()
        away = (places.cpu() - scenes.places).norm(dim=-1) / scenes.pupils[:, None]
        errors.append(away[scenes.visible])
        estimate, truth = finding.mask.cpu() > 0, scenes.mask > 0.5
        some = truth.flatten(1).any(1)
        overlaps.append(
            (estimate & truth).flatten(1).sum(1)[some] / (estimate | truth).flatten(1).sum(1)[some]
        )
        right.append(((finding.presence.cpu() > 0) == (scenes.face > 0)).float())
    return {
        "landmark_error_percent": 100 * torch.cat(errors).mean().item(),
        "landmark_error_median_percent": 100 * torch.cat(errors).median().item(),
        "mask_iou": torch.cat(overlaps).mean().item(),
        "presence_accuracy": torch.cat(right).mean().item(),
    }


def run(arguments: list[str]) -> None:
    """Train for `--minutes`, write the weights that ship, print the held-out figures; of factory 3 as `train_people` does."""
    parser = training_parser("alignment", __doc__, minutes=20, heads=800)
    people_options(parser)
    options, device = sitting(parser, arguments)
    if options.validate:
        compare(options, device)
    elif chosen_factory(options.factory).number == 3:
        train_people(options, device)
    else:
        _train_heads(options, device)


def _train_heads(options: argparse.Namespace, device: torch.device) -> None:
    """On factory 2."""
    config = AlignmentConfig()
    stage = set_stage(cached_renders(PRIOR[: options.heads], size=config.size), 400, seed=1)
    held_out = set_stage(cached_renders(VALIDATION[:25], size=config.size), 60, seed=90_000)
    with initial_weights(1):
        network = channels_last(AlignmentNetwork(config).to(device))
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=1e-4)
    local = LocalRun("alignment", network, optimiser, options.minutes)
    draws = local.draws(1)

    def step(index: int, progress: float) -> dict[str, float]:
        scenes = draw_scenes(stage, BATCH, draws)
        scenes = Scenes(**{name: value.to(device) for name, value in vars(scenes).items()})
        with torch.autocast(device.type, torch.bfloat16):
            finding = network(scenes.image.contiguous(memory_format=torch.channels_last))
        loss = loss_of(finding, scenes)
        descend(loss, optimiser, RATE * rate_share(index, progress, least=0.01))
        return {"loss": loss.item()}

    ship = partial(write, shipped("alignment"), "alignment", config, network)
    local.run(step, options, lambda: validate(network, held_out, device), ship)
