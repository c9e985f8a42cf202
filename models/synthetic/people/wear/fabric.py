"""Cloth: colours, patterns, weaves and folds, painted in rest coordinates (centimetres)."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...noise import noise
from ..parts import Paint
from ..streams import Draws

Field = Callable[[Tensor], Tensor]  # [P, 3] centimetres -> [P]
SLEEVE = 15.5  # cm from the middle: where a sleeve is sewn on
SHOULDER_Z = -1.5  # cm: where front and back are sewn together
COLOURS = {  # sRGB of clothes as shops sell them, and how often
    (0.93, 0.93, 0.91): 1.5,
    (0.10, 0.10, 0.11): 1.7,
    (0.24, 0.25, 0.27): 1.1,
    (0.58, 0.58, 0.58): 1.0,
    (0.11, 0.15, 0.27): 1.7,
    (0.22, 0.33, 0.52): 1.0,
    (0.55, 0.68, 0.80): 0.8,
    (0.77, 0.70, 0.58): 0.8,
    (0.52, 0.41, 0.30): 0.5,
    (0.34, 0.36, 0.22): 0.7,
    (0.20, 0.35, 0.27): 0.5,
    (0.42, 0.12, 0.16): 0.7,
    (0.73, 0.16, 0.16): 0.6,
    (0.86, 0.62, 0.64): 0.5,
    (0.78, 0.58, 0.20): 0.4,
    (0.20, 0.48, 0.50): 0.5,
    (0.46, 0.36, 0.54): 0.3,
    (0.90, 0.48, 0.26): 0.25,
}


@dataclass(frozen=True, kw_only=True)
class Fabric:
    """One cloth.

    Attributes:
        colours: three, linear RGB. pattern: a name in `PATTERNS`; size: its repeat in centimetres.
        weave: "plain", "knit", "rib", "twill", "fleece", "satin" or "leather". folds: slope of the folds, 0 = none.
        seed: of its noise. wound: whether patterns run round the head instead of across the chest.
    """

    colours: tuple[Tensor, Tensor, Tensor]
    pattern: str = "plain"
    size: float = 2.0
    weave: str = "plain"
    folds: float = 0.25
    seed: int = 0
    wound: bool = False

    def paint(self, rest: Tensor) -> Paint:
        """What rest points [P, 3] look like."""
        first, second, third = (colour.to(rest) for colour in self.colours)
        one, two = PATTERNS[self.pattern](head_plane(rest) if self.wound else pattern_plane(rest), self)
        if self.pattern == "motif":
            one = one * (rest[:, 2] > 0)
        albedo = torch.lerp(first.expand(len(rest), 3), second, one[:, None])
        albedo = torch.lerp(albedo, third, two[:, None])
        tone, fibre = self._tone(rest)
        albedo = (albedo * torch.exp(tone[:, None] + fibre[:, None])).clamp(0.004, 0.9)
        rough, shine, wrap = SURFACES[self.weave]
        size = len(rest)
        return Paint(
            albedo=albedo,
            roughness=rest.new_full((size,), rough),
            specular=rest.new_full((size,), shine),
            scatter=rest.new_full((size, 3), wrap),
            bump=self.bump(rest),
            opacity=rest.new_ones(size),
        )

    def _tone(self, rest: Tensor) -> tuple[Tensor, Tensor]:
        """Log-brightness [P] that varies slowly, and from thread to thread."""
        slow = 0.05 * noise(tuple((rest * 0.25).unbind(-1)), self.seed)
        strength = {"knit": 0.12, "twill": 0.16, "fleece": 0.1}.get(self.weave, 0.05)
        return slow, strength * noise(tuple((rest * 5.0).unbind(-1)), self.seed + 1) + WEAVES[self.weave](
            rest, 1
        )

    def bump(self, rest: Tensor) -> Tensor:
        """[P, 3] gradient of folds and weave."""
        total = gradient(lambda p: WEAVES[self.weave](p, 0), rest, 0.03)
        if self.folds > 0:
            total = total + self.folds * gradient(self._fold_height, rest, 0.12)
        return total

    def _fold_height(self, rest: Tensor) -> Tensor:
        """[P] centimetres: folds that hang, bent by a slow noise, and creases between them."""
        x, y, z = rest.unbind(-1)
        bend = 1.6 * noise((0.16 * x, 0.16 * y, 0.16 * z), self.seed + 2)
        pull = 0.35 * (x.abs() - 6.0)  # they run down and towards the arms
        long = noise((0.45 * x + bend, 0.13 * (y + pull), 0.45 * z + bend), self.seed + 3)
        crease = 1 - noise((0.3 * x + bend, 0.4 * (y + pull), 0.3 * z), self.seed + 4).abs()
        return 0.8 * long + 0.55 * crease.square()


def gradient(height: Field, rest: Tensor, step: float) -> Tensor:
    """[P, 3] of a height in centimetres, by forward differences of `step` centimetres."""
    moves = torch.eye(3, dtype=rest.dtype, device=rest.device) * step
    probes = torch.cat([rest, *(rest + move for move in moves)])
    middle, *ahead = height(probes).chunk(4)
    return (torch.stack(ahead, -1) - middle[:, None]) / step


def pattern_plane(rest: Tensor) -> tuple[Tensor, Tensor]:
    """Across and up [P] in centimetres: seen from the front on the chest, from the side on sleeves.

    Depth counts as height, too, or patterns would be stretched on top of the shoulders; the fold is the shoulders' seam.
    """
    x, y, z = rest.unbind(-1)
    return torch.where(x.abs() > SLEEVE, z + SLEEVE, x), y - 0.6 * (z - SHOULDER_Z).abs()


def head_plane(rest: Tensor) -> tuple[Tensor, Tensor]:
    """Around the head and up [P] in centimetres."""
    x, y, z = rest.unbind(-1)
    return torch.atan2(x, z) * 8.5, y


def soft(distance: Tensor, width: float = 0.05) -> Tensor:
    """[P] 1 inside (distance < 0), 0 outside, soft by `width` centimetres."""
    return torch.sigmoid(-distance / (width / 2))


def _plain(plane: tuple[Tensor, Tensor], cloth: Fabric) -> tuple[Tensor, Tensor]:
    return torch.zeros_like(plane[0]), torch.zeros_like(plane[0])


def _bands(coordinate: Tensor, repeat: float, share: float) -> Tensor:
    """[P] 1 within bands that fill a share of each repeat."""
    away = (torch.remainder(coordinate / repeat, 1) - 0.5).abs() * repeat
    return soft(away - share * repeat / 2)


def _stripes(plane: tuple[Tensor, Tensor], cloth: Fabric) -> tuple[Tensor, Tensor]:
    share = 0.3 + 0.2 * (cloth.seed % 3)
    thin = (
        _bands(plane[1] + cloth.size / 2, cloth.size, 0.12) if cloth.seed % 2 else torch.zeros_like(plane[1])
    )
    return _bands(plane[1], cloth.size, share * 0.8), thin


def _pinstripes(plane: tuple[Tensor, Tensor], cloth: Fabric) -> tuple[Tensor, Tensor]:
    return 0.6 * _bands(plane[0], cloth.size * 0.6, 0.12), torch.zeros_like(plane[0])


def _checks(plane: tuple[Tensor, Tensor], cloth: Fabric) -> tuple[Tensor, Tensor]:
    """Gingham or tartan: bands both ways, half strong each."""
    both = (_bands(plane[0], cloth.size, 0.5) + _bands(plane[1], cloth.size, 0.5)) / 2
    shift = cloth.size / 2
    lines = torch.maximum(
        _bands(plane[0] + shift, cloth.size, 0.08), _bands(plane[1] + shift, cloth.size, 0.08)
    )
    return both, lines * (0.7 if cloth.seed % 2 else 0.0)


def _dots(plane: tuple[Tensor, Tensor], cloth: Fabric) -> tuple[Tensor, Tensor]:
    u, v = plane[0] / cloth.size, plane[1] / cloth.size
    row = v.floor()
    away = torch.hypot(torch.remainder(u + 0.5 * torch.remainder(row, 2), 1) - 0.5, v - row - 0.5)
    return soft((away - 0.24) * cloth.size), torch.zeros_like(u)


def _flowers(plane: tuple[Tensor, Tensor], cloth: Fabric) -> tuple[Tensor, Tensor]:
    """One blossom or leaf in each cell, shifted and turned at random."""
    u, v = plane[0] / cloth.size, plane[1] / cloth.size
    cell = (u.floor() + 0.5, v.floor() + 0.5)
    shift_u, shift_v, turn = (noise((cell[0] * 3.7, cell[1] * 5.3), cloth.seed + k) for k in (5, 6, 7))
    du, dv = u - cell[0] - 0.22 * shift_u, v - cell[1] - 0.22 * shift_v
    angle, away = torch.atan2(dv, du), torch.hypot(du, dv)
    petals = 0.22 + 0.07 * torch.cos(5 * angle + 9 * turn)
    leaf = (du * torch.cos(6 * turn) + dv * torch.sin(6 * turn) - 0.3).square() + 4 * (
        dv * torch.cos(6 * turn) - du * torch.sin(6 * turn)
    ).square()
    flower = soft((away - petals) * cloth.size)
    heart = torch.maximum(
        soft((away - 0.07) * cloth.size), soft((leaf.sqrt() - 0.13) * cloth.size) * (1 - flower)
    )
    return flower, heart


def _camouflage(plane: tuple[Tensor, Tensor], cloth: Fabric) -> tuple[Tensor, Tensor]:
    first = noise((plane[0] * 0.35, plane[1] * 0.5), cloth.seed + 5)
    second = noise((plane[0] * 0.4, plane[1] * 0.6), cloth.seed + 6)
    return soft(0.05 - first, 0.06), soft(0.25 - second, 0.06)


def _motif(plane: tuple[Tensor, Tensor], cloth: Fabric) -> tuple[Tensor, Tensor]:
    """A print on the breast: a word, or a broad band."""
    u, v = plane[0], plane[1] + 24.6
    if cloth.seed % 3 == 0:
        return soft(v.abs() - 1.6), soft((v.abs() - 2.1).abs() - 0.2)
    letter = (u / 1.9).floor()
    du, dv = (u / 1.9 - letter - 0.5) * 1.9, v
    kind = noise((letter * 3.3 + 0.5,), cloth.seed + 5)
    bow = (torch.hypot(du, dv * 0.72) - 0.62).abs() - 0.16  # O, C, D
    stem = torch.maximum((du + 0.5).abs() - 0.17, dv.abs() - 1.05)
    bar = torch.maximum((dv - kind).abs() - 0.16, du.abs() - 0.6)
    glyph = torch.where(kind > 0.15, bow, torch.minimum(stem, torch.where(kind < -0.3, bar, bow)))
    return soft(torch.maximum(glyph, u.abs() - 5.7)), torch.zeros_like(u)


def _bands_of_knitting(plane: tuple[Tensor, Tensor], cloth: Fabric) -> tuple[Tensor, Tensor]:
    """Rows of zigzags and crosses, as on a Nordic pullover."""
    u, v = plane[0], plane[1]
    zigzag = (torch.remainder(u / 1.6, 1) - 0.5).abs() * 1.6
    row = torch.remainder(v, 5.2)
    return soft((row - 1.2 - zigzag).abs() - 0.3), soft(
        torch.maximum((row - 3.6).abs() - 0.35, zigzag - 0.45)
    )


PATTERNS: dict[str, Callable[[tuple[Tensor, Tensor], Fabric], tuple[Tensor, Tensor]]] = {
    "plain": _plain,
    "stripes": _stripes,
    "pinstripes": _pinstripes,
    "checks": _checks,
    "dots": _dots,
    "flowers": _flowers,
    "camouflage": _camouflage,
    "motif": _motif,
    "nordic": _bands_of_knitting,
}


def _smooth(rest: Tensor, tone: int) -> Tensor:
    return torch.zeros_like(rest[:, 0])


def _knit(rest: Tensor, tone: int) -> Tensor:
    """Stitches like small v's; height in centimetres, or their shade."""
    across = pattern_plane(rest)[0] / 0.62
    lean = (torch.remainder(across, 1) - 0.5).abs()
    row = torch.sin(2 * math.pi * (rest[:, 1] / 0.5 + lean))
    return row * (0.07 if tone else 0.035) - (0.25 if tone else 0.08) * (lean - 0.25)


