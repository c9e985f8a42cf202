"""Where strands begin: evenly over the scalp, or wherever else hair grows."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from ..body import above_hairline, ear_share
from ..parts import Body
from ..scans import SKIN
from ..shape import smoothstep
from ..streams import Draws
from .skull import Skull
from .vectors import unit

CROWN = (1.0, 13.2, -4.6)  # cm: the whorl that hair grows away from, a little to one side


@dataclass(frozen=True, kw_only=True)
class Roots:
    """N roots.

    Attributes:
        rest: [N, 3] centimetres on the mean head. place: [N, 3] scene units on the person. normal: [N, 3] unit, of the mean head; up: [N, 3] unit,
            of the person.
        chance: [N] in [0, 1), one random number each, and another: `other` [N]. density: [N] of hair there.
    """

    rest: Tensor
    place: Tensor
    normal: Tensor
    up: Tensor
    chance: Tensor
    other: Tensor
    density: Tensor

    def __len__(self) -> int:
        return len(self.rest)

    def __getitem__(self, index) -> Roots:
        return Roots(**{field.name: getattr(self, field.name)[index] for field in fields(self)})


def scatter(body: Body, skull: Skull, density: Tensor, count: int, draws: Draws) -> Roots:
    """Roots in proportion to area and density, evenly spread.

    Args:
        density: [V] >= 0 at the body's vertices. count: about how many; none where the density is 0 everywhere.
    """
    faces = body.faces[(body.faces < SKIN).all(1)]
    faces = faces[density[faces].amax(1) > 0.02]
    corners = body.rest[faces]
    area = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).norm(dim=1)
    chosen, weights, jitter = spread(faces, area * density[faces].mean(1), count, draws)
    rest = (body.rest[chosen] * weights[..., None]).sum(1)
    return Roots(
        rest=rest,
        place=(body.vertices[chosen] * weights[..., None]).sum(1),
        normal=skull(rest)[1],
        up=unit((body.normals[chosen] * weights[..., None]).sum(1)),
        chance=jitter[:, 3],
        other=jitter[:, 4],
        density=(density[chosen] * weights).sum(1),
    )


def spread(faces: Tensor, share: Tensor, count: int, draws: Draws) -> tuple[Tensor, Tensor, Tensor]:
    """Places on triangles, in their order and evenly along it.

    Args:
        faces: [F, 3]. share: [F] >= 0, of the places. count: N, none where there are no faces.

    Returns:
        Corners [N, 3] and their weights [N, 3], and random numbers [N, 5] in 0 .. 1, the last two of which are unused.
    """
    total = share.cumsum(0)
    count = count if len(faces) else 0
    random = torch.from_numpy(draws.generator.random((count, 5))).float()
    at = (torch.arange(count) + random[:, 0].to(total)) / max(count, 1) * (total[-1] if count else 0.0)
    chosen = faces[torch.searchsorted(total, at).clamp_max(max(len(faces) - 1, 0))]
    root = random[:, 1].sqrt()
    return chosen, torch.stack([1 - root, root * (1 - random[:, 2]), root * random[:, 2]], 1), random


@dataclass(frozen=True, kw_only=True)
class Hairline:
    """Where a person's hair grows.

    Attributes:
        recession: 0 a full hairline to 1 temples bare to the ears' height. thinning: of the crown, 0 to 1.
        peak: of a widow's peak, -1 to 1. drop: cm that the front lies lower. sideburn: cm that hair before the ears reaches lower.
    """

    recession: float
    thinning: float
    peak: float
    drop: float
    sideburn: float

    def __call__(self, rest: Tensor) -> Tensor:
        """[P] in [0, 1] at points of the skin; rest coordinates [P, 3]."""
        x, y, z = rest.unbind(-1)
        front = smoothstep(z, 4.0, 7.0)
        beside = smoothstep(x.abs(), 6.0, 6.6) * smoothstep(z, 0.5, 2.5) * smoothstep(5.5 - z, 0.0, 1.5)
        lower = self.drop * front + self.sideburn * beside
        lowered = torch.stack([x, y + lower, z], -1)
        corner = torch.exp(-(((x.abs() - 4.4) / 1.8) ** 2)) * smoothstep(z, 1.0, 4.0)
        middle = torch.exp(-((x / 3.0) ** 2)) * smoothstep(z, 2.0, 6.0)
        line = 10.2 - self.drop + (2.6 * self.recession + 0.3) * corner
        line = line + (1.2 * self.recession - 0.5 * self.peak) * middle
        bare = (corner + middle).clamp(0, 1) * smoothstep(line - y, -0.4, 0.4) * smoothstep(y, 6.5, 8.5)
        behind = torch.exp(-(((x / 5.5) ** 2 + ((z + 3.0) / 5.5) ** 2) ** 2)) * smoothstep(y, 8.0, 11.5)
        top = smoothstep(y, 9.8, 11.5) * smoothstep(z, -6.0, -1.0)
        bald = (self.thinning * behind + max(0.0, self.thinning + self.recession - 1.0) * top).clamp(0, 1)
        return above_hairline(lowered) * (1 - bare) * (1 - bald) * (1 - ear_share(rest))

    def density(self, body: Body) -> Tensor:
        """[V] at the body's vertices."""
        grown = torch.zeros(len(body.rest))
        grown[:SKIN] = self(body.rest[:SKIN])
        return grown


def draw_hairline(body: Body, draws: Draws) -> Hairline:
    """Full for children and most women; men's recede with age."""
    loss = float(smoothstep(torch.tensor(body.age), 0.2, 0.95)) * draws.uniform() ** 1.2
    crown = draws.uniform()
    if not body.male or body.child > 0:
        loss, crown = 0.12 * loss, 0.0
    return Hairline(
        recession=min(1.0, 0.15 * draws.uniform() + 1.1 * loss),
        thinning=loss * crown,
        peak=draws.normal(0.0, 0.4),
        drop=draws.normal(0.0, 0.3),
        sideburn=draws.normal(0.3, 1.0) if body.male else draws.normal(-1.2, 0.5),
    )
