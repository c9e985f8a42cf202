"""Whole garments: cloth, its collar and what is sewn on, chosen by a seed."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..parts import Surface
from ..streams import Draws
from .bust import Bust
from .collars import cord, fold_collar, hood, lapels
from .curves import Curve, armholes, lower, ring, scoop, square, vee
from .cut import cloth_piece, tube
from .fabric import Fabric, draw_colour

CREW = ring(1.3, 0.7, 0.2)
BUTTON_HEIGHTS = (1.2, 6.4)  # cm below the neck's end


def tee(bust: Bust, draws: Draws) -> list[Surface]:
    """A T-shirt or a thin pullover with a ribbed round neck or a V."""
    cloth = draw_fabric(draws, {"plain": 3, "stripes": 1.6, "motif": 1.2, "camouflage": 0.2, "dots": 0.2})
    base = ring(draws.uniform(0.8, 2.2), draws.uniform(0.5, 1.4), 0.2)
    top = vee(draws.uniform(4.0, 6.5), 42.0, base) if draws.chance(0.25) else base
    return ribbed(bust, cloth, top, draws, width=draws.uniform(1.2, 2.2), far=draws.uniform(0.6, 1.1))


def ribbed(
    bust: Bust, cloth: Fabric, top: Curve, draws: Draws, *, width: float, far: float, near: float = 0.3
) -> list[Surface]:
    """Cloth with a knitted band around its neckline."""
    contrast = draws.chance(0.12)
    colours = (cloth.colours[1], *cloth.colours[1:]) if contrast else cloth.colours
    band = replace(cloth, weave="rib", pattern="plain", folds=0.0, colours=colours)
    return [
        cloth_piece(bust, cloth.paint, "clothes", top=lower(top, 0.3), near=near, far=far),
        cloth_piece(
            bust, band.paint, "neckband", top=top, hem=lower(top, width), near=near + 0.14, far=near + 0.5
        ),
    ]


def pullover(bust: Bust, draws: Draws) -> list[Surface]:
    """A knitted pullover over a T-shirt or a shirt, or alone."""
    cloth = draw_fabric(draws, {"plain": 3, "stripes": 0.8, "nordic": 0.7}, weave="knit")
    base = ring(1.6, 1.0, 0.3)
    if draws.chance(0.4):
        under = shirt(bust, draws) if draws.chance(0.6) else tee(bust, draws)
        top = vee(7.0, 46.0, lower(base, 0.6))
        return under + ribbed(bust, cloth, top, draws, width=2.2, far=1.4, near=0.85)
    return ribbed(bust, cloth, base, draws, width=2.4, far=1.4, near=0.5)


def turtleneck(bust: Bust, draws: Draws) -> list[Surface]:
    """A collar that stands up to the chin, folded over once."""
    cloth = draw_fabric(draws, {"plain": 5, "stripes": 0.5}, weave="knit" if draws.chance(0.6) else "plain")
    high = draws.uniform(3.4, 5.2)
    top = ring(-high, -high, -high * 0.9)
    roll = replace(cloth, weave="rib", pattern="plain", folds=0.0)
    return [
        cloth_piece(bust, cloth.paint, "clothes", top=ring(0.2, 0.2, 0.0), near=0.45, far=1.1),
        cloth_piece(bust, roll.paint, "turtleneck", top=top, hem=ring(2.0, 1.5, 1.2), near=0.3, far=0.6),
        cloth_piece(
            bust, roll.paint, "roll", top=lower(top, -0.25), hem=lower(top, high * 0.75), near=0.75, far=0.9
        ),
    ]


def shirt(bust: Bust, draws: Draws) -> list[Surface]:
    """A shirt with a collar, buttoned up or open at the throat."""
    patterns = {"plain": 3, "pinstripes": 0.9, "checks": 1.6, "dots": 0.3, "flowers": 0.4}
    cloth = draw_fabric(draws, patterns, weave="twill" if draws.chance(0.15) else "plain", size=(0.9, 3.4))
    opened = draws.choice({"buttoned": 1, "open": 2})
    depth = 0.0 if opened == "buttoned" else draws.uniform(3.0, 7.0)
    top = vee(depth, 22.0, ring(-0.2, -0.4, -0.5))
    gap = (3.0, 22.0) if depth == 0 else (13.0 + depth, 34.0)
    stand = 2.2 if depth == 0 else 1.7
    stiff = replace(cloth, folds=0.06)
    parts = [cloth_piece(bust, cloth.paint, "clothes", top=top, near=0.35, far=1.0)]
    if depth == 0:
        band = cloth_piece(
            bust,
            stiff.paint,
            "stand",
            top=ring(-stand, -stand, -stand),
            hem=ring(0.5, 0.3, 0.2),
            near=0.3,
            far=0.5,
        )
        parts.append(band)
    leaf = fold_collar(
        bust,
        stiff.paint,
        fold=ring(-stand * 0.8, -stand - 0.3, -stand - 0.3),
        edge=vee(draws.uniform(2.6, 4.2), 70.0, ring(1.2, 1.3, 1.2)),
        gap=gap,
        off=(0.55, 1.45),
    )
    return [*parts, leaf, *buttons(bust, cloth, depth)]


def buttons(bust: Bust, cloth: Fabric, depth: float) -> list[Surface]:
    """Two buttons down the front below an opening, as far as the frame shows them."""
    colour = (
        torch.tensor([0.75, 0.73, 0.7]) if float(cloth.colours[0].mean()) < 0.5 else cloth.colours[0] * 0.3
    )
    paint = Fabric(colours=(colour, colour, colour), weave="leather", folds=0.0).paint
    return [
        disc(bust, paint, 0.0, max(0.6, depth) + height, 1.15, 0.55, "button") for height in BUTTON_HEIGHTS
    ]


def disc(bust: Bust, paint, turn: float, arc: float, off: float, radius: float, name: str) -> Surface:
    """A small round thing on the chest: a button. Args: turn: radians; arc, off, radius: centimetres."""
    column = bust.column(torch.tensor([turn]))
    skin, normal, rest = bust.at(column, bust.row(column, torch.tensor([arc])))
    share = torch.linspace(-0.14, 0.14, 4)[:, None] * bust.scale
    path = skin + normal * (off * bust.scale + share)
    return tube(path, rest.expand(4, 3), torch.full((4,), radius * bust.scale), paint, name, sides=12)


def blouse(bust: Bust, draws: Draws) -> list[Surface]:
    """A blouse without a collar: a slit, a V, a square or a boat neck."""
    patterns = {"plain": 2.5, "flowers": 1.6, "dots": 0.9, "stripes": 0.5}
    cloth = draw_fabric(draws, patterns, weave="satin" if draws.chance(0.45) else "plain", size=(1.2, 3.0))
    kind = draws.choice({"v": 2, "scoop": 1, "boat": 0.7, "square": 0.7})
    base = ring(1.2, 1.4, 0.4)
    tops = {
        "v": vee(draws.uniform(4.5, 7.5), 50.0, base),
        "scoop": scoop(draws.uniform(2.0, 4.5), 55.0, base),
        "boat": ring(1.2, 4.6, 1.0),
        "square": square(draws.uniform(2.5, 4.5), 44.0, ring(1.2, 3.0, 1.0)),
    }
    return [cloth_piece(bust, cloth.paint, "clothes", top=tops[kind], near=0.3, far=1.0)]


def vest(bust: Bust, draws: Draws) -> list[Surface]:
    """A vest top with broad straps."""
    cloth = draw_fabric(draws, {"plain": 4, "stripes": 0.7, "flowers": 0.4})
    wide = draws.uniform(2.8, 4.5)
    top = scoop(draws.uniform(2.5, 4.5), 50.0, ring(2.4, 2.6, 2.4))
    return [cloth_piece(bust, cloth.paint, "clothes", top=top, hem=armholes(2.6 + wide), near=0.22, far=0.4)]


def dress(bust: Bust, draws: Draws) -> list[Surface]:
    """A dress that leaves the shoulders free, on thin straps or on none."""
    cloth = draw_fabric(
        draws, {"plain": 2, "flowers": 1.4, "dots": 0.6}, weave="satin" if draws.chance(0.4) else "plain"
    )
    deep = draws.uniform(3.4, 5.2)
    top = vee(draws.uniform(0.0, 2.0), 40.0, ring(deep, 8.6, deep + 3.0))
    parts = [cloth_piece(bust, cloth.paint, "clothes", top=top, near=0.25, far=0.45)]
    if draws.chance(0.7):
        parts += [strap(bust, cloth, side, deep + 1.0) for side in (1.0, -1.0)]
    return parts


def strap(bust: Bust, cloth: Fabric, side: float, low: float) -> Surface:
    """A thin strap over a shoulder, from `low` centimetres in front to the back."""
    share = torch.linspace(0, 1, 40)
    turn = side * (42.0 + 104.0 * share) * (torch.pi / 180)
    arc = low - (low - 4.0) * torch.sin(torch.pi * share).clamp_min(0) ** 0.7 + 3.0 * share
    column = bust.column(turn)
    skin, normal, rest = bust.at(column, bust.row(column, arc))
    path = skin + normal * (0.12 * bust.scale)
    width = torch.full_like(share, 0.5 * bust.scale)
    return tube(path, rest, width, cloth.paint, "strap", flat=(normal, 0.3))


def hoodie(bust: Bust, draws: Draws) -> list[Surface]:
    """A sweatshirt with a hood on the back and two cords."""
    cloth = draw_fabric(draws, {"plain": 5, "motif": 1.0, "camouflage": 0.2}, weave="fleece")
    under = tee(bust, draws)
    top = vee(2.0, 30.0, ring(1.6, 1.2, 0.6))
    pale = draws.chance(0.6)
    string = torch.tensor([0.8, 0.78, 0.74]) if pale else cloth.colours[0] * 0.5
    lace = Fabric(colours=(string, string, string), folds=0.0)
    length = draws.uniform(5.0, 9.0)
    return [
        *under,
        cloth_piece(bust, cloth.paint, "clothes", top=top, near=0.9, far=1.8),
        hood(bust, replace(cloth, folds=0.5).paint, draws.uniform(2.0, 3.2)),
        *(cord(bust, lace.paint, side, length * draws.uniform(0.85, 1.1), 1.95) for side in (1.0, -1.0)),
    ]


def jacket(bust: Bust, draws: Draws) -> list[Surface]:
    """A jacket with lapels over a shirt or a T-shirt."""
    under = shirt(bust, draws) if draws.chance(0.6) else tee(bust, draws)
    weave = draws.choice({"plain": 3, "twill": 0.6, "leather": 0.5})
    cloth = draw_fabric(draws, {"plain": 4, "pinstripes": 0.8, "checks": 0.6}, weave=weave, size=(1.5, 3.0))
    cloth = replace(cloth, colours=tuple(colour * 0.7 for colour in cloth.colours), folds=0.2)
    opening = vee(13.0, 62.0, ring(0.2, 0.2, -0.9))
    stiff = replace(cloth, folds=0.05)
    body = cloth_piece(bust, cloth.paint, "jacket", top=opening, near=1.15, far=1.7)
    leaf = fold_collar(
        bust,
        stiff.paint,
        fold=ring(-0.4, -1.0, -1.9),
        edge=ring(2.6, 2.0, 2.2),
        gap=(48.0, 58.0),
        off=(1.25, 2.1),
    )
    return [*under, body, *lapels(bust, stiff.paint, opening, width=draws.uniform(2.6, 4.2), off=1.6), leaf]


def coat(bust: Bust, draws: Draws) -> list[Surface]:
    """A quilted or plain jacket with a collar that stands, zipped up."""
    weave = draws.choice({"plain": 2, "satin": 1.5, "fleece": 0.7})
    cloth = draw_fabric(draws, {"plain": 1}, weave=weave)
    quilting = draws.uniform(0.5, 1.0) if draws.chance(0.6) else 0.0
    high = draws.uniform(2.2, 3.6)
    top = ring(-high * 0.8, -high, -high)
    edge = replace(cloth, folds=0.1)
    return [
        cloth_piece(
            bust, cloth.paint, "clothes", top=ring(0.4, 0.3, 0.0), near=1.0, far=2.0, quilting=quilting
        ),
        cloth_piece(bust, edge.paint, "stand", top=top, hem=ring(1.2, 1.0, 0.8), near=0.9, far=1.4),
    ]


def draw_fabric(
    draws: Draws, patterns: dict[str, float], *, weave: str = "plain", size: tuple[float, float] = (1.4, 4.0)
) -> Fabric:
    """A cloth with one of some patterns, by their weights; size: range of the pattern's repeat, centimetres."""
    colours: tuple[Tensor, ...] = tuple(draw_colour(draws) for _ in range(3))
    pattern = draws.choice(patterns)
    if pattern != "plain" and float((colours[0] - colours[1]).abs().mean()) < 0.08:
        colours = (
            colours[0],
            1 - 0.8 * (1 - colours[1]) if float(colours[0].mean()) < 0.3 else colours[1] * 0.2,
            colours[2],
        )
    return Fabric(
        colours=(colours[0], colours[1], colours[2]),
        pattern=pattern,
        size=draws.uniform(*size),
        weave=weave,
        folds=draws.uniform(0.15, 0.35),
        seed=int(draws.uniform(0, 1000)),
    )
