"""Where strands begin: evenly over the scalp, or wherever else hair grows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..parts import Body
from ..scans import SKIN
from ..shape import smoothstep
from ..streams import Draws
from .skull import Skull

CROWN = (1.0, 13.2, -4.6)  # cm: the whorl that hair grows away from, a little to one side


@dataclass(frozen=True, kw_only=True)
class Roots:
    """N roots.

    Attributes:
        rest: [N, 3] centimetres on the mean head. place: [N, 3] scene units on the person. normal: [N, 3] of the mean head.
        chance: [N] in [0, 1), one random number each, and another: `other` [N].
    """

    rest: Tensor
    place: Tensor
    normal: Tensor
    chance: Tensor
    other: Tensor

    def __len__(self) -> int:
        return len(self.rest)


def scatter(body: Body, skull: Skull, density: Tensor, count: int, draws: Draws) -> Roots:
    """Roots in proportion to area and density, evenly spread.

    Args:
        density: [V] >= 0 at the body's vertices. count: about how many; none where the density is 0 everywhere.
    """
    faces = body.faces[(body.faces < SKIN).all(1)]
    faces = faces[density[faces].amax(1) > 0.02]
    corners = body.rest[faces]
    area = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).norm(dim=1)
    total = (area * density[faces].mean(1)).cumsum(0)
    count = count if len(faces) else 0
    jitter = torch.from_numpy(draws.generator.random((count, 5))).float()
    at = (torch.arange(count) + jitter[:, 0]) / max(count, 1) * (total[-1] if count else 0.0)
    face = torch.searchsorted(total, at).clamp_max(max(len(faces) - 1, 0))
    root = jitter[:, 1].sqrt()
    weights = torch.stack([1 - root, root * (1 - jitter[:, 2]), root * jitter[:, 2]], 1)
    chosen = faces[face]
    rest = (body.rest[chosen] * weights[..., None]).sum(1)
    return Roots(
        rest=rest,
        place=(body.vertices[chosen] * weights[..., None]).sum(1),
        normal=skull(rest)[1],
        chance=jitter[:, 3],
        other=jitter[:, 4],
    )


def scalp_density(body: Body, recession: float, thinning: float, peak: float = 0.0) -> Tensor:
    """[V] in [0, 1]: where hair grows.

    Args:
        recession: 0 a full hairline to 1 temples bare to the ears' height. thinning: of the crown, 0 to 1.
        peak: of a widow's peak, -1 to 1.
    """
    x, y, z = body.rest.unbind(-1)
    corner = torch.exp(-(((x.abs() - 4.6) / 2.4) ** 2)) * smoothstep(z, 0.0, 4.0)
    middle = torch.exp(-((x / 3.0) ** 2)) * smoothstep(z, 2.0, 6.0)
    line = 10.4 + (2.2 * recession + 0.5) * corner + (1.2 * recession - 0.5 * peak) * middle
    bare = (corner + middle).clamp(0, 1) * smoothstep(line - y, -0.4, 0.4)
    behind = torch.exp(-(((x / 5.5) ** 2 + ((z + 3.0) / 5.5) ** 2) ** 2)) * smoothstep(y, 8.0, 11.5)
    top = smoothstep(y, 9.8, 11.5) * smoothstep(z, -6.0, -1.0)
    bald = (thinning * behind + max(0.0, thinning + recession - 1.0) * top).clamp(0, 1)
    return body.scalp * (1 - bare) * (1 - bald) * (x.abs() < 9.0)
