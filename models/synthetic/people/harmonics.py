"""Spherical harmonics up to degree 2: light from everywhere, and how much of it reaches a point.

Ramamoorthi and Hanrahan, "An Efficient Representation for Irradiance Environment Maps", SIGGRAPH 2001; Sloan, Kautz and Snyder,
"Precomputed Radiance Transfer", SIGGRAPH 2002.
"""

from __future__ import annotations

import torch
from torch import Tensor

COSINE = (1.0, 2 / 3, 2 / 3, 2 / 3, 1 / 4, 1 / 4, 1 / 4, 1 / 4, 1 / 4)  # a clamped cosine's, over pi


def basis(directions: Tensor) -> Tensor:
    """Real harmonics [..., 9] of unit directions [..., 3]."""
    x, y, z = directions.unbind(-1)
    values = [
        torch.full_like(x, 0.282095),
        0.488603 * y,
        0.488603 * z,
        0.488603 * x,
        1.092548 * x * y,
        1.092548 * y * z,
        0.946176 * z * z - 0.315392,
        1.092548 * x * z,
        0.546274 * (x * x - y * y),
    ]
    return torch.stack(values, -1)


def open_transfer(normals: Tensor) -> Tensor:
    """[..., 9]: what of a sky's coefficients reaches an unoccluded point, over pi; normals [..., 3]."""
    return basis(normals) * normals.new_tensor(COSINE)


def lobe(direction: Tensor, colour: Tensor) -> Tensor:
    """Coefficients [9, 3] of a broad light (a window, a softbox) that gives a surface which faces it the irradiance `colour` pi.

    Args:
        direction: [3] unit, towards the light. colour: [3] linear.
    """
    window = direction.new_tensor([1.0] + [0.8] * 3 + [0.4] * 5)
    shape = basis(direction) * window
    facing = (shape * open_transfer(direction)).sum()
    return shape[:, None] * colour / facing


def uniform(colour: Tensor) -> Tensor:
    """Coefficients [9, 3] of light [3] from everywhere alike."""
    sky = torch.zeros(9, 3)
    sky[0] = colour / 0.282095
    return sky
