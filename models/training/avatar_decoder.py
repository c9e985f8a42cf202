"""`train avatar-decoder`: the decoder that all avatars share and their mean planes (RodinHD, section 3.1, algorithm 1)."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor

from ..avatar.fitting import FitConfig, fit, new_decoder
from ..avatar.new_head import FIELD
from ..avatar.planes import mirrored
from ..avatar.replay import Replay, ReplayConfig
from ..avatar.shared_decoder import KIND, SharedDecoder, SharedDecoderConfig, shared_decoder
from ..avatar.views import Views
from ..checkpoint import read_tensors, save_tensors, shipped, write
from ..head import Head
from ..metrics.image import psnr
from ..synthetic.factories import Factory, chosen_factory
from ..synthetic.renders import cache_folder
from ..synthetic.splits import UPPER, VALIDATION
from .avatar_views import head_views

SEED = 23
RESOLUTION = 128  # of planes: the upsampler's
FIT = FitConfig(rays=4096, samples=16, grid=64)
STAGE_2 = replace(FIT, steps=40)  # of each head that the cascade learns from
SPREAD = 3.0  # standard deviations of planes from their mean that diffusion's -1 .. 1 holds
HELD_OUT = 3  # validation heads


def judged(head: Head, views: Views) -> float:
    """PSNR of a head's pictures at views, dB, whole pictures on white."""
    size = views.mask.shape[-1]
    picture = head.render(views.cameras, size, normals=False).rgb.clamp(0, 1)
    return psnr(picture, views.on_white())


def fitted(shared: SharedDecoder, views: Views, seed: int) -> Head:
    """A head of a seed's views by stage 2, from the mean planes."""
    field, draws = shared.config.field, torch.Generator().manual_seed(seed)
    return fit(views, field, shared.decoder, STAGE_2, generator=draws, start=shared.mean)


def shared_of(run: Replay) -> SharedDecoder:
    """What all share, of a replay as it stands: the mean of all heads and their mirror images, with room for how far they are from it."""
    mean = run.mean()
    mean = (mean + mirrored(mean)) / 2
    spread = torch.stack([(head.planes - mean).square().mean() for head in run.heads()]).mean().sqrt().item()
    shared = SharedDecoder(
        SharedDecoderConfig(field=run.runs[0].field, scale=1 / max(SPREAD * spread, 1e-3))
    ).requires_grad_(False)
    shared.decoder.load_state_dict(run.decoder.state_dict())
    shared.mean.copy_(mean)
    return shared


def validate(shared: SharedDecoder, factory: Factory, seeds: range) -> float:
    """Mean PSNR, dB, at unseen views of heads fitted through a frozen decoder."""
    figures = []
    for seed in seeds:
        views = head_views(factory, seed, shared.config.field.box_side)
        figures.append(judged(fitted(shared, views.fitted, seed), views.unseen))
    return sum(figures) / len(figures)


def complete(run: Replay, path: Path, facts: dict[str, str]) -> None:
    """All visits that are left, from a local checkpoint where there is one of these facts, which is kept after every round."""
    if path.is_file():
        tensors, metadata = read_tensors(path, "local checkpoint")
        if all(metadata.get(key) == value for key, value in facts.items()):
            run.restore(tensors)
            print(f"going on after {run.done} of {run.visits} visits", flush=True)
    start, losses = time.monotonic(), list[float]()
    while run.done < run.visits:
        losses.append(run.visit())
        if run.done % len(run.runs) == 0:
            save_tensors(path, contiguous(run.state()), facts)
            loss = sum(losses) / len(losses)
            print(
                f"visit {run.done} of {run.visits}  {time.monotonic() - start:.0f} s  loss {loss:.4f}",
                flush=True,
            )
            losses = []


def contiguous(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same [...], as a file wants them."""
    return {name: value.contiguous() for name, value in tensors.items()}


def run(arguments: list[str]) -> None:
    """Learn the decoder, write it, and say how heads that it never met are fitted through it.

    Raises:
        ValueError: as `chosen_factory`.
    """
    parser = argparse.ArgumentParser(prog="portrait-diffusion train avatar-decoder", description=__doc__)
    parser.add_argument("--factory", type=int, choices=(2, 3), help="3 where the scans are present, else 2")
    parser.add_argument("--heads", type=int, default=24, help="that share it")
    parser.add_argument("--rounds", type=int, default=20, help="over all heads")
    parser.add_argument("--visit", type=int, default=5, help="steps on one head in a round")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 for all")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    factory = chosen_factory(options.factory)
    field = replace(FIELD, resolution=RESOLUTION)
    config = ReplayConfig(rounds=options.rounds, visit=options.visit, fit=FIT)
    seeds = UPPER[-options.heads :]
    views = [head_views(factory, seed, field.box_side).fitted for seed in seeds]
    print(f"{len(views)} heads of factory {factory.number}", flush=True)
    draws = torch.Generator().manual_seed(SEED)
    replay = Replay(views, field, new_decoder(field, draws), config, draws)
    facts = {"replay": json.dumps([asdict(config), asdict(field), factory.version, seeds.start])}
    complete(replay, cache_folder() / "train" / "avatar_decoder.safetensors", facts)
    shared = shared_of(replay)
    write(shipped(KIND), KIND, shared.config, shared, visits=str(replay.done), heads=str(len(views)))
    figure = validate(shared_decoder(), factory, VALIDATION[:HELD_OUT])
    print(
        f"scale {shared.config.scale:.3f}; {HELD_OUT} validation heads, fitted in {STAGE_2.steps} steps: {figure:.2f} dB at unseen views"
    )
