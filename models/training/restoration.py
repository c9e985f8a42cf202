"""`train restoration`: the Detail Preservation Block over many heads, the sum over D of Portrait Diffusion's eq. 3.

The factory knows what a head looks like from behind, so that its exact views stand where the paper asks two denoisers: heads of the prior,
spoilt at random or not at all, are rendered behind the block and compared on rays of those views. The generator is frozen.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ..camera import frontal
from ..checkpoint import shipped, write
from ..fitting.feed_forward import feed_forward_head
from ..photo.alignment import uncropped
from ..prior.contract import HeadGenerator, styles
from ..prior.detail_block import DetailBlock, new_block
from ..synthetic.codes import identity_codes
from ..synthetic.renders import Renders, cached_renders
from ..synthetic.splits import UPPER, VALIDATION
from .local import LocalRun, descend, rate_share, sitting, training_parser
from .prior_rays import GuidedSampling, draw_rays, guided_samples, ray_losses, render_guided
from .spoilt import AMOUNTS, LEARNT, Fault, spoilt_planes
from .turbo_data import Stage, shipped_stage

BATCH = 2
VIEWS, RAYS = 3, 320  # of a head in a step; rays of each view
RATE = 2e-3
WHOLE = 0.3  # share of heads that are not spoilt
KEEP = 0.05  # weight of what the block changes, squared; of heads that are whole, ten times that
RANGES = {"doubled": (1.0, 1.0), "flattened": (0.35, 0.8), "dented": (0.02, 0.08)}
SAMPLING = GuidedSampling(band=0.06, limb=0.14)  # a spoilt head's surface lies away from the exact one


@dataclass(frozen=True)
class PlaneData:
    """Heads of the prior. Attributes: planes: float16 [N, 3, C, (D,) R, R]. truth: their exact views."""

    planes: Tensor
    truth: Renders


@torch.no_grad()
def plane_data(stage: Stage, truth: Renders) -> PlaneData:
    """Every other head as the prior makes it of its exact code, the others as the encoder sees them in their front."""
    device = next(stage.prior.parameters()).device
    planes = []
    codes = identity_codes(truth.parameters)
    for i in range(len(codes)):
        if i % 2:
            rgb, mask = truth.rgb[i, 0].to(device).float() / 255, truth.mask[i, :1].to(device).float()
            head_planes = feed_forward_head(
                stage.prior, stage.encoder, uncropped(rgb, mask, frontal().to(device))
            ).planes
        else:
            head_planes = stage.prior.planes(styles(stage.prior, codes[i : i + 1].to(device)))
        planes.append(head_planes[0].half().cpu())
    return PlaneData(torch.stack(planes), truth)


def drawn_fault(draws: torch.Generator) -> Fault | None:
    """Any of those that are learnt, at any strength, or none."""
    chance, where = torch.rand(2, generator=draws).tolist()
    if chance < WHOLE:
        return None
    kind = LEARNT[int(torch.randint(len(LEARNT), (1,), generator=draws))]
    low, high = RANGES[kind]
    return Fault(kind, low + (high - low) * where)


def losses(
    block: DetailBlock,
    prior: HeadGenerator,
    data: PlaneData,
    heads: Tensor,
    faults: list[Fault | None],
    draws: torch.Generator,
) -> dict[str, Tensor]:
    """How heads look behind the block, with such faults, on rays of their exact views: losses, each [].

    Args:
        heads: [B] indices. faults: B of them.
    """
    device = next(block.parameters()).device
    whole = data.planes[heads].to(device).float()
    spoilt = [
        one[None] if fault is None else spoilt_planes(one[None], prior.config.field, fault)
        for one, fault in zip(whole, faults, strict=True)
    ]
    before = torch.cat(spoilt)
    with torch.autocast(device.type, torch.bfloat16):
        planes = block(before).float()
    batch = draw_rays(data.truth, heads, VIEWS, RAYS, draws, device)
    t = guided_samples(batch, SAMPLING, prior.config.field.box_side, draws)
    terms = ray_losses(
        render_guided(prior.field(planes), batch, t), batch, torch.rand(3, generator=draws).to(planes)
    )
    weight = planes.new_tensor([10.0 if fault is None else 1.0 for fault in faults])
    return terms | {"change": ((planes - before).square().flatten(1).mean(1) * weight).mean()}


def total(terms: dict[str, Tensor]) -> Tensor:
    """Their weighted sum [], of losses []."""
    return terms["colour"] + 0.1 * terms["opacity"] + terms["distance"] + KEEP * terms["change"]


def middle_fault(kind: str) -> Fault:
    """A fault of the middle of what is trained on; of a kind that is not, the amount that benches use."""
    low, high = RANGES.get(kind) or (AMOUNTS[kind],) * 2
    return Fault(kind, (low + high) / 2)


@torch.no_grad()
def validate(block: DetailBlock, prior: HeadGenerator, data: PlaneData) -> dict[str, float]:
    """On validation heads, the same draws every time: each fault's loss behind the block over its loss without."""
    figures = {}
    nothing = new_block(prior.config.field).to(next(block.parameters()).device)
    for kind in (None, *LEARNT, "slipped"):
        sums = []
        for one in (block, nothing):
            draws = torch.Generator().manual_seed(0)
            parts = []
            for heads in torch.arange(len(data.planes)).split(BATCH):
                faults = [None if kind is None else middle_fault(kind)] * len(heads)
                terms = losses(one, prior, data, heads, faults, draws)
                parts.append(terms["colour"] + 0.1 * terms["opacity"] + terms["distance"])
            sums.append(torch.stack(parts).mean().item())
        figures[f"{kind or 'whole'}_share"] = sums[0] / sums[1]
    return figures


def run(arguments: list[str]) -> None:
    """Train for `--minutes`, write the weights that ship, print the held-out figures."""
    parser = training_parser("restoration", __doc__, minutes=40, heads=600)
    options, device = sitting(parser, arguments)
    stage = shipped_stage(device)
    data, held_out = (
        plane_data(stage, cached_renders(seeds)) for seeds in (UPPER[: options.heads], VALIDATION[:12])
    )
    prior = stage.prior.requires_grad_(False)
    block = new_block(prior.config.field, seed=7).to(device)
    roles = [(p, name.startswith(("downs", "wide", "ups"))) for name, p in block.named_parameters()]
    groups = [
        {"params": [p for p, wide in roles if not wide]},
        {"params": [p for p, wide in roles if wide], "scale": 0.3},  # they add up more numbers
    ]
    optimiser = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.99), weight_decay=1e-4)
    local = LocalRun("restoration", block, optimiser, options.minutes, {})
    draws = local.draws(7)

    def step(index: int, progress: float) -> dict[str, float]:
        heads = torch.randint(len(data.planes), (BATCH,), generator=draws)
        terms = losses(block, prior, data, heads, [drawn_fault(draws) for _ in heads], draws)
        descend(total(terms), optimiser, RATE * rate_share(index, progress, warm_up=100, least=0.03))
        return {key: value.item() for key, value in terms.items()}

    ship = partial(write, shipped("restoration"), "restoration", block.config, block)
    local.run(step, options, lambda: validate(block, prior, held_out), ship)
