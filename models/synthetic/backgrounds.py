"""Clutter that a head can stand in front of: what a photo's background does to a network, without photos."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def random_background(size: int, generator: torch.Generator) -> Tensor:
    """One background [3, size, size], sRGB in [0, 1]: a gradient, some of blobs, boxes, stripes and noise, then a blur.

    Args:
        generator: on the CPU; the same state gives the same picture.

    Raises:
        ValueError: a size below 1.
    """
    if size < 1:
        raise ValueError(f"random_background: expected at least 1 pixel, got {size}; choose a positive size")
    picture = _gradient(size, generator)
    for layer in (_noise, _blobs, _stripes, _boxes):
        if _uniform(generator) < 0.6:
            picture = layer(picture, generator)
    return _blur(picture, 0.02 * size * _uniform(generator) ** 2).clamp(0, 1)


def _gradient(size: int, generator: torch.Generator) -> Tensor:
    """From one colour to another, in a random direction."""
    x, y = _grid(size)
    angle = _uniform(generator, 0, 2 * math.pi)
    amount = 0.5 + (math.cos(angle) * x + math.sin(angle) * y) * _uniform(generator, 0.2, 0.7)
    return torch.lerp(_colour(generator), _colour(generator), amount.clamp(0, 1))


def _noise(picture: Tensor, generator: torch.Generator) -> Tensor:
    """Four octaves of value noise, mostly grey."""
    size = picture.shape[-1]
    cells, strength = int(_uniform(generator, 2, 12)), _uniform(generator, 0.05, 0.3)
    for octave in range(4):
        side = min(cells * 2**octave, size)
        grid = torch.randn(1, 1, side, side, generator=generator) + 0.3 * torch.randn(
            1, 3, side, side, generator=generator
        )
        layer = torch.nn.functional.interpolate(grid, (size, size), mode="bicubic", align_corners=False)[0]
        picture = picture + strength * 0.5**octave * layer
    return picture.clamp(0, 1)


def _blobs(picture: Tensor, generator: torch.Generator) -> Tensor:
    """Soft or hard-edged discs, as lamps and leaves out of focus."""
    x, y = _grid(picture.shape[-1])
    for _ in range(int(_uniform(generator, 2, 14))):
        away = torch.hypot(
            x - _uniform(generator, -1, 1), (y - _uniform(generator, -1, 1)) * _uniform(generator, 0.6, 1.6)
        )
        radius, edge = _uniform(generator, 0.05, 0.5), _uniform(generator, 0.01, 0.2)
        cover = ((radius - away) / edge + 0.5).clamp(0, 1) * _uniform(generator, 0.3, 1)
        picture = torch.lerp(picture, _colour(generator).expand_as(picture), cover)
    return picture


def _stripes(picture: Tensor, generator: torch.Generator) -> Tensor:
    """Parallel bars, as blinds, panels and fences."""
    x, y = _grid(picture.shape[-1])
    angle, count = _uniform(generator, 0, math.pi), _uniform(generator, 2, 25)
    wave = torch.sin(
        (math.cos(angle) * x + math.sin(angle) * y) * count * math.pi + _uniform(generator, 0, 6.28)
    )
    cover = (wave * _uniform(generator, 1, 12) + 0.5).clamp(0, 1) * _uniform(generator, 0.1, 0.9)
    return torch.lerp(picture, _colour(generator).expand_as(picture), cover)


def _boxes(picture: Tensor, generator: torch.Generator) -> Tensor:
    """Upright and slightly turned rectangles, as frames, shelves and windows."""
    x, y = _grid(picture.shape[-1])
    for _ in range(int(_uniform(generator, 2, 10))):
        turn = _uniform(generator, -0.2, 0.2)
        u = (x - _uniform(generator, -1, 1)) * math.cos(turn) + y * math.sin(turn)
        v = (y - _uniform(generator, -1, 1)) * math.cos(turn) - x * math.sin(turn)
        inside = (u.abs() < _uniform(generator, 0.05, 0.6)) & (v.abs() < _uniform(generator, 0.05, 0.6))
        picture = torch.lerp(
            picture, _colour(generator).expand_as(picture), inside * _uniform(generator, 0.4, 1)
        )
    return picture


def _blur(picture: Tensor, sigma: float) -> Tensor:
    """Gaussian, edges repeated; nothing below a third of a pixel."""
    if sigma < 0.33:
        return picture
    reach = min(math.ceil(2.5 * sigma), picture.shape[-1] - 1)
    kernel = torch.exp(-(torch.arange(-reach, reach + 1, dtype=picture.dtype) ** 2) / (2 * sigma * sigma))
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, -1)
    canvas = torch.nn.functional.pad(picture[None], [reach] * 4, mode="replicate")
    rows = torch.nn.functional.conv2d(canvas, kernel, groups=3)
    return torch.nn.functional.conv2d(rows, kernel.mT, groups=3)[0]


def _grid(size: int) -> tuple[Tensor, Tensor]:
    """x [1, S] and y [S, 1] in -1 .. 1."""
    line = (torch.arange(size) + 0.5) / size * 2 - 1
    return line[None, :], line[:, None]


def _colour(generator: torch.Generator) -> Tensor:
    """[3, 1, 1]: often greyish, as rooms and skies are."""
    colour = torch.rand(3, 1, 1, generator=generator)
    return torch.lerp(colour.mean().expand_as(colour), colour, _uniform(generator))


def _uniform(generator: torch.Generator, low: float = 0.0, high: float = 1.0) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))
