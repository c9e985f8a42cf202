"""Tri-planes and tri-grids: points -> features -> density and colour.

EG3D (Chan et al. 2022), section 3.2; tri-grids: PanoHead (An et al. 2023), section 3.2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..bounds import flags, integers, numbers, shown
from ..equalised import FullyConnected
from .spheres import SPHERES, sphere_features

AXES = {"x": 0, "y": 1, "z": 2}
OURS = ("xy", "xz", "yz")  # PanoHead's, too
EG3D = ("xy", "xz", "zx")  # as released: no plane sees y and z together, and the weights need it so
ACTIVATIONS = ("sigmoid", "lrelu", "none")
PERCEPTRON, FREQUENCIES = "perceptron", "frequencies"
DECODERS = (PERCEPTRON, FREQUENCIES)
FAINTEST, STRONGEST = -80.0, 60.0  # log-densities: what is below is 0; above, sums along a ray are infinite
STEEPEST = 15.0  # log-density from which on the slope of an exponential stays
MOST = 2**28  # numbers in one head's planes: 1 GiB, five times the largest public ones


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
        features: F, outputs of the decoder beside the density; the first three are the colour.
        activation: of those outputs: "sigmoid" (a little wider than 0 .. 1), "lrelu" or "none" (colours are -1 .. 1).
        density_shift: added to the raw density before the softplus, or the exponential (EG3D: -1; RodinHD: 0).
        density_scale: times the softplus, or the exponential, per scene unit (EG3D: 1).
        surface_density: density per scene unit that a mesh takes as its surface.
        crop: scene units that are cut off the box's four upright sides (PanoHead: 0.1); 0 for none.
        slab: scene units between a grid's first and last slice, which blend smoothly and hold on beyond: what a photo tells of the front
            is then not told to the back; 0 for slices that fill the box, blend linearly and fade out (PanoHead).
        spheres: the slices are two spheres' planes, by angles and radius, instead of a box's (SphereHead); see `spheres`.
        decoder: "perceptron", whose raw density goes through a softplus (`Decoder`), or "frequencies", whose raw density is a logarithm
            (RodinHD; `decoders.AvatarDecoder`).
        degree: octaves of sines that frequencies have (RodinHD: 2). colour_layers: of the net behind them (RodinHD: 3).
    """

    plane_axes: tuple[str, str, str] = OURS
    box_side: float = 1.0
    channels: int = 8
    depth: int = 3
    resolution: int = 128
    hidden: int = 32
    features: int = 3
    activation: str = "sigmoid"
    density_shift: float = -1.0
    density_scale: float = 1.0
    surface_density: float = 30.0
    crop: float = 0.0
    slab: float = 0.0
    spheres: bool = False
    decoder: str = PERCEPTRON
    degree: int = 2
    colour_layers: int = 3

    def __post_init__(self) -> None:
        triple = isinstance(self.plane_axes, list | tuple) and len(self.plane_axes) == 3
        if not triple or not all(_pair_of_axes(axes) for axes in self.plane_axes):
            raise ValueError(
                f"FieldConfig: expected three pairs of axes such as xy, got {shown(self.plane_axes)}; fix plane_axes"
            )
        object.__setattr__(self, "plane_axes", tuple(self.plane_axes))  # JSON gives a list
        integers(
            self,
            channels=(0, 512),
            depth=(0, 64),
            resolution=(0, 1024),
            hidden=(0, 4096),
            features=(0, 256),
            degree=(0, 16),
            colour_layers=(1, 16),
        )
        numbers(
            self,
            box_side=(0, 1e3),
            density_shift=(-1e4, 1e4),
            density_scale=(0, 1e6),
            surface_density=(0, 1e6),
            crop=(0, 1e3),
            slab=(0, 1e3),
        )
        if 3 * self.channels * max(self.depth, 1) * self.resolution**2 > MOST:
            raise ValueError(
                f"FieldConfig: expected planes of up to {MOST} numbers, got {list(self.planes_shape)}; choose a file made by this pack"
            )
        if (
            self.box_side < 1e-6  # float32 would lose its way in it
            or 0 < self.slab < 1e-6
            or min(self.channels, self.resolution, self.hidden) < 1
            or self.depth < 0
            or self.features < 3
        ):
            raise ValueError(
                f"FieldConfig: sizes must be positive and features at least 3, got {self}; fix the checkpoint's config"
            )
        if self.activation not in ACTIVATIONS:
            raise ValueError(
                f"FieldConfig: expected activation to be one of {', '.join(ACTIVATIONS)}, got {shown(self.activation)}; "
                "choose a file made by this pack"
            )
        if self.decoder not in DECODERS:
            raise ValueError(
                f"FieldConfig: expected decoder to be one of {', '.join(DECODERS)}, got {shown(self.decoder)}; "
                "choose a file made by this pack"
            )
        if self.decoder == FREQUENCIES and (
            self.channels % 4 or self.features != 3 or self.activation != "sigmoid"
        ):
            raise ValueError(
                f"FieldConfig: expected channels in fours, 3 features and a sigmoid for a decoder of frequencies, got {self.channels}, "
                f"{self.features} and {self.activation}; fix the checkpoint's config"
            )
        flags(self, "spheres")
        if self.spheres and (self.depth != SPHERES or self.slab):
            raise ValueError(
                f"FieldConfig: expected {SPHERES} slices and no slab of planes on spheres, got {self.depth} and {self.slab}; "
                "fix the checkpoint's config"
            )
        if not 0 <= self.crop < self.box_side / 2:
            raise ValueError(
                f"FieldConfig: expected a crop from 0 to half of box_side ({self.box_side / 2:g}), got {self.crop}"
            )

    def slice_weights(self, third: Tensor) -> list[Tensor]:
        """Of each of D slices, [...], at coordinates [...], scene units, along the axis that its plane does not see."""
        D = self.depth
        if self.slab:
            position = (third * ((D - 1) / self.slab) + (D - 1) / 2).clamp(0, D - 1)
        else:
            position = third * (D / self.box_side) + (
                D / 2 - 0.5
            )  # from scene units to slices, 0 at the first one's centre
        linear = [(1 - (position - i).abs()).clamp(min=0) for i in range(D)]
        return [x * x * (3 - 2 * x) for x in linear] if self.slab else linear

    def raw_of(self, density: float) -> float:
        """One number, about the raw density whose activation is a density that can be seen, per scene unit."""
        share = density / self.density_scale
        return (math.log(share) if self.decoder == FREQUENCIES else share) - self.density_shift

    @property
    def planes_shape(self) -> tuple[int, ...]:
        """Shape of one head's planes, without the batch."""
        slices = (self.depth,) if self.depth else ()
        return (3, self.channels, *slices, self.resolution, self.resolution)

    def inside(self, points: Tensor) -> Tensor:
        """Whether points [..., 3], scene units, lie in the box and not in what is cut off: [...] bool."""
        reach = self.box_side / 2
        return (points.abs() <= points.new_tensor([reach - self.crop, reach, reach - self.crop])).all(-1)


