"""A mesh seen from all around."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..camera import orbit
from .mesh import Mesh, is_watertight
from .rasterize import render_mesh

Progress = Callable[
    [int, int, Tensor], None
]  # (frames done, frames in all, the frame [3, S, S]); may raise to interrupt


def frames(
    mesh: Mesh,
    *,
    count: int = 48,
    size: int = 256,
    pitch: float = 0.0,
    background: tuple[float, float, float] = (1.0, 1.0, 1.0),
    supersampling: int = 2,
    callback: Progress | None = None,
) -> Tensor:
    """One turn of the canonical camera around the head, starting in front and moving towards +x.

    Args:
        count: frames of the whole turn. size: pixels a side. pitch: radians.
        supersampling: k x k samples a pixel against jagged edges.

    Returns:
        [count, 3, size, size] sRGB.

    Raises:
        ValueError: no frames, or as `render_mesh`.
    """
    if count < 1:
        raise ValueError(f"turntable: expected at least one frame, got {count}; try 48")
    watertight = is_watertight(mesh)
    pictures = []
    for i in range(count):
        camera = orbit(2 * math.pi * i / count, pitch)
        view = render_mesh(
            mesh, camera, size, background=background, supersampling=supersampling, back_faces=not watertight
        )
        pictures.append(view.rgb)
        if callback is not None:
            callback(i + 1, count, view.rgb)
    return torch.stack(pictures)
