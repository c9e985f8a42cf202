"""`bench generator`: time of the public generators at full size, random weights, beside their readable twin.

EG3D, PanoHead and SphereHead as published: planes of 256 pixels, 64 x 64 rays with 48 + 48 samples, pictures of 512. readable:
`prior/readable.py` and `field/readable.py`, the papers' formulas. float32: ours. bfloat16: ours in half precision, weights with their
channels last, but for rays. All are compared with the readable ones. Random weights leave the box full of haze, of which no renderer can
skip anything. With one thread on a processor, time is the processor's. On an accelerator: pictures a second, peak memory.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from statistics import median

import torch
from torch import Tensor

from ..commands.report import Row, finish
from ..devices import pick_device
from ..prior.public_sizes import SIZES, Parts, channels_last, parts_of
from .memory import added_bytes
from .options import bench_parser, called, positive
from .render.bench import seconds

PARTS = ("planes", "rays", "super-resolution", "picture")
KINDS = ("readable", "float32", "bfloat16")
BATCHES = (1, 4)  # pictures at once, on an accelerator


def kinds(parts: Parts) -> Iterator[tuple[str, Callable[[str], Tensor]]]:
    """The ways of making a part, in their order: the later ones change the weights' layout."""
    yield KINDS[0], parts.readable
    yield KINDS[1], lambda part: parts.ours(part, torch.float32)
    channels_last(parts.generator)
    yield KINDS[2], lambda part: parts.ours(part, torch.bfloat16)


@torch.no_grad()
def time_rows(family: str, device: torch.device, repeats: int, end: float) -> list[Row]:
    """Medians of all parts, and how near they are to the readable ones."""
    parts = parts_of(family, SIZES[family], device)
    rows, wanted, slow = [], {}, {}
    for kind, make in kinds(parts):
        for part in PARTS:
            if part == "rays" and kind == "bfloat16":
                continue
            row = f"{family}, {part}, {kind}"
            if time.monotonic() > end:
                print(f"{row}: left out, the minutes are over", flush=True)
                continue
            answer = make(part).float()  # also warms up
            duration = median(
                seconds(lambda make=make, part=part: make(part), device) for _ in range(repeats)
            )
            rows.append(Row(row, "time", duration, "s", n=repeats))
            if kind == "readable":
                wanted[part], slow[part] = answer, duration
            elif part in wanted:
                rows.append(Row(row, "times as fast as readable", slow[part] / duration, "", n=repeats))
                error = (answer - wanted[part]).abs().max() / wanted[part].abs().max()
                rows.append(Row(row, "largest error over the largest value", float(error), ""))
    return rows


@torch.no_grad()
def accelerator_rows(family: str, device: torch.device, repeats: int) -> list[Row]:
    """Whole pictures a second, and what a call adds to the accelerator's memory."""
    rows = []
    for batch in BATCHES:
        for kind, make in kinds(parts_of(family, SIZES[family], device, batch)):
            duration = median(seconds(lambda make=make: make("picture"), device) for _ in range(repeats + 1))
            row = f"{family}, {batch} at once, {kind}"
            rows.append(Row(row, "pictures a second", batch / duration, "1/s", n=repeats + 1))
            extra = added_bytes(lambda make=make: make("picture"), device)
            rows.append(Row(row, "memory added", extra / 2**20, "MiB"))
    return rows


def run(arguments: list[str]) -> None:
    """Print the table."""
    with called(_parser(), arguments) as options:
        device = pick_device()
        end = time.monotonic() + 60 * options.minutes
        rows = []
        for family in options.families:
            rows += time_rows(family, torch.device("cpu"), options.repeats, end)
            if device.type != "cpu":
                rows += accelerator_rows(family, device, options.repeats)
        finish("generator", rows, options.json)


def _parser() -> argparse.ArgumentParser:
    parser = bench_parser("generator", __doc__, threads=1)
    parser.add_argument("--families", nargs="+", choices=list(SIZES), default=list(SIZES), help="which (all)")
    parser.add_argument(
        "--repeats", type=positive, default=3, help="measurements of each, of which the median is taken (3)"
    )
    parser.add_argument("--minutes", type=float, default=40, help="start nothing new after so long (40)")
    return parser
