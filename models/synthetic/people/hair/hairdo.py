"""All hair of a person."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..parts import Body, Hair, Surface
from ..scans import Scans
from ..shape import smoothstep
from ..streams import Draws
from .afro import afro
from .beard import Beard, beard_hairs, draw_beard
from .brows import Brows, brow_hairs, draw_brows
from .colours import dyed, natural_shade, strand_colours
from .covered import lie_on
from .fashion import draw_style
from .lashes import lash_hairs
from .loose import loose
from .mass import hair_cloud, surface_normals
from .roots import Hairline, Roots, draw_hairline, scatter
from .ropes import braids, cornrows, locs
from .skull import Skull, bend, load_skull
from .styles import STYLES
from .tied import BUNS, PONYTAILS, band, bun, drawn_back, ponytail
from .undercoat import Undercoat

ROPES = {"locs": 0.3, "braids": 0.17, "cornrows": 0.16}  # cm: width of a strand
COVERS = {
    "bald": 0.0,
    "buzz": 0.85,
    "cornrows": 0.55,
    "braids": 0.7,
}  # how far roots hide the scalp; else as `COVER`
COVER = 0.88


@dataclass(frozen=True, kw_only=True)
class Hairdo:
    """What grows on one person.

    Attributes:
        style: of the head's hair. pieces: hair, brows, lashes, beard, those there are.
        hairline, brows, beard: where they grow. shade, brow_shade, beard_shade: [3] linear colours.
    """

    style: str
    pieces: tuple[Hair, ...]
    hairline: Hairline
    brows: Brows
    beard: Beard | None
    shade: Tensor
    brow_shade: Tensor
    beard_shade: Tensor

    def over(self, skin: Surface) -> Surface:
        """The skin with roots between the strands."""
        coat = Undercoat(
            skin=skin.paint,
            hairline=None if self.style == "bald" else self.hairline,
            brows=self.brows,
            beard=self.beard,
            scalp_cover=COVERS.get(self.style, COVER),
            beard_cover=0.0 if self.beard is None else 0.45 if self.beard.length < 0.5 else 0.8,
            shade=self.shade,
            brow_shade=self.brow_shade,
            beard_shade=self.beard_shade,
        )
        return replace(skin, paint=coat)

    def settled(self, torso: Tensor) -> tuple[Hair, ...]:
        """The pieces, hair and beard lying on a torso and its clothes; torso: [..., 3] as of `lie_on`."""
        return tuple(
            lie_on(piece, torso) if piece.name in ("hair", "beard") else piece for piece in self.pieces
        )


def draw_hairdo(scans: Scans, body: Body, seed: int, style: str | None = None) -> Hairdo:
    """The hair of a seed.

    Args:
        style: one of the named styles, or None for one of the person's choice.

    Raises:
        ValueError: a negative seed, or a style of another name.
    """
    skull = load_skull(scans)
    chosen = draw_style(body, Draws(seed, "hair style"))
    style = chosen if style is None else checked(style)
    pigment, face = Draws(seed, "hair colour"), Draws(seed, "facial hair")
    natural, grey = natural_shade(body, pigment)
    shade, left_grey = dyed(natural, grey, body, pigment)
    hairline = draw_hairline(body, Draws(seed, "hairline"))
    brows, beard = draw_brows(body, face), draw_beard(body, face)
    pieces = head_hair(skull, body, style, hairline, shade, left_grey, Draws(seed, "hair"))
    brow_shade, beard_shade = _faded(natural, 0.5 * grey) * 0.75, _faded(natural, min(1.0, 1.2 * grey))
    pieces.append(brow_hairs(skull, body, brows, brow_shade, face))
    pieces.append(lash_hairs(scans, body, not body.male and face.chance(0.6), natural, face))
    if beard is not None:
        pieces.append(beard_hairs(skull, body, beard, natural, grey, face))
    return Hairdo(
        style=style,
        pieces=tuple(pieces),
        hairline=hairline,
        brows=brows,
        beard=beard,
        shade=_faded(shade, left_grey) * 0.55,
        brow_shade=brow_shade,
        beard_shade=beard_shade * 0.8,
    )


def checked(style: str) -> str:
    """The style.

    Raises:
        ValueError: none of `style_names`.
    """
    if style not in style_names():
        raise ValueError(f"hair: expected one of {', '.join(style_names())}, got {style!r}; name one of them")
    return style


def style_names() -> tuple[str, ...]:
    """All named styles."""
    return ("bald", *STYLES, "bun", "ponytail", *ROPES)


def head_hair(
    skull: Skull, body: Body, style: str, hairline: Hairline, shade: Tensor, grey: float, draws: Draws
) -> list[Hair]:
    """The strands on the head in a style, none for a bald one.

    Args:
        shade: [3] linear. grey: share of strands without pigment.
    """
    if style == "bald":
        return []
    density = hairline.density(body)
    if style in ROPES:
        rest, rope = _ropes(skull, body, style, hairline, density, draws)
        colour = strand_colours(shade, grey, rope, 0.16, draws)
        strands = bend(rest, body)
        return [finish(skull, rest, strands, colour, ROPES[style] * body.scale, 0.55, 0.6)]
    if style in ("bun", "ponytail"):
        return _tied(skull, body, style, density, shade, grey, draws)
    coiled = style == "afro" or (style == "crop" and body.origin == "tropics")
    spec = STYLES["afro" if coiled else style]
    roots = scatter(body, skull, density, spec.count, draws)
    if coiled:
        size = 2.0 + 6.5 * draws.uniform() ** 1.4 if style == "afro" else draws.uniform(0.7, 1.8)
        rest, lock = afro(skull, roots, size, draws)
    else:
        rest, lock = loose(skull, body, roots, spec, draws)
    colour = strand_colours(shade, grey, lock, 0.2, draws)
    return [finish(skull, rest, bend(rest, body, roots.place), colour, spec.width * body.scale, spec.gloss)]


def _faded(shade: Tensor, grey: float) -> Tensor:
    return torch.lerp(shade, torch.full_like(shade, 0.42), grey)


def _ropes(
    skull: Skull, body: Body, style: str, hairline: Hairline, density: Tensor, draws: Draws
) -> tuple[Tensor, Tensor]:
    if style == "cornrows":
        return cornrows(skull, body, hairline, draws)
    return (locs if style == "locs" else braids)(skull, body, density, draws)


def _tied(
    skull: Skull, body: Body, style: str, density: Tensor, shade: Tensor, grey: float, draws: Draws
) -> list[Hair]:
    """Hair over the head, and what it is tied to."""
    place = draws.choice(PONYTAILS if style == "ponytail" else BUNS)
    roots: Roots = scatter(body, skull, density, 6500, draws)
    rest, lock = drawn_back(skull, roots, place, draws)
    colour = strand_colours(shade, grey, lock, 0.2, draws)
    hair = [finish(skull, rest, bend(rest, body, roots.place), colour, 0.16 * body.scale, 1.2)]
    if style == "ponytail":
        tail, lock = ponytail(skull, place, draws.chance(0.5), draws)
        elastic = band(place, draws)
        black = torch.full((len(elastic), 3), 0.02)
        hair.append(finish(skull, elastic, bend(elastic, body), black, 0.2 * body.scale, 0.2, 1.0))
    else:
        tail, lock = bun(place, draws, draws.uniform(1.9, 2.6) if body.male else draws.uniform(2.3, 3.5))
    colour = strand_colours(shade, grey, lock, 0.2, draws)
    hair.append(finish(skull, tail, bend(tail, body), colour, 0.17 * body.scale, 1.0))
    return hair


def finish(
    skull: Skull, rest: Tensor, strands: Tensor, colour: Tensor, width: float, gloss: float, tip: float = 0.3
) -> Hair:
    """Strands with normals, widths and depths.

    Args:
        rest, strands: [N, K, 3] centimetres on the mean head, scene units on the person. colour: [N, 3]. width: scene units.
    """
    above, outward = skull(rest)
    piece = Hair(
        strands=strands,
        normals=outward,
        width=torch.full((len(strands),), width),
        colour=colour,
        depth=smoothstep(above, 0.0, 1.2),
        tip=tip,
        gloss=gloss,
    )
    return replace(piece, normals=surface_normals(hair_cloud([piece]), strands, outward))
