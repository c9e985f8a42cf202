"""`bench heads`: how fast the data factory renders; with flags, the pictures of it that the README shows."""

from __future__ import annotations

import math
import time
from pathlib import Path

import torch
from PIL import Image

from ..camera import orbit
from ..commands.report import Row, finish
from ..synthetic.head import sample_parameters
from ..synthetic.rendering import render_head
from ..synthetic.splits import VALIDATION
from .options import bench_parser, called, positive
from .store import median_row

SIZES = (128, 256)
VIEWS = 8  # of each head, traced together: how the trainers ask for them


def run(arguments: list[str]) -> None:
    """Print images per second at 128 and 256 pixels."""
    parser = bench_parser("heads", __doc__)
    parser.add_argument(
        "--count",
        type=positive,
        default=6,
        help=f"heads to render, {VIEWS} views each (6; at most {len(VALIDATION)})",
    )
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="also draw 32 validation heads")
    with called(parser, arguments) as options:
        finish("heads", [_measure(size, options.count) for size in SIZES], options.json)
    if options.sheet:
        sheet(options.sheet)


def sheet(path: Path, columns: int = 8, rows: int = 4) -> None:
    """The first validation heads, each seen from a little to its left or right."""
    count = columns * rows
    yaw = torch.tensor([0.0, 0.35, -0.35, 0.7, -0.7, 0.0, 2.6, -1.4]).repeat(rows)[:count]
    tiles = [
        render_head(sample_parameters(VALIDATION[i]), orbit(yaw[i : i + 1], torch.zeros(1)), 192).rgb[0]
        for i in range(count)
    ]
    save(torch.cat([torch.cat(tiles[i : i + columns], -1) for i in range(0, count, columns)], -2), path)


def save(picture: torch.Tensor, path: Path) -> None:
    """sRGB [3, H, W] in [0, 1] as PNG or JPEG, by the name's ending."""
    Image.fromarray((picture * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()).save(path, quality=88)


def _measure(size: int, count: int) -> Row:
    """Median over heads of the speed of rendering all views of one head; low and high are the slowest and fastest head."""
    yaw = torch.linspace(-math.pi, math.pi, VIEWS + 1)[:-1]
    camera = orbit(yaw, 0.2 * torch.sin(2 * yaw))
    render_head(sample_parameters(VALIDATION[-1]), camera, size)  # the first call pays for torch's start
    speeds = []
    for seed in VALIDATION[:count]:
        start = time.perf_counter()
        render_head(sample_parameters(seed), camera, size)
        speeds.append(VIEWS / (time.perf_counter() - start))
    return median_row(f"{size} px", "speed", speeds, "images/s")
