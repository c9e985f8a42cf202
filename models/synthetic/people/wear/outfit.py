"""What one person wears: drawn by a seed, one stream for clothes, glasses, head and jewels each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..parts import Body, Hair, Paint, Surface
from ..scans import Scans
from ..streams import Draws
from . import bands, garments, hats
from .bust import Bust, bare_chest, make_bust
from .hats import Headwear
from .jewels import earrings, necklace
from .scarf import headscarf
from .spectacles import glasses

Garment = Callable[[Bust, Draws], list[Surface]]
GARMENTS: dict[str, tuple[Garment, float, float]] = {  # how often men and women wear it
    "tee": (garments.tee, 3.0, 2.2),
    "shirt": (garments.shirt, 2.4, 1.0),
    "pullover": (garments.pullover, 1.6, 1.4),
    "turtleneck": (garments.turtleneck, 0.5, 0.8),
    "hoodie": (garments.hoodie, 1.3, 0.8),
    "jacket": (garments.jacket, 1.9, 0.9),
    "coat": (garments.coat, 0.9, 0.7),
    "blouse": (garments.blouse, 0.0, 2.4),
    "vest": (garments.vest, 0.3, 0.9),
    "dress": (garments.dress, 0.0, 0.8),
}
HATS: dict[str, tuple[Callable[[Body, Draws], Headwear], float, float]] = {
    "beanie": (hats.beanie, 1.0, 0.8),
    "cap": (hats.cap, 1.3, 0.5),
    "brimmed": (hats.brimmed, 0.6, 0.7),
    "wrap": (bands.wrap, 0.15, 0.7),
    "headband": (bands.headband, 0.15, 0.9),
}
OPEN = ("vest", "dress", "blouse")  # whose necklines show a necklace
HATTED, SCARVED = 0.13, 0.07  # of people with something on the head; of grown women in a headscarf


@dataclass(frozen=True, kw_only=True)
class Wear:
    """What one person wears.

    Attributes:
        surfaces: bare shoulders, clothes, glasses, jewels, what is on the head. headwear: or None.
        torso: [P, 3] scene units, of the shoulders' and the clothes' outside: what long hair lies on.
        names: what was drawn, for sheets.
    """

    surfaces: tuple[Surface, ...]
    headwear: Headwear | None
    torso: Tensor
    names: tuple[str, ...]

    def under(self, pieces: Sequence[Hair]) -> list[Hair]:
        """Hair as it lies below a hat; in a headscarf none but brows, lashes and beard."""
        if self.headwear is None:
            return list(pieces)
        tuck = self.headwear.tuck
        if tuck is None:
            return [piece for piece in pieces if piece.name != "hair"]
        return [
            replace(piece, strands=tuck(piece.strands)) if piece.name == "hair" else piece for piece in pieces
        ]


def draw_wear(body: Body, scans: Scans, seed: int, skin: Callable[[Tensor], Paint]) -> Wear:
    """What the person of a seed wears.

    Args:
        body: bare, of `body.make_body`. scans: the model it is of. skin: paint of the bare shoulders.
    """
    bust = make_bust(body, scans)
    headwear = _headwear(body, bust, seed)
    spectacles = _glasses(body, seed, headwear)
    covered = headwear is not None and headwear.kind == "headscarf"
    name, clothes = _clothes(body, bust, seed, covered)
    torso = [bare_chest(bust, body, scans, skin), *clothes]
    surfaces = [*torso, *spectacles, *_jewels(body, bust, seed, name, covered)]
    names = [name, *(["glasses"] if spectacles else [])]
    if headwear is not None:
        surfaces += headwear.surfaces
        torso += [part for part in headwear.surfaces if part.name == "drape"]
        names.append(headwear.kind)
    return Wear(
        surfaces=tuple(surfaces),
        headwear=headwear,
        torso=torch.cat([part.vertices for part in torso]),
        names=tuple(names),
    )


def _clothes(body: Body, bust: Bust, seed: int, covered: bool) -> tuple[str, list[Surface]]:
    draws = Draws(seed, "clothes")
    grown = body.child == 0.0
    weights = {key: (men if body.male else women) for key, (_, men, women) in GARMENTS.items()}
    if not grown:
        weights |= {"jacket": 0.1, "turtleneck": 0.2, "dress": 0.0, "blouse": 0.6 * weights["blouse"]}
    if covered:  # a scarf has no room for collars, and goes with no bare shoulders
        weights = {"tee": 1.0, "blouse": 1.0, "coat": 0.5}
    name = draws.choice(weights)
    return name, GARMENTS[name][0](bust, draws)


def _headwear(body: Body, bust: Bust, seed: int) -> Headwear | None:
    draws = Draws(seed, "headwear")
    scarf, hat = draws.chance(SCARVED), draws.chance(HATTED)
    if scarf and not body.male and body.child == 0.0:
        return headscarf(body, bust, draws)
    if not hat:
        return None
    name = draws.choice({key: (men if body.male else women) for key, (_, men, women) in HATS.items()})
    return HATS[name][0](body, draws)


def _glasses(body: Body, seed: int, headwear: Headwear | None) -> list[Surface]:
    draws = Draws(seed, "glasses")
    share = 0.08 if body.child > 0 else 0.16 + 0.3 * body.age
    sun = draws.chance(0.035)
    return glasses(body, draws, sun=sun) if draws.chance(share) or sun else []


def _jewels(body: Body, bust: Bust, seed: int, garment: str, covered: bool) -> list[Surface]:
    draws = Draws(seed, "jewels")
    ringed, strung = draws.chance(0.08 if body.male else 0.5), draws.chance(0.06 if body.male else 0.45)
    parts = earrings(body, draws) if ringed and not covered and body.child < 0.6 else []
    if strung and garment in OPEN and not covered:
        parts += necklace(bust, body, draws, low=draws.uniform(-0.5, 2.2), off=0.12)
    return parts
