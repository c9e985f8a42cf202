"""Patterns of cloth: how much of its second and third colour shows, over a plane in centimetres."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...noise import noise

Plane = tuple[Tensor, Tensor]  # across and up, [P] centimetres
SLEEVE = 15.5  # cm from the middle: where a sleeve is sewn on
SHOULDER_Z = -1.5  # cm: where front and back are sewn together


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


def _plain(plane: Plane, size: float, seed: int) -> tuple[Tensor, Tensor]:
    return torch.zeros_like(plane[0]), torch.zeros_like(plane[0])


def _bands(coordinate: Tensor, repeat: float, share: float) -> Tensor:
    """[P] 1 within bands that fill a share of each repeat."""
    away = (torch.remainder(coordinate / repeat, 1) - 0.5).abs() * repeat
    return soft(away - share * repeat / 2)


def _stripes(plane: Plane, size: float, seed: int) -> tuple[Tensor, Tensor]:
    share = 0.3 + 0.2 * (seed % 3)
    thin = _bands(plane[1] + size / 2, size, 0.12) if seed % 2 else torch.zeros_like(plane[1])
    return _bands(plane[1], size, share * 0.8), thin


def _pinstripes(plane: Plane, size: float, seed: int) -> tuple[Tensor, Tensor]:
    return 0.6 * _bands(plane[0], size * 0.6, 0.12), torch.zeros_like(plane[0])


def _checks(plane: Plane, size: float, seed: int) -> tuple[Tensor, Tensor]:
    """Gingham or tartan: bands both ways, half strong each."""
    both = (_bands(plane[0], size, 0.5) + _bands(plane[1], size, 0.5)) / 2
    shift = size / 2
    lines = torch.maximum(_bands(plane[0] + shift, size, 0.08), _bands(plane[1] + shift, size, 0.08))
    return both, lines * (0.7 if seed % 2 else 0.0)


def _dots(plane: Plane, size: float, seed: int) -> tuple[Tensor, Tensor]:
    u, v = plane[0] / size, plane[1] / size
    row = v.floor()
    away = torch.hypot(torch.remainder(u + 0.5 * torch.remainder(row, 2), 1) - 0.5, v - row - 0.5)
    return soft((away - 0.24) * size), torch.zeros_like(u)


def _flowers(plane: Plane, size: float, seed: int) -> tuple[Tensor, Tensor]:
    """One blossom or leaf in each cell, shifted and turned at random."""
    u, v = plane[0] / size, plane[1] / size
    cell = (u.floor() + 0.5, v.floor() + 0.5)
    shift_u, shift_v, turn = (noise((cell[0] * 3.7, cell[1] * 5.3), seed + k) for k in (5, 6, 7))
    du, dv = u - cell[0] - 0.22 * shift_u, v - cell[1] - 0.22 * shift_v
    angle, away = torch.atan2(dv, du), torch.hypot(du, dv)
    petals = 0.22 + 0.07 * torch.cos(5 * angle + 9 * turn)
    leaf = (du * torch.cos(6 * turn) + dv * torch.sin(6 * turn) - 0.3).square() + 4 * (
        dv * torch.cos(6 * turn) - du * torch.sin(6 * turn)
    ).square()
    flower = soft((away - petals) * size)
    heart = torch.maximum(soft((away - 0.07) * size), soft((leaf.sqrt() - 0.13) * size) * (1 - flower))
    return flower, heart


def _camouflage(plane: Plane, size: float, seed: int) -> tuple[Tensor, Tensor]:
    first = noise((plane[0] * 0.35, plane[1] * 0.5), seed + 5)
    second = noise((plane[0] * 0.4, plane[1] * 0.6), seed + 6)
    return soft(0.05 - first, 0.06), soft(0.25 - second, 0.06)


def _motif(plane: Plane, size: float, seed: int) -> tuple[Tensor, Tensor]:
    """A print on the breast: a word, or a broad band."""
    u, v = plane[0], plane[1] + 24.6
    if seed % 3 == 0:
        return soft(v.abs() - 1.6), soft((v.abs() - 2.1).abs() - 0.2)
    letter = (u / 1.9).floor()
    du, dv = (u / 1.9 - letter - 0.5) * 1.9, v
    kind = noise((letter * 3.3 + 0.5,), seed + 5)
    bow = (torch.hypot(du, dv * 0.72) - 0.62).abs() - 0.16  # O, C, D
    stem = torch.maximum((du + 0.5).abs() - 0.17, dv.abs() - 1.05)
    bar = torch.maximum((dv - kind).abs() - 0.16, du.abs() - 0.6)
    glyph = torch.where(kind > 0.15, bow, torch.minimum(stem, torch.where(kind < -0.3, bar, bow)))
    return soft(torch.maximum(glyph, u.abs() - 5.7)), torch.zeros_like(u)


def _bands_of_knitting(plane: Plane, size: float, seed: int) -> tuple[Tensor, Tensor]:
    """Rows of zigzags and crosses, as on a Nordic pullover."""
    u, v = plane[0], plane[1]
    zigzag = (torch.remainder(u / 1.6, 1) - 0.5).abs() * 1.6
    row = torch.remainder(v, 5.2)
    return soft((row - 1.2 - zigzag).abs() - 0.3), soft(
        torch.maximum((row - 3.6).abs() - 0.35, zigzag - 0.45)
    )


PATTERNS: dict[str, Callable[[Plane, float, int], tuple[Tensor, Tensor]]] = {
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
