"""`bench generator`: time of the public generators at full size, random weights, beside their readable twin.

EG3D, PanoHead and SphereHead as published: planes of 256 pixels, 64 x 64 rays with 48 + 48 samples, pictures of 512. readable:
`prior/readable.py` and `field/readable.py`, the papers' formulas. float32: ours. bfloat16: ours in half
precision, weights with their channels last, but for rays. All are compared with the readable ones. Random weights leave the box full of haze, of which no
renderer can skip anything. With one thread on a processor, time is the processor's. On an accelerator: pictures a second, peak memory.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from statistics import median

import torch
from torch import Tensor

from ..camera import camera_from_label, frontal, label_from_camera, rays
from ..commands.report import Row, finish
from ..devices import pick_device
from ..field.readable import ReadableField
from ..field.readable import render_rays as readable_rays
from ..field.triplane import EG3D, OURS, FieldConfig
from ..field.volume_rendering import RenderConfig, render_rays
from ..prior import readable
from ..prior.config import GeneratorConfig
from ..prior.contract import styles
from ..prior.eg3d import Generator
from ..prior.families import FAMILIES
from ..prior.spherehead import SphereHeadConfig
from .memory import added_bytes
from .options import bench_parser, called, positive
from .render.bench import seconds

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
PARTS = ("planes", "rays", "super-resolution", "picture")
KINDS = ("readable", "float32", "bfloat16")
BATCHES = (1, 4)  # pictures at once, on an accelerator


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
def parts_of(family: str, device: torch.device, batch: int = 1) -> Parts:
    """Of a family's full size, random weights, noise among them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator = FAMILIES[family].module(SIZES[family]).requires_grad_(False).eval()
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


def kinds(parts: Parts) -> Iterator[tuple[str, Callable[[str], Tensor]]]:
    """The ways of making a part, in their order: the later ones change the weights' layout."""
    yield KINDS[0], parts.readable
    yield KINDS[1], lambda part: parts.ours(part, torch.float32)
    channels_last(parts.generator)
    yield KINDS[2], lambda part: parts.ours(part, torch.bfloat16)


@torch.no_grad()
def time_rows(family: str, device: torch.device, repeats: int, end: float) -> list[Row]:
    """Medians of all parts, and how near they are to the readable ones."""
    parts = parts_of(family, device)
    rows, wanted, slow = [], {}, {}
    for kind, make in kinds(parts):
        for part in PARTS:
            if part == "rays" and kind == "bfloat16":
                continue
            row = f"{family}, {part}, {kind}"
            if time.monotonic() > end:
                print(f"{row}: left out, the minutes are over", flush=True)
                continue
            answer = make(part).float()  # also warms up
            duration = median(
                seconds(lambda make=make, part=part: make(part), device) for _ in range(repeats)
            )
            rows.append(Row(row, "time", duration, "s", n=repeats))
            if kind == "readable":
                wanted[part], slow[part] = answer, duration
            elif part in wanted:
                rows.append(Row(row, "times as fast as readable", slow[part] / duration, "", n=repeats))
                error = (answer - wanted[part]).abs().max() / wanted[part].abs().max()
                rows.append(Row(row, "largest error over the largest value", float(error), ""))
    return rows


@torch.no_grad()
def accelerator_rows(family: str, device: torch.device, repeats: int) -> list[Row]:
    """Whole pictures a second, and what a call adds to the accelerator's memory."""
    rows = []
    for batch in BATCHES:
        for kind, make in kinds(parts_of(family, device, batch)):
            duration = median(seconds(lambda make=make: make("picture"), device) for _ in range(repeats + 1))
            row = f"{family}, {batch} at once, {kind}"
            rows.append(Row(row, "pictures a second", batch / duration, "1/s", n=repeats + 1))
            extra = added_bytes(lambda make=make: make("picture"), device)
            rows.append(Row(row, "memory added", extra / 2**20, "MiB"))
    return rows


def run(arguments: list[str]) -> None:
    """Print the table."""
    with called(_parser(), arguments) as options:
        device = pick_device()
        end = time.monotonic() + 60 * options.minutes
        rows = []
        for family in options.families:
            rows += time_rows(family, torch.device("cpu"), options.repeats, end)
            if device.type != "cpu":
                rows += accelerator_rows(family, device, options.repeats)
        finish("generator", rows, options.json)


def _parser() -> argparse.ArgumentParser:
    parser = bench_parser("generator", __doc__, threads=1)
    parser.add_argument("--families", nargs="+", choices=list(SIZES), default=list(SIZES), help="which (all)")
    parser.add_argument(
        "--repeats", type=positive, default=3, help="measurements of each, of which the median is taken (3)"
    )
    parser.add_argument("--minutes", type=float, default=40, help="start nothing new after so long (40)")
    return parser
