"""What a person can stand in front of, out of focus: studios, rooms, streets, parks and skies, in the light's own colours."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .light import Light
from .shading import exposed
from .streams import Draws

PLACES = {
    "window": {"room": 0.6, "wall": 0.3, "studio": 0.1},
    "studio": {"studio": 0.85, "wall": 0.15},
    "sun": {"park": 0.5, "street": 0.35, "sky": 0.15},
    "overcast": {"park": 0.4, "street": 0.4, "sky": 0.2},
    "lamp": {"room": 0.5, "wall": 0.2, "lights": 0.3},
    "flash": {"wall": 0.5, "room": 0.4, "lights": 0.1},
    "rim": {"studio": 0.4, "lights": 0.4, "street": 0.2},
    "evening": {"lights": 0.5, "street": 0.3, "sky": 0.2},
}
COARSE = 96  # pixels a side of what is painted before it is blurred and enlarged


def draw_background(seed: int, light: Light, size: int) -> Tensor:
    """[3, S, S] sRGB: a place of a seed that suits the light.

    Raises:
        ValueError: a negative seed, or a size below 1.
    """
    if size < 1:
        raise ValueError(f"draw_background: expected at least 1 pixel, got {size}; choose a positive size")
    draws = Draws(seed, "background")
    picture, blur = _PAINTERS[draws.choice(PLACES[light.name])](draws)
    colour = light.ambient + sum(lamp.colour for lamp in light.soft) * 0.5 + light.lamps[0].colour * 0.35
    colour = 0.6 * colour.mean() + 0.4 * colour  # walls have colours of their own
    blurred = _blur(picture.clamp_min(0), blur * COARSE)
    whole = F.interpolate(blurred[None], (size, size), mode="bicubic", align_corners=False)[0]
    x, y = _grid(size)
    vignette = 1 - draws.uniform(0.0, 0.35) * (x.square() + y.square()) / 2
    whole = whole.clamp_min(0) * colour[:, None, None] * vignette
    fine = torch.from_numpy(draws.generator.standard_normal((1, size, size))).float()
    return (exposed(whole) + 0.006 * fine).clamp(0, 1)


def _studio(draws: Draws) -> tuple[Tensor, float]:
    """Paper, lit by a spot."""
    x, y = _grid(COARSE)
    colour = _tint(draws, 0.25) * draws.choice_of([0.06, 0.2, 0.45, 0.8])
    away = torch.hypot(x - draws.uniform(-0.5, 0.5), y - draws.uniform(-0.5, 0.4))
    shade = draws.uniform(0.25, 1.0) + draws.uniform(0.2, 0.9) * torch.exp(
        -((away / draws.uniform(0.6, 1.3)) ** 2)
    )
    return colour * shade * (1 + 0.1 * _clouds(draws, 4)), 0.03


def _wall(draws: Draws) -> tuple[Tensor, float]:
    """A wall, plain, of brick or of boards."""
    x, y = _grid(COARSE)
    base = _tint(draws, 0.35) * draws.uniform(0.15, 0.75)
    picture = base * (1 + 0.12 * _clouds(draws, 7) + 0.25 * draws.uniform(-1, 1) * x)
    kind = draws.choice({"plain": 0.5, "brick": 0.25, "boards": 0.25})
    if kind == "brick":
        rows = (y * 11).floor()
        joint = torch.minimum(
            (y * 11 - rows - 0.5).abs() * -1 + 0.5, 0.5 - ((x * 5 + rows % 2 / 2) % 1 - 0.5).abs()
        )
        picture = picture * torch.where(joint < 0.09, 1.5, 0.9 + 0.2 * _clouds(draws, 24).clamp(-1, 1))
    elif kind == "boards":
        picture = picture * (0.75 + 0.25 * ((x * 6) % 1 > 0.06)) * (1 + 0.15 * _clouds(draws, 3))
    return picture, draws.uniform(0.006, 0.03)


def _room(draws: Draws) -> tuple[Tensor, float]:
    """A wall with windows, pictures, shelves and a floor."""
    x, y = _grid(COARSE)
    picture = _tint(draws, 0.3) * draws.uniform(0.15, 0.6) * (1 + 0.3 * draws.uniform(-1, 1) * x)
    picture = picture.expand(3, COARSE, COARSE)
    for _ in range(int(draws.uniform(2, 9))):
        bright = draws.uniform(1.2, 3.0) if draws.chance(0.25) else draws.uniform(0.03, 0.6)
        inside = _box(draws, x, y, draws.uniform(0.08, 0.45), draws.uniform(0.1, 0.7))
        picture = torch.lerp(picture, (_tint(draws, 0.4) * bright).expand_as(picture), inside)
    floor = (y > draws.uniform(0.5, 1.2)).float().expand(1, COARSE, COARSE)
    return torch.lerp(
        picture, _tint(draws, 0.3) * draws.uniform(0.1, 0.4) + 0 * picture, floor
    ), draws.uniform(0.02, 0.06)


def _street(draws: Draws) -> tuple[Tensor, float]:
    """Houses with windows under a sky, a pavement below."""
    x, y = _grid(COARSE)
    sky = torch.tensor([0.75, 0.9, 1.1]).view(3, 1, 1) * draws.uniform(0.8, 1.5)
    picture = sky.expand(3, COARSE, COARSE).clone()
    left = -1.2
    while left < 1.0:
        width = draws.uniform(0.25, 0.9)
        house = (x >= left) & (x < left + width) & (y > draws.uniform(-1.3, 0.1))
        front = _tint(draws, 0.35) * draws.uniform(0.1, 0.6)
        windows = (((x * draws.uniform(4, 8)) % 1 < 0.5) & ((y * draws.uniform(3, 6)) % 1 < 0.55)).float()
        picture = torch.where(house, front * (1 - 0.6 * windows * draws.uniform()), picture)
        left += width
    ground = (y > draws.uniform(0.35, 0.9)).expand(COARSE, COARSE)
    return torch.where(ground, torch.full_like(picture, draws.uniform(0.15, 0.4)), picture), draws.uniform(
        0.025, 0.06
    )


def _park(draws: Draws) -> tuple[Tensor, float]:
    """Leaves with sky between them, grass below."""
    x, y = _grid(COARSE)
    leaves = torch.tensor([0.16, 0.26, 0.07]) * torch.tensor(
        [draws.uniform(0.6, 2.2), 1.0, draws.uniform(0.5, 1.3)]
    )
    shade = (0.55 * _clouds(draws, 9) + 0.4 * _clouds(draws, 22) + 0.4 * _clouds(draws, 4)).exp()
    picture = leaves.view(3, 1, 1) * shade * draws.uniform(0.4, 1.2)
    gaps = (1.6 * _clouds(draws, 12) + _clouds(draws, 5) - 1.6 - 0.8 * y).clamp(0, 1)
    picture = torch.lerp(picture, torch.tensor([0.9, 1.0, 1.1]).view(3, 1, 1).expand_as(picture) * 1.3, gaps)
    grass = torch.tensor([0.22, 0.3, 0.09]).view(3, 1, 1) * draws.uniform(0.5, 1.3) + 0 * picture
    return torch.lerp(
        picture, grass, ((y - draws.uniform(0.3, 1.2)) / 0.15).clamp(0, 1).expand(1, COARSE, COARSE)
    ), draws.uniform(0.025, 0.05)


def _sky(draws: Draws) -> tuple[Tensor, float]:
    """A sky over a far horizon: hills, the sea."""
    x, y = _grid(COARSE)
    blue = torch.tensor([0.35, 0.55, 0.95]).view(3, 1, 1)
    share = ((y + 1) / 2).clamp(0, 1)
    picture = torch.lerp(blue.expand(3, COARSE, COARSE), torch.ones(3, COARSE, COARSE), 0.3 + 0.6 * share)
    picture = picture + 0.5 * (_clouds(draws, 5) + 0.5 * _clouds(draws, 11)).clamp_min(0)
    ridge = draws.uniform(0.2, 1.1) + 0.1 * torch.sin(x * draws.uniform(1, 5) + draws.uniform(0, 6))
    land = ((y - ridge) / 0.03).clamp(0, 1)
    return torch.lerp(picture, _tint(draws, 0.4) * 0.35 + 0 * picture, land.expand(1, COARSE, COARSE)), 0.02


def _lights(draws: Draws) -> tuple[Tensor, float]:
    """A dark street or hall with lamps out of focus."""
    x, y = _grid(COARSE)
    picture = _tint(draws, 0.5) * 0.06 * (1 + 0.5 * _clouds(draws, 5)) * (1.2 - 0.5 * y)
    picture = picture.expand(3, COARSE, COARSE)
    for _ in range(int(draws.uniform(6, 28))):
        away = torch.hypot(x - draws.uniform(-1, 1), y - draws.uniform(-1, 0.6))
        disc = ((draws.uniform(0.04, 0.14) - away) / 0.02).clamp(0, 1)
        picture = picture + disc * _tint(draws, 0.8) * draws.uniform(0.1, 0.9)
    return picture, draws.uniform(0.008, 0.02)


_PAINTERS = {
    "studio": _studio,
    "wall": _wall,
    "room": _room,
    "street": _street,
    "park": _park,
    "sky": _sky,
    "lights": _lights,
}


def _grid(size: int) -> tuple[Tensor, Tensor]:
    """x [1, S] and y [S, 1] in -1 .. 1."""
    line = (torch.arange(size) + 0.5) / size * 2 - 1
    return line[None, :], line[:, None]


def _tint(draws: Draws, colourful: float) -> Tensor:
    """[3, 1, 1] linear, mean 1: mostly greyish."""
    colour = torch.from_numpy(draws.generator.uniform(0, 1, 3)).float()
    colour = torch.lerp(torch.ones(3), colour / colour.mean(), colourful * draws.uniform())
    return colour.view(3, 1, 1)


def _box(draws: Draws, x: Tensor, y: Tensor, width: float, height: float) -> Tensor:
    """[1, S, S] 1 inside an upright rectangle."""
    inside = ((x - draws.uniform(-1, 1)).abs() < width) & ((y - draws.uniform(-1, 1)).abs() < height)
    return inside.float()[None]


def _clouds(draws: Draws, cells: int) -> Tensor:
    """[S, S] smooth noise, about normal."""
    grid = torch.from_numpy(draws.generator.standard_normal((1, 1, cells, cells))).float()
    return F.interpolate(grid, (COARSE, COARSE), mode="bicubic", align_corners=False)[0, 0]


def _blur(picture: Tensor, sigma: float) -> Tensor:
    """[3, S, S] under a disc, as lenses blur, edges repeated."""
    reach = math.ceil(2 * sigma)
    if reach < 1:
        return picture
    line = torch.arange(-reach, reach + 1.0)
    disc = ((2 * sigma - torch.hypot(line[None, :], line[:, None])) + 0.5).clamp(0, 1)
    kernel = (disc / disc.sum()).expand(3, 1, -1, -1)
    padded = F.pad(picture.expand(3, COARSE, COARSE)[None], [reach] * 4, mode="replicate")
    return F.conv2d(padded, kernel, groups=3)[0]
