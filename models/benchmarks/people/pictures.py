"""Pictures of the people that factory 3 draws."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from ...camera import orbit
from ...synthetic.people.backgrounds import draw_background
from ...synthetic.people.person import draw_person
from ...synthetic.people.rendering import render

COLUMNS = 8
YAWS = (0.0, 0.35, -0.5, 0.1, 0.8, -0.2, 0.0, -1.2)  # radians, over the people of a row


def sheet(seeds: Iterable[int], scans: Path | None = None, size: int = 256) -> Tensor:
    """[3, H, W] sRGB: people before backgrounds, eight a row, most seen from near the front.

    Args:
        seeds: a multiple of eight. scans: where the model lies. size: of one, pixels.
    """
    tiles = [
        before_background(seed, YAWS[(i + i // COLUMNS) % COLUMNS], scans, size)
        for i, seed in enumerate(seeds)
    ]
    return torch.cat([torch.cat(tiles[i : i + COLUMNS], -1) for i in range(0, len(tiles), COLUMNS)], -2)


def before_background(seed: int, yaw: float, scans: Path | None, size: int) -> Tensor:
    """[3, size, size] sRGB: a person before a background, seen from `yaw` radians aside."""
    person = draw_person(seed, scans)
    camera = orbit(torch.tensor([yaw]), torch.tensor([0.1 * yaw]))
    return render(person, camera, size, background=draw_background(seed, person.light, size)).rgb[0]


def turntable(seed: int, count: int, scans: Path | None = None, size: int = 256) -> Tensor:
    """[3, H, W] sRGB: one person from `count` yaws; below, distance (near is bright) and normals.

    Args:
        seed: of the person. scans: where the model lies. size: of one picture, pixels.
    """
    yaw = torch.arange(count) * (2 * math.pi / count)
    views = render(draw_person(seed, scans), orbit(yaw, torch.zeros(count)), size)
    near = ((3.0 - views.ray_distance) / 0.6).clamp(0, 1) * (views.mask > 0.5)
    normals = (0.5 + 0.5 * views.normal * torch.tensor([1.0, -1.0, -1.0]).view(3, 1, 1)) * (views.mask > 0.5)
    rows = [views.rgb, near.expand_as(views.rgb), normals]
    half = (count + 1) // 2
    lines = [torch.cat(list(row[part]), -1) for part in (slice(half), slice(half, None)) for row in rows]
    width = max(line.shape[-1] for line in lines)
    return torch.cat([torch.nn.functional.pad(line, (0, width - line.shape[-1])) for line in lines], -2)
