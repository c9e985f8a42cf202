"""Renders that worker processes make while a training already learns from those there are.

A sitting begins on an empty machine: rendered first, its heads would cost a third of it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import torch
from torch import Tensor

from ..checkpoint import read_tensors
from ..synthetic.factories import Factory
from ..synthetic.renders import Renders, shard_path

SHARD = 10  # heads of a file: the first is there within a minute
WORKERS = 2
SECONDS = 20.0  # between looks at the cache


class GrowingRenders:
    """The renders of a cache that others fill, of all whole files so far.

    Attributes:
        renders: views of the rows read so far, in the order in which their files came.
    """

    renders: Renders

    def __init__(self, folder: Path, seeds: range, shard: int = SHARD) -> None:
        """Args: folder: of the cache. seeds: as many as wanted at most. shard: seeds of a file."""
        self.missing = {
            shard_path(folder, first, shard): min(shard, seeds.stop - first)
            for first in range(seeds.start, seeds.stop, shard)
        }
        self.capacity, self.count, self.seconds = len(seeds), 0, 0.0
        self.rows: dict[str, Tensor] = {}
        self.workers: list[subprocess.Popen] = []

    def grow(self) -> bool:
        """Read the files that came since; whether there were any."""
        present = [path for path in self.missing if path.is_file()]
        for path in present:
            self._append(read_tensors(path, f"cached {path.parent.name}")[0], self.missing.pop(path))
        if present:
            self.renders = Renders(**{key: value[: self.count] for key, value in self.rows.items()})
        return bool(present)

    def wait(self) -> None:
        """Return once there are heads.

        Raises:
            ValueError: all workers have stopped without any.
        """
        while not self.grow() and not self.count:
            if all(worker.poll() is not None for worker in self.workers) and not self.grow():
                codes = ", ".join(str(worker.returncode) for worker in self.workers)
                raise ValueError(
                    f"train: expected rendered heads, but the workers stopped with {codes or 'none started'}; "
                    "call their command, train renders, by itself to see why"
                )
            time.sleep(0.5)

    def grow_sometimes(self) -> bool:
        """`grow`, at most every `SECONDS`, and not once all files are read."""
        if not self.missing or time.monotonic() - self.seconds < SECONDS:
            return False
        self.seconds = time.monotonic()
        return self.grow()

    def _append(self, rows: dict[str, Tensor], count: int) -> None:
        """The first `count` of some rows, into room made once for all: joined anew they would take it twice."""
        for key in (field.name for field in fields(Renders)):
            part = rows[key][:count]
            if key not in self.rows:
                self.rows[key] = torch.empty(self.capacity, *part.shape[1:], dtype=part.dtype)
            self.rows[key][self.count : self.count + count] = part
        self.count += count


def factory_options(parser: argparse.ArgumentParser) -> None:
    """What trainings on growing renders add to the shared options."""
    parser.add_argument("--factory", type=int, choices=(2, 3), help="3 where the scans are present, else 2")
    parser.add_argument(
        "--first", type=int, default=0, help="seed of the first head: another in each sitting shows new ones"
    )
    parser.add_argument(
        "--checkpoint", type=Path, help="file to go on from and to write; without it one in the cache"
    )
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="FILE",
        help="at the end, also a checkpoint of half the precision and without the optimiser's moments, a sixth as large: copy it to "
        "where --checkpoint looks to go on on another machine",
    )


def worker_command(
    factory: Factory, seeds: range, views: int, size: int, faces: bool, part: int
) -> list[str]:
    """The command line of one worker of `WORKERS`."""
    package = __name__.partition(".")[0]
    return [
        *(sys.executable, "-m", package, "train", "renders", "--factory", str(factory.number)),
        *(
            "--first",
            str(seeds.start),
            "--heads",
            str(len(seeds)),
            "--views",
            str(views),
            "--size",
            str(size),
        ),
        *("--part", str(part), "--parts", str(WORKERS), *(["--faces"] if faces else [])),
    ]


@contextmanager
def growing(
    factory: Factory, seeds: range, *, views: int = 4, size: int = 256, faces: bool = False
) -> Iterator[GrowingRenders]:
    """Renders of the seeds, while workers make what is missing; they are stopped at the end. `wait` before the first use."""
    growth = GrowingRenders(factory.folder(views=views, size=size, faces=faces), seeds)
    growth.grow()
    commands = [worker_command(factory, seeds, views, size, faces, part) for part in range(WORKERS)]
    alone = os.environ | {"OMP_NUM_THREADS": "1"}
    if growth.missing:
        growth.workers = [subprocess.Popen(command, env=alone) for command in commands]
    try:
        yield growth
    finally:
        for worker in growth.workers:
            worker.terminate()
            worker.wait()
