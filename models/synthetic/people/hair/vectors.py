"""Lengths and directions of many short vectors: along a last dimension of three, torch's own norm is slow."""

from __future__ import annotations

import torch
from torch import Tensor


def dot(a: Tensor, b: Tensor) -> Tensor:
    """[...] of vectors [..., 3]."""
    return a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2]


def length(vectors: Tensor) -> Tensor:
    """[...] of vectors [..., 3]."""
    return dot(vectors, vectors).sqrt()


def unit(vectors: Tensor) -> Tensor:
    """[..., 3] of length 1; what is nearly 0 stays so."""
    return vectors / length(vectors).clamp_min(1e-9)[..., None]


def cross(a: Tensor, b: Tensor) -> Tensor:
    """[..., 3] of vectors [..., 3]."""
    (ax, ay, az), (bx, by, bz) = a.unbind(-1), b.unbind(-1)
    return torch.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], -1)
