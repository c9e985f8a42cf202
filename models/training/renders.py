"""`train renders`: heads of a factory, rendered into the cache ahead of a training or beside it.

`train prior` and `train encoder` start two of these; one by hand serves as well.
"""

from __future__ import annotations

import argparse
import os
import time

import torch

from ..checkpoint import save_tensors
from ..synthetic.factories import Factory, chosen_factory
from ..synthetic.renders import shard_path, stacked
from ..synthetic.splits import split_of
from .growing import SHARD


def shard_starts(first: int, heads: int, part: int, parts: int) -> list[int]:
    """First seeds of every `parts`-th file, from the `part`-th on."""
    return list(range(first, first + heads, SHARD))[part::parts]


def render_shard(factory: Factory, first: int, options: argparse.Namespace) -> bool:
    """One file of the cache, unless it is there; whether it was made."""
    folder = factory.folder(views=options.views, size=options.size, faces=options.faces)
    path = shard_path(folder, first, SHARD)
    if path.is_file():
        return False
    seeds = range(first, first + SHARD)
    rows = stacked([factory.render_seed(seed, options.views, options.size, options.faces) for seed in seeds])
    save_tensors(path, {key: value.contiguous() for key, value in rows.items()}, {})
    return True


def run(arguments: list[str]) -> None:
    """Render, and say how many heads a minute; one thread, for it is meant to run beside others.

    Raises:
        ValueError: seeds of no split, or a factory that cannot be had.
    """
    parser = argparse.ArgumentParser(prog="portrait-diffusion train renders", description=__doc__)
    parser.add_argument("--factory", type=int, choices=(2, 3), help="3 where the scans are present, else 2")
    parser.add_argument("--first", type=int, default=0, help="seed")
    parser.add_argument("--heads", type=int, default=1000)
    parser.add_argument("--views", type=int, default=4)
    parser.add_argument("--size", type=int, default=256, help="pixels")
    parser.add_argument("--faces", action="store_true", help="only views from which a face can be read")
    parser.add_argument("--part", type=int, default=0, help="which of the files, of so many parts")
    parser.add_argument("--parts", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    factory = chosen_factory(options.factory)
    split_of(options.first + options.heads - 1)
    starts = shard_starts(options.first, options.heads, options.part, options.parts)
    began, spent, count = time.monotonic(), time.process_time(), 0
    parent = os.getppid()
    for first in starts:
        if os.getppid() != parent:  # the training that started this is gone
            return
        count += SHARD * render_shard(factory, first, options)
    wall, busy = (
        (now - then) / 60 for now, then in ((time.monotonic(), began), (time.process_time(), spent))
    )
    if count:
        print(
            f"rendered {count} heads, {options.views} views of {options.size} pixels: {count / wall:.1f} a minute, "
            f"{count / busy:.1f} a minute of one core ({options.views * count / busy:.0f} views)",
            flush=True,
        )
