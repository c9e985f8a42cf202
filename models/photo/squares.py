"""Squares of a photo, turned and scaled at will: [K, 2, 3], affine from 0 .. 1 of the square to photo pixels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def cut(rgb: Tensor, squares: Tensor, size: int) -> Tensor:
    """The photo's content of squares [K, 2, 3] as pictures [K, 3, size, size]; grey beyond the photo's edges."""
    u = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    grid = torch.stack([u.expand(size, size), u[:, None].expand(size, size)], -1).reshape(-1, 2)
    extent = torch.tensor([rgb.shape[-1], rgb.shape[-2]], dtype=torch.float64)
    places = (apply(squares, grid) / extent * 2 - 1).reshape(-1, size, size, 2).to(rgb)
    finest = (
        (squares[:, :, 0].norm(dim=-1) / size).clamp_min(1).log2().floor().int().tolist()
    )  # halvings before sampling, per square
    pictures: dict[int, Tensor] = {}
    level = 0
    photo = rgb[None] - 0.5
    for index in sorted(range(len(squares)), key=lambda i: finest[i]):
        while level < finest[index] and min(photo.shape[-2:]) >= 2:
            photo = F.interpolate(photo, scale_factor=0.5, mode="bilinear", antialias=True)
            level += 1
        pictures[index] = F.grid_sample(photo, places[index : index + 1], align_corners=False)[0] + 0.5
    return torch.stack([pictures[index] for index in range(len(squares))])


def apply(squares: Tensor, places: Tensor) -> Tensor:
    """Places [L, 2] or [K, L, 2] in 0 .. 1 of squares [K, 2, 3] -> photo pixels [K, L, 2]."""
    return places @ squares[:, :, :2].mT + squares[:, None, :, 2]


def upright(corner: Tensor, size: Tensor) -> Tensor:
    """Squares [K, 2, 3] with their top left corners [K, 2] and sizes [K], photo pixels."""
    return torch.cat([size[:, None, None] * torch.eye(2, dtype=size.dtype), corner[..., None]], -1)


def sane(squares: Tensor, side: int) -> Tensor:
    """Squares around the same centres, with sizes between 16 pixels and three photos."""
    size = squares[:, :, 0].norm(dim=-1)[:, None, None]
    linear = squares[:, :, :2] * (size.clamp(16, 3 * side) / size)
    centre = squares[:, :, :2].sum(-1, keepdim=True) / 2 + squares[:, :, 2:]
    return torch.cat([linear, centre - linear.sum(-1, keepdim=True) / 2], -1)