def _rib(rest: Tensor, tone: int) -> Tensor:
    """Ridges that run up and down around the neck."""
    turn = torch.atan2(rest[:, 0], rest[:, 2] + 1.7)
    wave = torch.cos(turn * 64)
    return wave * (0.1 if tone else 0.04)


def _twill(rest: Tensor, tone: int) -> Tensor:
    """Denim's diagonals."""
    wave = torch.sin(2 * math.pi * (pattern_plane(rest)[0] + rest[:, 1]) / 0.42)
    return wave * (0.06 if tone else 0.006)


def _fleece(rest: Tensor, tone: int) -> Tensor:
    return (0.05 if tone else 0.04) * noise(tuple((rest * 3.1).unbind(-1)), 11)


def _leather(rest: Tensor, tone: int) -> Tensor:
    return -(0.06 if tone else 0.025) * noise(tuple((rest * 4.0).unbind(-1)), 12).abs()


WEAVES: dict[str, Callable[[Tensor, int], Tensor]] = {
    "plain": _smooth,
    "satin": _smooth,
    "knit": _knit,
    "rib": _rib,
    "twill": _twill,
    "fleece": _fleece,
    "leather": _leather,
}
SURFACES = {  # roughness, specular, wrap
    "plain": (0.85, 0.3, 0.06),
    "satin": (0.42, 0.8, 0.05),
    "knit": (0.95, 0.2, 0.14),
    "rib": (0.92, 0.25, 0.1),
    "twill": (0.85, 0.3, 0.05),
    "fleece": (0.98, 0.15, 0.18),
    "leather": (0.38, 1.0, 0.0),
}


def draw_colour(draws: Draws) -> Tensor:
    """[3] linear RGB of some cloth, near one in `COLOURS`."""
    number = draws.choice({str(k): weight for k, weight in enumerate(COLOURS.values())})
    hue, light, saturation = colorsys.rgb_to_hls(*list(COLOURS)[int(number)])
    light = min(0.95, max(0.04, light * draws.uniform(0.85, 1.12)))
    shade = colorsys.hls_to_rgb(hue + draws.normal(0, 0.015), light, saturation * draws.uniform(0.75, 1.15))
    return torch.tensor(shade, dtype=torch.float32).clamp(0, 1) ** 2.2
