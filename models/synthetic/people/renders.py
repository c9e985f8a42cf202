"""Renders of people, as trainings read them: the same rows as of factory 2's heads, cached beside them under a version of their own."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ...camera import orbit
from ..renders import Renders, cache_folder, cached_heads, row_of, view_angles
from .codes import amounts
from .person import FACTORY_VERSION, Person, draw_person
from .rendering import render
from .scans import load_scans


def numbers(person: Person) -> Tensor:
    """[209] what stands for a person among `Renders.parameters`, about -1 to 1: landmarks (68 times x, y, z, scene units), then sex (1
    for a man, else -1), tone / 5, age, child, weight."""
    who = person.who
    nature = torch.tensor([1.0 if who.male else -1.0, who.tone / 5, who.age, who.child, who.weight])
    return torch.cat([person.body.landmarks.flatten(), nature])


def render_seed(seed: int, views: int, size: int, faces: bool = False) -> dict[str, Tensor]:
    """One person, a row [...] of each tensor of `renders.Renders`; the parameters are `numbers`, then `codes.amounts`.

    Args:
        seed: see splits.py for the ranges. views: V. size: S, pixels. faces: only views from which a face can be read.

    Raises:
        ValueError: a negative seed, or no scans.
    """
    person = draw_person(seed)
    yaw, pitch = view_angles(seed, views, faces)
    picture = render(person, orbit(yaw, pitch), size)
    return row_of(torch.cat([numbers(person), amounts(person, load_scans())]), picture, yaw, pitch)


def people_folder(*, views: int = 4, size: int = 256, faces: bool = False) -> Path:
    """Where such renders are cached; the arguments are those of `cached_people`."""
    return cache_folder() / f"factory-{FACTORY_VERSION}" / f"{size}x{views}{'-faces' * faces}-coded"


def cached_people(
    seeds: range, *, views: int = 4, size: int = 256, faces: bool = False, shard: int = 25
) -> Renders:
    """Renders of the seeds, read from the cache, or made and put there; prints progress.

    Args:
        seeds, views, size, faces, shard: as of `renders.cached_renders`.

    Raises:
        ValueError: no scans, where something is still to be rendered.
    """
    folder = people_folder(views=views, size=size, faces=faces)
    return cached_heads(folder, seeds, shard, lambda seed: render_seed(seed, views, size, faces))
