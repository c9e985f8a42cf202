"""`bench people`: how fast factory 3 builds and renders people; with flags, sheets of them, files of views, and landmarks' statistics."""

from __future__ import annotations

import math
import time
from pathlib import Path

import torch

from ...camera import orbit
from ...commands.report import Row, finish
from ...synthetic.multiview import write_views
from ...synthetic.people.groups import groups_of
from ...synthetic.people.person import draw_person
from ...synthetic.people.rendering import render
from ...synthetic.people.statistics import landmark_statistics
from ...synthetic.splits import PRIOR, SHIPPED, VALIDATION
from ..heads import save
from ..options import bench_parser, called, positive
from ..store import median_row
from .pictures import before_background, sheet, turntable

VIEWS = 12  # of each person, evenly around


def run(arguments: list[str]) -> None:
    """Print seconds a person and images per second at 256 pixels; write what the flags ask for."""
    parser = bench_parser("people", __doc__, threads=1)
    parser.add_argument("--scans", type=Path, metavar="FILE", help="the scan model, or its folder")
    parser.add_argument("--count", type=positive, default=6, help=f"people to render, {VIEWS} views each (6)")
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="also draw 48 people before backgrounds")
    parser.add_argument("--turntable", type=Path, metavar="FILE", help=f"also draw one from {VIEWS} yaws")
    parser.add_argument(
        "--portrait", type=Path, metavar="FILE", help="also draw the portrait that ships, 512 pixels"
    )
    parser.add_argument("--seed", type=int, default=VALIDATION[0], help="the first person's (90000)")
    parser.add_argument("--heads", type=Path, metavar="DIR", help="also write --count multi-view head files")
    parser.add_argument("--landmarks", type=positive, metavar="N", help="also measure N people's landmarks")
    with called(parser, arguments) as options:
        rows = _speed(options)
        if options.landmarks:
            rows += _landmarks(options)
        finish("people", rows, options.json)
        if options.sheet:
            save(sheet(range(options.seed, options.seed + 48), options.scans), options.sheet)
        if options.turntable:
            save(turntable(options.seed, VIEWS, options.scans), options.turntable)
        if options.portrait:
            save(before_background(SHIPPED, 0.1, options.scans, 512), options.portrait)


def _speed(options) -> list[Row]:
    """Seconds of the processor a person, and images per such second; low and high are the slowest and fastest person."""
    yaw = torch.linspace(-math.pi, math.pi, VIEWS + 1)[:-1]
    camera = orbit(yaw, 0.2 * torch.sin(2 * yaw))
    draw_person(options.seed, options.scans)  # the first call reads the scans
    builds, speeds = [], []
    for seed in range(options.seed, options.seed + options.count):
        start = time.process_time()
        person = draw_person(seed, options.scans)
        builds.append(time.process_time() - start)
        views = render(person, camera, 256)
        speeds.append(VIEWS / (time.process_time() - start - builds[-1]))
        if options.heads:
            options.heads.mkdir(parents=True, exist_ok=True)
            path = options.heads / f"{seed}.safetensors"
            write_views(path, views, camera, seed=seed, groups=groups_of(person))
    return [
        median_row("a person", "time to build, of one core", builds, "s"),
        median_row("256 px", "speed of one core", speeds, "images/s"),
    ]


def _landmarks(options) -> list[Row]:
    """Mean and standard deviation of every landmark coordinate."""
    mean, deviation = landmark_statistics(PRIOR[: options.landmarks], options.scans)
    return [
        Row(f"landmark {point} {axis}", kind, float(values[point, i]), "scene units", n=options.landmarks)
        for point in range(len(mean))
        for i, axis in enumerate("xyz")
        for kind, values in (("mean", mean), ("standard deviation", deviation))
    ]
