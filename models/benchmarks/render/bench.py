"""`bench render`: time and memory of the renderers beside their readable twin, on a fitted tri-plane and the embedded tri-grid.

readable: `field/readable.py`, the papers' equations on whole images. exact-fast: `volume_rendering.render_rays`, the same samples.
occupancy: `occupancy.render_rays_fast`, those of them that a grid does not rule out; building the grid is a row of its own. With one
thread on a processor, time is the processor's, so that other programs do not count; else it is the clock's. Memory is what a call adds
to the peak of a fresh process (VmHWM), the grid included, or to the accelerator's peak.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from ...camera import orbit, rays
from ...checkpoint import shipped
from ...commands.report import Row, finish
from ...devices import pick_device
from ...field import occupancy, readable, volume_rendering
from ...field.prepared import prepare
from ...field.readable import ReadableField
from ...field.triplane import TriplaneField
from ...field.volume_rendering import RayRendering, RenderConfig
from ...metrics.image import psnr
from ...prior.contract import styles
from ...prior.embedded import embedded_config
from ...prior.families import load_generator
from ...synthetic.splits import SHIPPED
from ..memory import added_bytes, told_by_process
from ..options import bench_parser, called
from .fitted import TRIPLANE, Fit, fitted_field, load_field, save_field

RENDERERS = ("readable", "exact-fast", "occupancy")
FIELDS = ("tri-plane", "tri-grid")
PASSES = ("forward", "forward + backward")
CONFIG = RenderConfig(coarse=48, fine=48)
YAW, PITCH = 0.4, 0.1  # radians, of the view that is measured


def field_of(name: str, device: torch.device) -> TriplaneField:
    """The tri-plane, fitted, or the embedded prior's tri-grid of the same head; without a prior that fits the code, fitted as well."""
    return on_device(fitted_field(SHIPPED, TRIPLANE, Fit()) if name == "tri-plane" else _embedded(), device)


def on_device(field: TriplaneField, device: torch.device) -> TriplaneField:
    """A field there, in single precision."""
    return replace(field, planes=field.planes.to(device).float(), decoder=field.decoder.to(device))


def _embedded() -> TriplaneField:
    layout = embedded_config().field
    try:
        generator = load_generator(shipped("prior"))
    except (OSError, ValueError) as error:
        print(
            f"tri-grid: fitted instead of the prior's, since that is not of this version ({error})",
            flush=True,
        )
        return fitted_field(SHIPPED, layout, Fit())
    with torch.no_grad():
        code = torch.randn(1, generator.config.z_dim, generator=torch.Generator().manual_seed(SHIPPED))
        ws = styles(generator, code)
        return replace(generator.field(generator.planes(ws), ws), to_rgb=None)