def _pair_of_axes(axes: object) -> bool:
    """Whether it is a word of two different axes."""
    return isinstance(axes, str) and len(axes) == 2 and axes[0] != axes[1] and set(axes) <= set(AXES)


def plane_features(planes: Tensor, points: Tensor, config: FieldConfig) -> list[Tensor]:
    """Each plane's bilinear (tri-grid: trilinear) samples [B, C, N] at world points; arguments as `sample_planes`.

    A grid's slices are read as more channels of one plane and then weighed by the third coordinate: on a CPU that is several times
    faster than a trilinear look-up, most of all with the channels last.
    """
    if config.spheres:
        return sphere_features(planes, points, config.box_side)
    unit = points * (2 / config.box_side)  # from scene units to [-1, 1]
    samples = []
    for plane, axes in zip(planes.to(points.dtype).unbind(1), config.plane_axes, strict=True):
        column, row = AXES[axes[0]], AXES[axes[1]]
        flat = plane.flatten(1, -3).contiguous(memory_format=torch.channels_last)
        texels = F.grid_sample(flat, unit[:, None, :, [column, row]], align_corners=False)[:, :, 0]
        if plane.ndim == 5:  # [B, H, W] and the two axes before
            weights = torch.stack(config.slice_weights(points[..., ({0, 1, 2} - {column, row}).pop()]), 1)
            texels = (texels.unflatten(1, plane.shape[1:3]) * weights[:, None]).sum(2)  # over [B, C, D, N]
        samples.append(texels)
    return samples


def sample_planes(planes: Tensor, points: Tensor, config: FieldConfig) -> Tensor:
    """Features at world points: the mean of the three planes' samples.

    Args:
        planes: [B, 3, C, H, W] or [B, 3, C, D, H, W].
        points: [B, N, 3] scene units; outside the box features are zero, and grids without a slab fade out over their outer half
            slices.

    Returns:
        [B, N, C].
    """
    a, b, c = plane_features(planes, points, config)
    return ((a + b + c) / 3).mT


