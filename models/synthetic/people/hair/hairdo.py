"""All hair of a person."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..parts import Body, Hair
from ..scans import Scans
from ..shape import smoothstep
from ..streams import Draws
from ..parts import Paint
from .colours import dyed, natural_shade, strand_colours
from .facial import beard_hairs, brow_hairs, draw_beard, draw_brows, lash_hairs
from .loose import loose
from .mass import hair_cloud, surface_normals
from .roots import scatter, scalp_density
from .skull import Skull, bend, load_skull
from .styles import STYLES, draw_style


@dataclass(frozen=True, kw_only=True)
class Hairdo:
    """What grows on one person.

    Attributes:
        style: of the head's hair. pieces: hair, brows, lashes, beard, those there are.
        cover: [V] in [0, 1] at the body's vertices: how far roots hide the skin between them; shade: [3] their linear colour.
    """

    style: str
    pieces: tuple[Hair, ...]
    cover: Tensor
    shade: Tensor


def draw_hairdo(scans: Scans, body: Body, seed: int, style: str | None = None) -> Hairdo:
    """The hair of a seed.

    Args:
        style: one of the named styles, or None for one of the person's choice.

    Raises:
        ValueError: a negative seed.
    """
    skull = load_skull(scans)
    choice, pigment = Draws(seed, "hair style"), Draws(seed, "hair colour")
    drawn = draw_style(body, choice)
    style = drawn if style is None else style
    shade, grey = natural_shade(body, pigment)
    shade, grey = dyed(shade, grey, body, pigment)
    draws = Draws(seed, "hair")
    density = scalp_density(body, 0.0, 0.0)
    spec = STYLES[style]
    roots = scatter(body, skull, density, spec.count, draws)
    rest, lock = loose(skull, body, roots, spec, draws)
    colour = strand_colours(shade, grey, lock, 0.22, draws)
    strands = bend(rest, body, roots.place)
    hair = finish(skull, body, rest, strands, colour, spec.width * body.scale, spec.gloss)
    face = Draws(seed, "facial hair")
    brows = draw_brows(body, face)
    pieces = [hair, brow_hairs(skull, body, brows, colour.mean(0) * 0.6, face), lash_hairs(scans, body, not body.male, colour.mean(0) * .5, face)]
    beard = draw_beard(body, face)
    if beard is not None:
        pieces.append(beard_hairs(skull, body, beard, colour.mean(0) * 0.9, face))
    return Hairdo(style=style, pieces=tuple(pieces), cover=density, shade=colour.mean(0) * 0.7)


def finish(
    skull: Skull, body: Body, rest: Tensor, strands: Tensor, colour: Tensor, width: float, gloss: float, tip: float = 0.3
) -> Hair:
    """Strands with normals, widths and depths.

    Args:
        rest, strands: [N, K, 3] centimetres on the mean head, scene units on the person. colour: [N, 3]. width: scene units.
    """
    count, points, _ = strands.shape
    above, outward = skull(rest)
    piece = Hair(
        strands=strands,
        normals=outward,
        width=torch.full((count,), width),
        colour=colour,
        depth=smoothstep(above, 0.0, 1.2),
        tip=tip,
        gloss=gloss,
    )
    grid = hair_cloud([piece])
    return Hair(
        strands=strands,
        normals=surface_normals(grid, strands, outward),
        width=piece.width,
        colour=colour,
        depth=piece.depth,
        tip=tip,
        gloss=gloss,
    )


def grown_over(paint, hairdo):
    def f(rest):
        import dataclasses
        from .roots import scalp_density
        from types import SimpleNamespace
        from ..body import ears
        from ..body import HAIRLINE
        import math
        p = paint(rest)
        away = torch.atan2(rest[:, 0], rest[:, 2] - 1.0).abs() * (180 / math.pi)
        angles, heights = (torch.tensor(v, dtype=torch.float32) for v in HAIRLINE)
        after = torch.searchsorted(angles, away.contiguous()).clamp(1, len(angles) - 1)
        share = (away - angles[after - 1]) / (angles[after] - angles[after - 1])
        line = torch.lerp(heights[after - 1], heights[after], share)
        sc = smoothstep(rest[:, 1] - line, -0.5, 0.5) * ~ears(rest)
        cover = scalp_density(SimpleNamespace(rest=rest, scalp=sc), 0, 0)
        return dataclasses.replace(p, albedo=torch.lerp(p.albedo, hairdo.shade.expand_as(p.albedo), 0.85 * cover[:, None]))
    return f
