"""Views of factory 3's people for the alignment network, rendered by processes of their own while the training runs, and cached."""

from __future__ import annotations

import math
import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import SpawnProcess
from pathlib import Path

import torch
from torch import Tensor

from ..camera import orbit, project
from ..checkpoint import read_tensors, save_tensors
from ..synthetic.people.body import PUPILS
from ..synthetic.people.person import FACTORY_VERSION, draw_person
from ..synthetic.people.rendering import render
from ..synthetic.people.scans import scans_file
from ..synthetic.renders import cache_folder

SIZE = 192  # pixels of a view
REACHES = (35, 35, 75)  # degrees of yaw up to which the first views lie; the last is of the back of a head
BACK = 120  # degrees of yaw from which on no face is seen


@dataclass(frozen=True)
class PeopleViews:
    """N people, V views each, the last of each from behind.

    Attributes:
        colour: uint8 [N, V, 3, S, S] sRGB times cover. cover: uint8 [N, V, 1, S, S], 255 where the person covers a whole pixel.
        depth: float16 [N, V, 1, S, S] along rays behind the middle of the pupils, pupils' distances; 0 where empty.
        normal: int8 [N, V, 3, S, S], camera axes, 127 for 1. places: [N, V, 68, 2] in widths of the canonical frame.
        yaw, pitch: [N, V] radians.
    """

    colour: Tensor
    cover: Tensor
    depth: Tensor
    normal: Tensor
    places: Tensor
    yaw: Tensor
    pitch: Tensor


def views_folder() -> Path:
    """Where the views lie, a file a seed."""
    return cache_folder() / f"factory-{FACTORY_VERSION}" / f"alignment-{SIZE}"


def view_angles(seed: int) -> tuple[Tensor, Tensor]:
    """Yaw and pitch [V] in radians of a seed's cameras."""
    generator = torch.Generator().manual_seed(seed)
    yaw = (torch.rand(len(REACHES) + 1, generator=generator) * 2 - 1) * math.radians(1)
    reach = torch.tensor([*REACHES, 180.0 - BACK])
    yaw = yaw * reach
    yaw[-1] += math.pi
    pitch = torch.randn(len(yaw), generator=generator) * math.radians(12)
    return yaw, pitch.clamp(-math.radians(35), math.radians(40))


def render_views(seed: int) -> dict[str, Tensor]:
    """A row [V, ...] of each tensor of `PeopleViews`.

    Raises:
        ValueError: a negative seed, or no scans.
    """
    person = draw_person(seed)
    yaw, pitch = view_angles(seed)
    cameras = orbit(yaw, pitch)
    views = render(person, cameras, SIZE, background=torch.zeros(3, SIZE, SIZE))
    points = person.body.landmarks
    middle = person.body.pupils.mean(0)
    near = (cameras.position - middle).norm(dim=-1)[:, None, None, None]
    depth = torch.where(views.mask > 0, (views.ray_distance - near) / PUPILS, 0.0)
    return {
        "colour": (views.rgb.clamp(0, 1) * 255).round().byte(),
        "cover": (views.mask * 255).round().byte(),
        "depth": depth.half(),
        "normal": (views.normal * 127).round().to(torch.int8),
        "places": project(cameras, points)[0],
        "yaw": yaw,
        "pitch": pitch,
    }


def cache_views(seeds: list[int]) -> None:
    """Render what of the seeds is not there yet; on one thread, behind everything else."""
    torch.set_num_threads(1)
    os.nice(10) if hasattr(os, "nice") else None
    parent = os.getppid() if multiprocessing.parent_process() else 0
    for seed in seeds:
        if parent and os.getppid() != parent:
            return  # whoever trained is gone
        path = views_folder() / f"{seed}.safetensors"
        if not path.is_file():
            rows = {name: value.contiguous() for name, value in render_views(seed).items()}
            save_tensors(path, rows, {})


@contextmanager
def rendering(seeds: range, workers: int) -> Iterator[list[SpawnProcess]]:
    """Inside, these processes render the seeds that the cache lacks; they end with it.

    Raises:
        ValueError: no scans.
    """
    scans_file()
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=cache_views, args=(list(seeds[i::workers]),), daemon=True)
        for i in range(workers)
    ]
    for process in processes:
        process.start()
    try:
        yield processes
    finally:
        for process in processes:
            process.terminate()
            process.join()


def cached_seeds(seeds: range) -> list[int]:
    """Those of the seeds whose views are there."""
    return [seed for seed in seeds if (views_folder() / f"{seed}.safetensors").is_file()]


def first_people(seeds: range, least: int, workers: list[SpawnProcess]) -> list[int]:
    """Those of the seeds whose views are there, once they are `least`, or all.

    Raises:
        ValueError: the workers ended before.
    """
    least = min(least, len(seeds))
    while len(seen := cached_seeds(seeds)) < least:
        if not any(worker.is_alive() for worker in workers) and len(cached_seeds(seeds)) < least:
            raise ValueError(
                f"alignment: expected {least} rendered people to begin with, got {len(seen)} when the workers ended; "
                "start one or more, and read what they printed"
            )
        time.sleep(1)
    return seen


def read_views(seeds: list[int]) -> PeopleViews:
    """The views of seeds from the cache.

    Raises:
        ValueError: no seeds, or one whose file is absent.
    """
    if not seeds:
        raise ValueError("read_views: expected one person or more, got none; render some first")
    rows = [read_tensors(views_folder() / f"{seed}.safetensors", "cached views")[0] for seed in seeds]
    return PeopleViews(**{name: torch.stack([row[name] for row in rows]) for name in rows[0]})
