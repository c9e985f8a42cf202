"""What is worn: the body's own surface below a neckline, set off from it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...synthetic.people.parts import Paint, Surface
from ...synthetic.people.shape import smoothstep
from ...synthetic.people.streams import Draws
from ...synthetic.people.wear.fabric import Fabric, draw_colour
from .cutting import cut_mesh
from .solid import relaxed

NECKLINES = {"crew": 0.4, "vee": 0.2, "wide": 0.15, "roll": 0.25}
WEAVES = {"plain": 0.5, "knit": 0.3, "twill": 0.2}
PATTERNS = {"plain": 0.65, "stripes": 0.2, "checks": 0.15}
BACK, FRONT = (-8.0, -11.5), (4.0, -15.5)  # z and height of a crew neck, centimetres on the average body


def neckline(average: Tensor, kind: str) -> Tensor:
    """[N] centimetres below a neckline, negative above it.

    Args:
        average: [N, 3] head centimetres of the average body. kind: a name in `NECKLINES`.
    """
    x, y, z = average.unbind(-1)
    share = (z - BACK[0]) / (FRONT[0] - BACK[0])
    line = BACK[1] + share * (FRONT[1] - BACK[1])
    if kind == "roll":
        line = line + 5.5 - 1.5 * share.clamp(0, 1)
    if kind == "wide":
        line = line - 2.2
    if kind == "vee":
        line = line - 1.1 * (5.0 - x.abs()).clamp_min(0) * (z > -2)
    return line - y


def draw_garment(
    vertices: Tensor, normals: Tensor, average: Tensor, faces: Tensor, male: bool, draws: Draws
) -> tuple[Surface, str]:
    """A garment of a body, in head centimetres, and the name of its neckline.

    Args:
        vertices, normals, average: [N, 3] of the person and of the average body. faces: [F, 3]. male: wears no wide neck.
    """
    kind = draws.choice({name: odds for name, odds in NECKLINES.items() if not (male and name == "wide")})
    below = neckline(average, kind)
    values, kept = cut_mesh(torch.cat([vertices, normals, average, below[:, None]], 1), faces, below)
    body, outward, rest, depth = values.split([3, 3, 3, 1], 1)
    thick = 0.16 + 0.5 * smoothstep(depth, 0.0, 4.0)
    draped = relaxed(body + thick * outward, kept, smoothstep(depth, 2.0, 7.0))
    outside = ((draped - body) * outward).sum(1, keepdim=True)
    draped = draped + outward * (0.7 * thick - outside).clamp_min(0)  # never within the skin
    return Surface(vertices=draped, faces=kept, rest=rest, paint=_cloth(draws), name="garment"), kind


def _cloth(draws: Draws) -> Callable[[Tensor], Paint]:
    colours = draw_colour(draws), draw_colour(draws), draw_colour(draws)
    fabric = Fabric(
        colours=colours,
        pattern=draws.choice(PATTERNS),
        size=draws.uniform(1.5, 4.0),
        weave=draws.choice(WEAVES),
        folds=draws.uniform(0.15, 0.4),
        seed=int(draws.uniform(0, 10_000)),
    )
    return fabric.paint
