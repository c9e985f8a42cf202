"""The public generators at their sizes, with random weights, part by part, ours beside their readable twin: for `bench generator`.

EG3D (Chan et al. 2022) for FFHQ at 512 pixels, PanoHead (An et al. 2023), SphereHead (Li et al. 2024), as their training scripts have them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..camera import camera_from_label, frontal, label_from_camera, rays
from ..field.readable import ReadableField
from ..field.readable import render_rays as readable_rays
from ..field.triplane import EG3D, OURS, FieldConfig
from ..field.volume_rendering import RenderConfig, render_rays
from . import readable
from .config import GeneratorConfig
from .contract import styles
from .eg3d import Generator
from .families import FAMILIES
from .spherehead import SphereHeadConfig

FIELD = {"channels": 32, "resolution": 256, "hidden": 64, "features": 32, "surface_density": 9.0}
RAYS = RenderConfig(near=2.25, far=3.3)
GRID = FieldConfig(plane_axes=OURS, depth=3, activation="none", crop=0.1, **FIELD)
SIZES = {
    "eg3d": GeneratorConfig(field=FieldConfig(plane_axes=EG3D, depth=0, **FIELD), render=RAYS),
    "panohead": GeneratorConfig(field=GRID, render=RAYS, background=True, raw_rgb=True, camera_offset=True),
    "spherehead": SphereHeadConfig(
        field=replace(GRID, depth=2, spheres=True),
        render=RAYS,
        background=True,
        raw_rgb=True,
        camera_offset=True,
    ),
}


@dataclass(frozen=True)
class Parts:
    """One generator, one head, and what its parts take.

    Attributes:
        ws: [B, num_ws, w_dim]. label: [B, 25]. planes: of them. features, rgb: raw ones, for super-resolution.
    """

    generator: Generator
    ws: Tensor
    label: Tensor
    planes: Tensor
    features: Tensor
    rgb: Tensor

    def readable(self, part: str) -> Tensor:
        """What the readable twin makes of a part: [B, ...]."""
        net = self.generator
        if part == "planes":
            return readable.planes(net, self.ws)
        if part == "rays":
            field = ReadableField(self.planes, net.decoder, net.config.field)
            return readable_rays(field, *self.rays(), net.config.render).features
        if part == "super-resolution" and net.superresolution is not None:
            return readable.super_resolution(net.superresolution, self.rgb, self.features, self.ws)
        return readable.synthesis(net, self.ws, self.label)

    def ours(self, part: str, dtype: torch.dtype) -> Tensor:
        """What we make of it in a precision, rays in float32."""
        net, ws = self.generator, self.ws.to(dtype)
        if part == "planes":
            return net.planes(ws)
        if part == "rays":
            return render_rays(net.field(self.planes), *self.rays(), net.config.render).features
        if part == "super-resolution":
            return net.super_resolve(self.rgb.to(dtype), self.features.to(dtype), ws)
        planes = net.planes(ws).float()
        R = net.config.raw_resolution
        samples = render_rays(net.field(planes, self.ws), *self.rays(), net.config.render)
        features, opacity = (
            x.mT.unflatten(2, (R, R)) for x in (samples.features, samples.opacity[..., None])
        )
        features, rgb = net.compose(net.signed(features), opacity, self.ws)
        return net.super_resolve(rgb.to(dtype), features.to(dtype), ws)

    def rays(self) -> tuple[Tensor, Tensor]:
        """Origins and directions [B, R * R, 3] of the raw picture."""
        R = self.generator.config.raw_resolution
        origins, directions = rays(camera_from_label(self.label), R, R)
        return origins.flatten(1, 2), directions.flatten(1, 2)


@torch.no_grad()
def parts_of(family: str, config: GeneratorConfig, device: torch.device, batch: int = 1) -> Parts:
    """Of a family's generator of some sizes, random weights, noise among them; batch: heads at once."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator = FAMILIES[family].module(config).requires_grad_(False).eval()
    for name, value in generator.named_parameters():
        if name.endswith("noise_strength"):
            value.fill_(0.1)
    generator = generator.to(device)
    draws = torch.Generator().manual_seed(1)
    ws = styles(generator, torch.randn(batch, generator.config.z_dim, generator=draws).to(device))
    label = label_from_camera(frontal()).to(device).expand(batch, -1)
    R, F = generator.config.raw_resolution, generator.config.field.features
    features = torch.randn(batch, F, R, R, generator=draws).to(device)
    return Parts(generator, ws, label, generator.planes(ws), features, features[:, :3])


def channels_last(module: torch.nn.Module) -> None:
    """Lays the weights of a module's convolutions out so that activations follow."""
    for value in module.parameters():
        if value.ndim == 4:
            value.data = value.data.contiguous(memory_format=torch.channels_last)
