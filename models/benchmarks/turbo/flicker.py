"""`bench turbo --flicker`: turntables of the feed-forward head, refined, and refined and steadied, against the exact ones."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ...camera import Camera, orbit
from ...commands.report import Row
from ...diffusion.temporal import SteadyConfig, steady
from ...diffusion.turbo import refine_sequence
from ...metrics.flicker import column_picture, flicker
from ...metrics.image import psnr
from ...refinements import turn
from ...synthetic.rendering import render_head
from ..exact_heads import ExactHead
from ..store import mean_row
from .methods import Methods, shown

FRAMES = 24
SIZE = 256
NAMES = ("feed-forward renders", "refined", "refined and steadied")


def flicker_rows(methods: Methods, heads: list[ExactHead], minutes: float, picture: Path | None) -> list[Row]:
    """Flicker over the exact sequence's own, and PSNR; their means with intervals over heads; stops at the clock."""
    until = time.monotonic() + 60 * minutes
    figures = []
    columns = []
    for head in heads:
        if time.monotonic() > until or head.exact.parameters is None:
            break
        turns, exact, distance = sequences(methods, head)
        cameras = cameras_of()
        figures.append(
            [(flicker(x, exact, distance, cameras, closed=True).ratio, psnr(x, exact)) for x in turns]
        )
        columns.append(torch.cat([column_picture(x) for x in (*turns, exact)], -1))
        print(f"turned {head.name}", flush=True)
    if picture is not None and columns:
        image = (torch.cat(columns[:4], -2).clamp(0, 1) * 255).round().byte().permute(1, 2, 0)
        Image.fromarray(image.numpy()).resize(
            (image.shape[1] * 6, image.shape[0]), Image.Resampling.NEAREST
        ).save(picture)
    rows = []
    values = torch.tensor(figures)  # [heads, sequences, metrics]
    for j, (metric, unit) in enumerate((("flicker over the exact turn's", ""), ("PSNR", "dB"))):
        for i, name in enumerate(NAMES if figures else ()):
            rows.append(mean_row(name, metric, values[:, i, j], unit))
        for i in (1, 2) if figures else ():
            rows.append(
                mean_row(
                    f"{NAMES[i]} less {NAMES[i - 1]}", metric, values[:, i, j] - values[:, i - 1, j], unit
                )
            )
    return rows


def cameras_of() -> Camera:
    """A whole turn [FRAMES]."""
    return orbit(turn(FRAMES), torch.zeros(FRAMES))


@torch.no_grad()
def sequences(methods: Methods, head: ExactHead) -> tuple[list[Tensor], Tensor, Tensor]:
    """The three turns and the exact one [FRAMES, 3, SIZE, SIZE], and its distances, 0 where empty."""
    cameras = cameras_of()
    exact = render_head(head.parameters, cameras, SIZE)
    renders = shown(methods.head(head), cameras)
    photo = head.exact.views.rgb[[head.exact.frontal]]
    ours = refine_sequence(
        methods.turbo, renders, photo, generator=torch.Generator().manual_seed(0), loop=True
    )
    ours_steady = steady(ours, renders, SteadyConfig(), loop=True)
    return [renders, ours, ours_steady], exact.rgb, exact.ray_distance * exact.mask
