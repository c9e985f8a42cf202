"""`train avatar-planes`: the planes of many factory heads, fitted through the decoder that ships, that the cascade learns from."""

from __future__ import annotations

import argparse
import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..avatar.shared_decoder import KIND, SharedDecoder, shared_decoder
from ..checkpoint import save_tensors, shipped
from ..synthetic.factories import Factory, chosen_factory
from ..synthetic.renders import cache_folder, cached_shards, shard_path, stacked
from ..synthetic.splits import UPPER, VALIDATION
from .avatar_decoder import STAGE_2, fitted
from .avatar_views import head_views
from .turbo_data import as_bytes

SHARD = 4  # heads a file


@dataclass(frozen=True)
class AvatarPlanes:
    """N fitted heads.

    Attributes:
        planes: half [N, 3, C, R, R], as the decoder reads them (`SharedDecoder.normalised` makes -1 .. 1 of them).
        portrait: uint8 [N, 3, S, S], each head's photo, on white. yaw, pitch: [N] radians, of the photo's camera.
    """

    planes: Tensor
    portrait: Tensor
    yaw: Tensor
    pitch: Tensor

    def __len__(self) -> int:
        return len(self.planes)


def fitted_head(shared: SharedDecoder, factory: Factory, seed: int) -> dict[str, Tensor]:
    """A row of `AvatarPlanes`: stage 2 on one head of the factory."""
    views = head_views(factory, seed, shared.config.field.box_side)
    return {
        "planes": fitted(shared, views.fitted, seed).planes[0].half(),
        "portrait": as_bytes(views.portrait),
        "yaw": views.yaw,
        "pitch": views.pitch,
    }


def planes_folder(factory: Factory) -> Path:
    """Where planes of a factory's heads through the decoder that ships are cached."""
    key = hashlib.sha256(shipped(KIND).read_bytes() + repr(STAGE_2).encode()).hexdigest()[:12]
    return cache_folder() / f"avatar-planes-{factory.version}-{key}"


def avatar_planes(seeds: range, *, so_far: bool = False) -> AvatarPlanes:
    """The heads of all seeds, from the cache or fitted and put there; prints progress. Args: so_far: none is fitted.

    Raises:
        ValueError: no decoder that ships, no factory, or none of them fitted so far.
    """
    shared, factory = shared_decoder(), chosen_factory(None)
    folder = planes_folder(factory)

    def make(some: range) -> dict[str, Tensor]:
        return stacked([fitted_head(shared, factory, seed) for seed in some])

    if so_far:
        starts = [first for first in seeds[::SHARD] if shard_path(folder, first, SHARD).is_file()]
        if not starts:
            raise ValueError(
                f"avatar training: expected fitted heads of seeds from {seeds.start} on in the cache, found none; "
                "run `train avatar-planes`, or leave out --so-far"
            )
        parts = [cached_shards(folder, range(first, first + SHARD), SHARD, make) for first in starts]
        rows = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
    else:
        rows = cached_shards(folder, seeds, SHARD, make)
    return AvatarPlanes(**{key: value[: len(seeds)] for key, value in rows.items()})


def add_so_far(parser: argparse.ArgumentParser) -> None:
    """For trainings that begin while heads are still being fitted."""
    parser.add_argument(
        "--so-far", action="store_true", help="learn from those heads whose planes are in the cache, fit none"
    )


def run(arguments: list[str]) -> None:
    """Fit heads into the cache, one thread a process; several may share the work.

    Raises:
        ValueError: no decoder that ships, or no factory.
    """
    parser = argparse.ArgumentParser(prog="portrait-diffusion train avatar-planes", description=__doc__)
    parser.add_argument("--heads", type=int, default=512)
    parser.add_argument("--validation", action="store_true", help="of validation seeds instead")
    parser.add_argument("--part", type=int, default=0, help="which of the files, of so many parts")
    parser.add_argument("--parts", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    shared, factory = shared_decoder(), chosen_factory(None)
    folder, seeds = planes_folder(factory), (VALIDATION if options.validation else UPPER)[: options.heads]
    start, count = time.monotonic(), 0
    for first in list(seeds[::SHARD])[options.part :: options.parts]:
        if not shard_path(folder, first, SHARD).is_file():
            rows = stacked([fitted_head(shared, factory, seed) for seed in range(first, first + SHARD)])
            tensors = {key: value.contiguous() for key, value in rows.items()}
            save_tensors(shard_path(folder, first, SHARD), tensors, {})
            count += SHARD
            seconds = (time.monotonic() - start) / count
            print(f"fitted heads up to {first + SHARD}: {seconds:.1f} s a head", flush=True)
    print(f"{len(seeds)} heads are there, {count} of them new; process {os.getpid()}", flush=True)
