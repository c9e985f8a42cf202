"""Heads beside their truth, as one picture."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image

from ...head import Head
from ..exact_heads import ExactHead, angles_degrees

YAWS = (0, 30, 45, 60, 90, 120, 180)
TILE = 128


def draw_sheet(pairs: list[tuple[ExactHead, Head]], path: Path) -> None:
    """Per head two rows: the exact views at seven yaws, and the head's own below them."""
    rows = []
    for exact, head in pairs:
        yaw, pitch = angles_degrees(exact.exact)
        index = [int(((yaw - angle).abs() % 360 + 0.1 * pitch.abs()).argmin()) for angle in YAWS]
        truth = exact.exact.views.rgb[index]
        renders = head.render(exact.exact.camera[index], truth.shape[-1], normals=False).rgb
        rows += [torch.cat(list(F.interpolate(x, (TILE, TILE), mode="area")), -1) for x in (truth, renders)]
    picture = (torch.cat(rows, -2).clamp(0, 1) * 255).round().byte().permute(1, 2, 0)
    Image.fromarray(picture.numpy()).save(path)