def view_rays(size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Origins and directions [1, size^2, 3] of the view that is measured."""
    camera = orbit(torch.tensor([YAW]), torch.tensor([PITCH])).to(device)
    origins, directions = rays(camera, size, size)
    return origins.reshape(1, -1, 3), directions.reshape(1, -1, 3)


def renderer(name: str, field: TriplaneField, size: int) -> Callable[[Tensor], RayRendering]:
    """Planes [1, 3, C, (D,) H, W] -> what the view's rays see; its grid is built before the clock runs."""
    origins, directions = view_rays(size, field.planes.device)
    if name == "readable":
        return lambda planes: readable.render_rays(
            ReadableField(planes, field.decoder, field.config), origins, directions, CONFIG
        )
    if name == "exact-fast":
        return lambda planes: volume_rendering.render_rays(
            replace(field, planes=planes), origins, directions, CONFIG
        )
    grid = occupancy.build(field, config=CONFIG)
    return lambda planes: occupancy.render_rays_fast(
        replace(field, planes=planes), grid, origins, directions, CONFIG
    )


def loss_of(rendering: RayRendering) -> Tensor:
    """Some number [] of which every ray is a part."""
    return rendering.features.sum() + rendering.opacity.sum() + (rendering.depth * rendering.opacity).sum()


def once(render: Callable[[Tensor], RayRendering], planes: Tensor, backward: bool) -> Tensor:
    """One call; the gradient of planes [1, 3, C, (D,) H, W], or three features over white [1, R, 3]."""
    if not backward:
        with torch.no_grad():
            rendering = render(planes)
        return rendering.features[..., :3] + (1 - rendering.opacity)[..., None]
    planes = planes.detach().requires_grad_()
    return torch.autograd.grad(loss_of(render(planes)), planes)[0]


def seconds(call: Callable[[], object], device: torch.device) -> float:
    """How long one call takes, by the module's clock."""
    clock = time.process_time if device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    _wait(device)
    start = clock()
    call()
    _wait(device)
    return clock() - start


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize()


def time_rows(name: str, field: TriplaneField, size: int, repeats: int) -> list[Row]:
    """Medians of all renderers, taken in turns so that what else the machine does meets all alike."""
    calls = {kind: renderer(kind, field, size) for kind in RENDERERS}
    rows = []
    for backward, way in enumerate(PASSES):
        durations = {kind: [] for kind in RENDERERS}
        for turn in range(repeats + 1):
            for kind, render in calls.items():
                duration = seconds(
                    lambda render=render, backward=backward: once(render, field.planes, bool(backward)),
                    field.planes.device,
                )
                if turn:  # the first warms up
                    durations[kind].append(duration)
        for kind, values in durations.items():
            row = f"{name} {size} px, {way}, {kind}"
            rows.append(Row(row, "time", median(values), "s", n=len(values)))
            if kind != "readable":
                ratio = median(slow / fast for slow, fast in zip(durations["readable"], values, strict=True))
                rows.append(Row(row, "times as fast as readable", ratio, "", n=len(values)))
    return rows


def agreement_rows(name: str, field: TriplaneField, size: int) -> list[Row]:
    """How near the fast images and gradients are to the readable ones."""
    exact = renderer("readable", field, size)
    image, gradient = once(exact, field.planes, False), once(exact, field.planes, True)
    rows = []
    for kind in RENDERERS[1:]:
        render = renderer(kind, field, size)
        row = f"{name} {size} px, {kind}"
        rows.append(Row(row, "psnr to readable", psnr(once(render, field.planes, False), image), "dB"))
        error = (once(render, field.planes, True) - gradient).norm() / gradient.norm()
        rows.append(Row(row, "gradient's relative error", error.item(), ""))
    return rows


def preparation_rows(name: str, field: TriplaneField, repeats: int) -> list[Row]:
    """What is done once per change of the planes."""
    device = field.planes.device
    generator = torch.Generator().manual_seed(0)
    grid = occupancy.build(field)
    steps = {
        "field prepared": lambda: prepare(field),
        "grid built (64)": lambda: occupancy.build(field),
        "grid refreshed": lambda: occupancy.refresh(grid, field, generator=generator),
    }
    return [
        Row(
            f"{name}, {step}",
            "time",
            median(seconds(call, device) for _ in range(repeats + 1)),
            "s",
            n=repeats + 1,
        )
        for step, call in steps.items()
    ]


def added_memory(path: Path, size: int, kind: str, backward: bool, device: torch.device) -> int:
    """Bytes that one call, and the grid if it needs one, adds to this process's peak, or to the accelerator's."""
    field = on_device(load_field(path), device)
    once(renderer("readable", field, 8), field.planes, backward)  # what torch keeps from its first call on
    return added_bytes(lambda: once(renderer(kind, field, size), field.planes, backward), device)


def memory_rows(name: str, field: TriplaneField, size: int, threads: int) -> list[Row]:
    """`added_memory` of all renderers, each in a process of its own, which finds the field in a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "field.safetensors")
        save_field(field, path)
        return _memory_rows(f"{name} {size} px", path, size, threads, field.planes.device)


def _memory_rows(title: str, path: Path, size: int, threads: int, device: torch.device) -> list[Row]:
    rows = []
    for backward, way in enumerate(PASSES):
        first = None
        for kind in RENDERERS:
            words = ["--memory-of", str(path), str(size), kind, str(backward), str(device)]
            extra = told_by_process("render", "--threads", str(threads), *words)
            first = first or extra
            row = f"{title}, {way}, {kind}"
            rows.append(Row(row, "memory added", extra / 2**20, "MiB"))
            if kind != "readable":
                rows.append(Row(row, "of readable's memory", extra / first, ""))
    return rows


def measure(name: str, options: argparse.Namespace, device: torch.device, end: float) -> list[Row]:
    """All rows of one field on one device, as far as the time goes."""
    field = field_of(name, device)
    rows = preparation_rows(name, field, options.repeats) + agreement_rows(name, field, min(options.sizes))
    for size in options.sizes:
        if time.monotonic() > end:
            print(
                f"{name} {size} px: left out, the {options.minutes:g} minutes are over; call again with --sizes {size}",
                flush=True,
            )
            continue
        rows += time_rows(name, field, size, options.repeats) + memory_rows(
            name, field, size, options.threads
        )
        print(f"{name} {size} px on {device}: done", flush=True)
    return rows if device.type == "cpu" else [replace(row, row=f"{device.type}: {row.row}") for row in rows]


def run(arguments: list[str]) -> None:
    """Measure all, here and on an accelerator where there is one; print a table."""
    with called(_parser(), arguments) as options:
        if options.memory_of:
            path, size, kind, backward, device = options.memory_of
            print(added_memory(Path(path), int(size), kind, backward == "1", torch.device(device)))
            return
        devices = list(dict.fromkeys([torch.device("cpu"), pick_device()]))
        end = time.monotonic() + 60 * options.minutes
        rows = [
            row
            for device in devices
            for name in options.fields
            for row in measure(name, options, device, end)
        ]
        finish("render", rows, options.json)


def _parser() -> argparse.ArgumentParser:
    parser = bench_parser("render", __doc__, threads=1)
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[64, 128, 256], metavar="S", help="pixels (64 128 256)"
    )
    parser.add_argument(
        "--fields", nargs="+", choices=FIELDS, default=list(FIELDS), help="what to render (both)"
    )
    parser.add_argument(
        "--repeats", type=int, default=3, help="measurements of each, of which the median is taken (3)"
    )
    parser.add_argument("--minutes", type=float, default=40, help="start nothing new after so long (40)")
    parser.add_argument("--memory-of", nargs=5, help=argparse.SUPPRESS)
    return parser
