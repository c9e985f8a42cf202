"""Tri-planes and tri-grids: points -> features -> density and colour.

EG3D (Chan et al. 2022), section 3.2; tri-grids: PanoHead (An et al. 2023), section 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

AXES = {"x": 0, "y": 1, "z": 2}


@dataclass(frozen=True, kw_only=True)
class FieldConfig:
    """What a checkpoint's field looks like; comes with the checkpoint, never guessed.

    Attributes:
        plane_axes: per plane, which world axes are its column and row, as "xy"; a tri-grid's third axis is the one left over.
        box_side: scene units; planes cover -box_side / 2 .. box_side / 2.
        channels: C, features per plane.
        depth: D, slices per plane; 0 for a tri-plane without slices.
        resolution: H = W of a plane.
        hidden: width of the decoder's hidden layer.
        density_shift: added to the raw density before the softplus (EG3D: -1).
        density_scale: times the softplus, per scene unit (EG3D: 1).
        surface_density: density per scene unit that a mesh takes as its surface.
    """

    plane_axes: tuple[str, str, str] = ("xy", "xz", "yz")
    box_side: float = 1.0
    channels: int = 8
    depth: int = 3
    resolution: int = 128
    hidden: int = 32
    density_shift: float = -1.0
    density_scale: float = 1.0
    surface_density: float = 30.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "plane_axes", tuple(self.plane_axes))  # JSON gives a list
        valid = all(len(axes) == 2 and axes[0] != axes[1] and set(axes) <= set(AXES) for axes in self.plane_axes)
        if len(self.plane_axes) != 3 or not valid:
            raise ValueError(f"FieldConfig: expected three pairs of axes such as xy, got {self.plane_axes}; fix plane_axes")
        if self.box_side <= 0 or min(self.channels, self.resolution, self.hidden) < 1 or self.depth < 0:
            raise ValueError(f"FieldConfig: sizes must be positive, got {self}; fix the checkpoint's config")

    @property
    def planes_shape(self) -> tuple[int, ...]:
        """Shape of one head's planes, without the batch."""
        slices = (self.depth,) if self.depth else ()
        return (3, self.channels, *slices, self.resolution, self.resolution)


def sample_planes(planes: Tensor, points: Tensor, config: FieldConfig) -> Tensor:
    """Features at world points: the mean of the three planes' bilinear (tri-grid: trilinear) samples.

    Args:
        planes: [B, 3, C, H, W] or [B, 3, C, D, H, W].
        points: [B, N, 3] scene units; outside the box features are zero.

    Returns:
        [B, N, C].
    """
    unit = points * (2 / config.box_side)  # from scene units to [-1, 1]
    total = 0
    for plane, axes in zip(planes.unbind(1), config.plane_axes, strict=True):
        column, row = AXES[axes[0]], AXES[axes[1]]
        third = ({0, 1, 2} - {column, row}).pop()
        grid = unit[..., [column, row] if plane.ndim == 4 else [column, row, third]]
        shape = (1,) * (plane.ndim - 3)
        sampled = F.grid_sample(plane, grid.view(grid.shape[0], *shape, *grid.shape[1:]), align_corners=False)
        total = total + sampled.flatten(2)
    return (total / 3).mT


class Decoder(nn.Module):
    """Two-layer perceptron from plane features to raw density and colour (EG3D's OSG decoder)."""

    def __init__(self, config: FieldConfig, *, operations=torch.nn) -> None:
        super().__init__()
        self.hidden = operations.Linear(config.channels, config.hidden)
        self.out = operations.Linear(config.hidden, 4)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """[..., C] -> raw density [...], colour [..., 3] in about 0 .. 1 (EG3D's widened sigmoid)."""
        raw, colour = self.out(F.softplus(self.hidden(features))).split([1, 3], dim=-1)
        return raw[..., 0], torch.sigmoid(colour) * 1.002 - 0.001


@dataclass(frozen=True)
class TriplaneField:
    """Planes and their decoder as a field.

    Attributes:
        planes: [B, 3, C, (D,) H, W]. decoder: features -> raw density and colour. config: of the planes.
    """

    planes: Tensor
    decoder: nn.Module
    config: FieldConfig

    def __call__(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """points [B, ..., 3], or [..., 3] where B is 1 -> density [...] >= 0 per scene unit, colour [..., 3]."""
        B = self.planes.shape[0]
        flat = points.reshape(B, -1, 3)
        raw, colour = self.decoder(sample_planes(self.planes, flat, self.config))
        density = self.config.density_scale * F.softplus(raw + self.config.density_shift)
        inside = (flat.abs() <= self.config.box_side / 2).all(-1)  # the decoder's constant is no matter
        density = torch.where(inside, density, density.new_zeros(()))
        return density.view(points.shape[:-1]), colour.view(points.shape)

    def density(self, points: Tensor) -> Tensor:
        """As the call, without the colour."""
        return self(points)[0]