class Decoder(nn.Module):
    """Two-layer perceptron from plane features to raw density and features (EG3D's OSG decoder)."""

    def __init__(self, config: FieldConfig, *, operations=torch.nn) -> None:
        super().__init__()
        self.activation = config.activation
        self.net = nn.Sequential(
            FullyConnected(config.channels, config.hidden, operations=operations),
            nn.Softplus(),
            FullyConnected(config.hidden, 1 + config.features, operations=operations),
        )

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """[..., C] -> raw density [...], features [..., F]."""
        raw = self.net(features)
        density, out = raw[..., 0], raw[..., 1:]
        if self.activation == "sigmoid":
            return density, torch.sigmoid(out) * 1.002 - 0.001  # MipNeRF's: reaches 0 and 1
        return density, F.leaky_relu(out, 0.2) * math.sqrt(2) if self.activation == "lrelu" else out


class _Exponential(torch.autograd.Function):
    """exp(x) between FAINTEST, under which it is 0, and STRONGEST; its slope is no more than exp(STEEPEST)."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return F.threshold(x, FAINTEST, -torch.inf).clamp(max=STRONGEST).exp()

    @staticmethod
    def backward(ctx, by_density: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return by_density * F.threshold(x, FAINTEST, -torch.inf).clamp(max=STEEPEST).exp()


@dataclass(frozen=True)
class TriplaneField:
    """Planes and their decoder as a field.

    Attributes:
        planes: [B, 3, C, (D,) H, W]. decoder: features -> raw density and features. config: of the planes.
        to_rgb: matrix [B, 3, F] and bias [3] from features to colours of -1 .. 1, where the first three features are no colours.
        geometry: planes, of the shape of `planes`, that the density is read from, where it has planes of its own.
    """

    planes: Tensor
    decoder: nn.Module
    config: FieldConfig
    to_rgb: tuple[Tensor, Tensor] | None = None
    geometry: Tensor | None = None

    def raw(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """points [B, N, 3] -> density before its activation [B, N], features [B, N, F].

        The family averages this density between samples; outside the box it is the decoder's constant.
        """
        raw, features = self.decoder(sample_planes(self.planes, points, self.config))
        if self.geometry is not None:
            raw = self.decoder(sample_planes(self.geometry, points, self.config))[0]
        return raw, features

    @property
    def stacks(self) -> tuple[Tensor, ...]:
        """All planes that it is read from, [B, 3, C, (D,) H, W] each: those of colours, and of density where it has its own."""
        return (self.planes,) if self.geometry is None else (self.planes, self.geometry)

    @property
    def scattered(self) -> bool:
        """Whether it has `PreparedField.raw_of`."""
        return False

    @property
    def device(self) -> torch.device:
        """Where its planes are."""
        return self.planes.device

    @torch.no_grad()
    def raw_density(self, points: Tensor) -> Tensor:
        """points [B, N, 3] -> density before its activation [B, N], without gradient."""
        return self.raw(points)[0]

    def activate(self, raw: Tensor) -> Tensor:
        """Raw density [...] -> density [...] >= 0 per scene unit.

        It is exactly 0 below exp(-80), where numbers so small make processors slow. Of a decoder of frequencies it is the exponential,
        at most exp(60), whose slope stops growing at exp(15), as RodinHD's does.
        """
        raw = raw + self.config.density_shift
        if self.config.decoder == FREQUENCIES:
            return self.config.density_scale * _Exponential.apply(raw)
        return self.config.density_scale * F.softplus(F.threshold(raw, FAINTEST, -1e3))

    def rgb(self, features: Tensor, opacity: Tensor | float = 1.0) -> Tensor:
        """Features [B, N, F] -> colours [B, N, 3] in about 0 .. 1, both premultiplied by the opacity [B, N, 1]."""
        sigmoid = self.config.activation == "sigmoid"
        if self.to_rgb is None and sigmoid:
            return features[..., :3]
        signed = features * 2 - opacity if sigmoid else features
        if self.to_rgb is not None:
            matrix, bias = (x.to(features.dtype) for x in self.to_rgb)
            signed = signed @ matrix.mT + opacity * bias
        return (signed[..., :3] + opacity) / 2  # from [-1, 1] to [0, 1]

    def __call__(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """points [B, ..., 3], or [..., 3] where B is 1 -> density [...] >= 0 per scene unit, 0 outside the box, and colour [..., 3]."""
        flat = points.reshape(self.planes.shape[0], -1, 3)
        raw, features = self.raw(flat)
        density = torch.where(self.config.inside(flat), self.activate(raw), raw.new_zeros(()))
        return density.view(points.shape[:-1]), self.rgb(features).view(points.shape)

    def density(self, points: Tensor) -> Tensor:
        """Points as the call's, [B, ..., 3] -> density [...], without the colour."""
        return self(points)[0]
