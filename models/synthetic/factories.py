"""The data factories by their number: 2 draws heads of distances and paint, 3 people of scan shapes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from ..camera import Camera
from . import codes, renders
from .head import PARAMETER_NAMES, sample_parameters
from .multiview import MultiView, frontal_view
from .people import codes as people_codes
from .people import renders as people_renders
from .people.groups import groups_of
from .people.person import draw_person
from .people.rendering import render
from .people.scans import load_scans, scans_present
from .rendering import render_head
from .renders import Renders


class Cached(Protocol):
    """`renders.cached_renders` and what is called like it."""

    def __call__(
        self, seeds: range, *, views: int = 4, size: int = 256, faces: bool = False, shard: int = 25
    ) -> Renders: ...


class Folder(Protocol):
    """`renders.renders_folder` and what is called like it."""

    def __call__(self, *, views: int = 4, size: int = 256, faces: bool = False) -> Path: ...


@dataclass(frozen=True, kw_only=True)
class Factory:
    """One factory.

    Attributes:
        number: by which it is asked for. version: under which what it draws is cached. code_dim: of its identity codes.
        codes: parameters of its renders [B, P] -> codes [B, code_dim]. code: seed -> code [1, code_dim].
        exact: seed, cameras [V], pixels -> exact views of a head.
        render_seed: seed, views, size, faces -> a row of each tensor of `Renders`. cached: many of them. folder: where.
    """

    number: int
    version: str
    code_dim: int
    codes: Callable[[Tensor], Tensor]
    code: Callable[[int], Tensor]
    exact: Callable[[int, Camera, int], MultiView]
    render_seed: Callable[[int, int, int, bool], dict[str, Tensor]]
    cached: Cached
    folder: Folder


def _head_code(seed: int) -> Tensor:
    return codes.identity_codes(sample_parameters(seed)[None])


def _person_code(seed: int) -> Tensor:
    return people_codes.identity_codes(people_codes.amounts(draw_person(seed), load_scans())[None])


def _exact_head(seed: int, camera: Camera, size: int) -> MultiView:
    parameters = sample_parameters(seed)
    return MultiView(
        views=render_head(parameters, camera, size),
        camera=camera,
        frontal=frontal_view(camera.cam2world),
        seed=seed,
        parameters=parameters,
    )


def _exact_person(seed: int, camera: Camera, size: int) -> MultiView:
    person = draw_person(seed)
    numbers = people_renders.numbers(person), people_codes.amounts(person, load_scans())
    return MultiView(
        views=render(person, camera, size),
        camera=camera,
        frontal=frontal_view(camera.cam2world),
        seed=seed,
        parameters=torch.cat(numbers),
        groups=groups_of(person),
    )


FACTORIES = {
    2: Factory(
        number=2,
        version=renders.FACTORY_VERSION,
        code_dim=codes.CODE_DIM,
        codes=codes.identity_codes,
        code=_head_code,
        exact=_exact_head,
        render_seed=renders.render_seed,
        cached=renders.cached_renders,
        folder=renders.renders_folder,
    ),
    3: Factory(
        number=3,
        version=people_renders.FACTORY_VERSION,
        code_dim=people_codes.CODE_DIM,
        codes=people_codes.identity_codes,
        code=_person_code,
        exact=_exact_person,
        render_seed=people_renders.render_seed,
        cached=people_renders.cached_people,
        folder=people_renders.people_folder,
    ),
}


def chosen_factory(number: int | None) -> Factory:
    """The factory asked for; unasked, 3 where the scans are present, else 2, which is then said.

    Raises:
        ValueError: 3 without scans, or another number.
    """
    if number is None:
        number = 3 if scans_present() else 2
        if number == 2:
            print("the scans are absent: heads of factory 2", flush=True)
    if number not in FACTORIES:
        raise ValueError(
            f"factory: expected one of {', '.join(map(str, FACTORIES))}, got {number}; ask for one"
        )
    if number == 3:
        load_scans()
    return FACTORIES[number]


def factory_of_code(code_dim: int) -> Factory:
    """The factory whose codes have a length, by which a prior tells what it was trained on.

    Raises:
        ValueError: no factory's.
    """
    for factory in FACTORIES.values():
        if factory.code_dim == code_dim:
            return factory
    lengths = ", ".join(f"{factory.code_dim} of factory {number}" for number, factory in FACTORIES.items())
    raise ValueError(f"factory: expected codes of {lengths}, got {code_dim}; use a prior of one of them")


def codes_of(parameters: Tensor) -> Tensor:
    """Codes [B, code_dim] of renders' parameters [B, P], of whichever factory has as many."""
    return FACTORIES[2 if parameters.shape[1] == len(PARAMETER_NAMES) else 3].codes(parameters)
