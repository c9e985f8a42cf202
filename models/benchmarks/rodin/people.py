"""Whom `bench rodin --generate` is about: heads of the factory that no training has met, their photo as trainings have it, exact views."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ...camera import Camera
from ...photo.alignment import AlignedPortrait
from ...photo.network import POINTS
from ...synthetic.factories import Factory, codes_of
from ...synthetic.multiview import MultiView
from ...training.avatar_views import PORTRAIT, head_places
from ..exact_heads import exact_views
from ..inverted_heads import as_photo

SIZE = 128  # pixels of a view: those of the views that planes are fitted to
ANGLES = ((0, 0), (30, 0), (-30, 0), (60, 0), (-60, 0), (120, 0), (-120, 0), (180, 0))  # degrees
FACES = 60  # degrees of |yaw| up to which a view tells who it is
FRONTS = 30  # up to which it tells shape and expression


@dataclass(frozen=True)
class Pictures:
    """What a head looks like. Attributes: rgb: [V, 3, S, S] in [0, 1], on white. mask: [V, 1, S, S] in [0, 1]."""

    rgb: Tensor
    mask: Tensor


@dataclass(frozen=True)
class Subject:
    """One head of a factory.

    Attributes:
        other: seed of somebody else, for rows that are told nobody's portrait.
    """

    seed: int
    other: int
    factory: Factory

    @property
    def name(self) -> str:
        return f"seed {self.seed}"

    @property
    def key(self) -> str:
        return str(self.seed)

    @cached_property
    def views(self) -> MultiView:
        """At `ANGLES`."""
        return exact_views(self.seed, ANGLES, SIZE, self.factory.number)

    @cached_property
    def photo(self) -> MultiView:
        """The one view that a training would have been told of this head."""
        places = head_places(self.seed)
        angles = (math.degrees(float(places.yaw)), math.degrees(float(places.pitch)))
        return exact_views(self.seed, [angles], PORTRAIT, self.factory.number)

    @cached_property
    def portrait(self) -> AlignedPortrait:
        """The same as what heads are made of: exact mask and camera."""
        return as_photo(self.photo, 0)

    @property
    def cameras(self) -> Camera:
        """[V] of the views."""
        return self.views.camera

    def exact(self, cameras: Camera, size: int) -> Pictures:
        """As the factory shows the head from [V] cameras: [V, 3, size, size]."""
        if cameras is self.views.camera:
            return Pictures(self.views.views.rgb, self.views.views.mask)
        views = self.factory.exact(self.seed, cameras, size).views
        return Pictures(views.rgb, views.mask)

    @property
    def code(self) -> Tensor | None:
        """[code_dim] exact numbers of what is seen; None where views tell none."""
        parameters = self.views.parameters
        return None if parameters is None else codes_of(parameters[None])[0]

    @property
    def points(self) -> Tensor | None:
        """[68, 3] scene units, the exact usual points; None of factory 2, which has none."""
        parameters = self.views.parameters
        if parameters is None or self.factory.number == 2:
            return None
        return parameters[: 3 * POINTS["68"]].view(-1, 3)

    @cached_property
    def somebody_else(self) -> Subject:
        """The other, the same one at every call."""
        return Subject(self.other, self.seed, self.factory)


def subjects_of(seeds: range, count: int, factory: Factory) -> list[Subject]:
    """The first heads of a split, each beside one of the next ones.

    Raises:
        ValueError: a split of fewer heads than twice the count.
    """
    if 2 * count > len(seeds):
        raise ValueError(
            f"bench rodin: expected at most {len(seeds) // 2} heads of this split, half of its {len(seeds)}, got {count}; ask for fewer"
        )
    return [Subject(seeds[i], seeds[count + i], factory) for i in range(count)]


def yaws(limit: float) -> list[int]:
    """The views of `ANGLES` within so many degrees of the front."""
    return [i for i, (yaw, _) in enumerate(ANGLES) if abs(yaw) <= limit]


def exact_poses(index: list[int]) -> Tensor:
    """Yaw and pitch [V, 2] of views, degrees."""
    return torch.tensor([ANGLES[i] for i in index], dtype=torch.float32)
