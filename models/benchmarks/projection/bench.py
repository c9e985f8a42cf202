"""`bench projection`: projected views against exact ones, seconds, and whether projected noise is still noise.

Heads, depth, and what two views both see are the factory's, exact. Beside our projection of noise: every draw copied into all cells that its
point covers, and the warping that ComfyUI carries for video, along the flow of the same depth.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch
from torch import Tensor

from ...commands.report import Row, finish
from ...devices import pick_device
from ...metrics.image import masked_psnr
from ...projection import projector
from ...synthetic.splits import SPLITS
from ..options import add_split, bench_parser, called
from ..store import mean_row
from ..turbo.speed import median_seconds
from .noise import noise_rows
from .pairs import Pair, pairs

ANGLES = (15, 30, 45)  # degrees of yaw from the front, both sides
FLYING = 0.02  # scene units between a cell's surface and the true one, from which on its pixel flies
NOISE_HEADS = 8
UNITS = {
    "flying pixels": "a view",
    "known pixels": "a view",
    "PSNR, co-visible, picture": "dB",
    "PSNR, co-visible, nearest": "dB",
}


def share(some: Tensor, of: Tensor) -> float:
    """The share of the cells `of` that are in `some`, 0 .. 1; both bool [h, w]."""
    return float((some & of).sum() / of.sum().clamp_min(1))


def view_figures(pair: Pair) -> dict[str, float]:
    """Colours and void of one pair; what is asked of the person's pixels alone."""
    exact = pair.views.rgb[1:]
    person = pair.views.mask[1, 0] > 0.5
    splat = pair.projection.splat((exact.shape[-2], exact.shape[-1]))
    picture, covered = pair.projection.picture(pair.views.rgb[0])
    covered = covered[0] > 0
    hard = splat.index >= 0
    empty, hidden = person & ~covered, person & ~pair.visible
    away = (splat.distance - pair.views.ray_distance[1, 0]).abs()
    return {
        "PSNR, co-visible, picture": float(
            masked_psnr(picture[None], exact, (covered & pair.visible)[None, None].float())
        ),
        "PSNR, co-visible, nearest": float(
            masked_psnr(
                splat.carry(pair.views.rgb[0])[None], exact, (hard & pair.visible)[None, None].float()
            )
        ),
        "co-visible pixels known": share(covered, pair.visible),
        "void, precision": share(hidden, empty),
        "void, recall": share(empty, hidden),
        "flying pixels": float((covered & hard & ((away > FLYING) | ~person)).sum()),
        "known pixels": float(covered.sum()),
    }


def view_rows(seeds: range) -> list[Row]:
    """Of all heads, at every angle."""
    rows = []
    for angle in ANGLES:
        heads = [[view_figures(pair) for pair in pairs(seed, angle)] for seed in seeds]
        for metric in heads[0][0]:
            values = torch.tensor([sum(side[metric] for side in head) / len(head) for head in heads])
            rows.append(mean_row(f"{angle} degrees", metric, values, UNITS.get(metric, "")))
    return rows


def speed_rows(seed: int) -> list[Row]:
    """One view of 512 pixels."""
    pair = pairs(seed, 30, 512)[0]
    views = pair.views
    device = pick_device()
    image, distance, mask = (x.to(device) for x in (views.rgb[0], views.ray_distance[0, 0], views.mask[0, 0]))
    source, target = (pair.camera[i].to(device) for i in (0, 1))

    def whole() -> None:
        projector(distance, mask, source, target).picture(image)

    projection = projector(distance, mask, source, target)
    return [
        Row(f"512 pixels, {device.type}", metric, median_seconds(work, device), "s")
        for metric, work in (
            ("depth to picture and void", whole),
            ("soft splat alone", lambda: projection.soft(image)),
            ("nearest splat alone", lambda: projection.splat((512, 512))),
        )
    ]


def comfyui_folder() -> Path | None:
    """COMFYUI_PATH, else the one that the environment was made with."""
    note = Path(sys.prefix) / "comfyui"
    path = os.environ.get("COMFYUI_PATH") or (note.read_text(encoding="utf-8") if note.is_file() else "")
    return Path(path) if path else None


def run(arguments: list[str]) -> None:
    """Print the table."""
    parser = bench_parser("projection", __doc__)
    add_split(parser)
    parser.add_argument(
        "--comfyui", type=Path, default=comfyui_folder(), metavar="DIR", help="ComfyUI, for its noise warping"
    )
    with called(parser, arguments) as options:
        seeds = SPLITS[options.split][1 : options.count + 1]  # the first is the portrait that ships
        rows = view_rows(seeds) + noise_rows(seeds[:NOISE_HEADS], options.comfyui) + speed_rows(seeds[0])
        finish("projection", rows, options.json)
