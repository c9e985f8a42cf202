"""What `bench rodin --generate` tells of a head's pictures: RodinHD's tables 1, 2 and 7, by judges of our own.

CSIM is our identity network's; AED, APD and ASD are those of `readings`. FID's and KID's features are our perceptual network's. These
tell fine grain before all else: avatars of networks that had learnt nothing, which are coloured noise, lay nearer to exact views than
planes fitted to 24 views. So a kernel distance on our identity network's features stands beside them, of one vector a head, the mean over
views that show a face. Read none of them without the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ...commands.report import Row
from ...metrics.evaluate import Judges
from ...metrics.identity import head_crop
from ...metrics.image import psnr, ssim
from ...metrics.perceptual import embedding, perceptual_distance
from ...presence import present
from ..sets import frechet_row, kernel_row
from ..store import mean_row
from . import readings
from .people import FACES, Pictures, Subject, yaws

UNITS = {
    "perceptual": "",
    "SSIM": "",
    "PSNR": "dB",
    "identity to the portrait": "",
    "identity across views": "",
} | readings.UNITS
HIGHER = ("SSIM", "PSNR", "identity to the portrait", "identity across views")
EMBEDDING, IDENTITY = "embedding", "who"  # features [V][D] and [1][D], as a store keeps them
KERNEL, FRECHET = "kernel distance, ours", "Frechet distance, ours"
IDENTITY_KERNEL = "kernel distance, ours of identity"
LEAST = 4  # heads of which half have a distance, with one vector each


@torch.no_grad()
def figures_of(
    pictures: Pictures, subject: Subject, judges: Judges, readers: readings.Readers
) -> dict[str, Any]:
    """All of one row and head, by `UNITS`, and features of its views. Args: pictures: [V] at `ANGLES`, of the portrait's head."""
    ours, truth = pictures.rgb, subject.exact(subject.cameras, pictures.rgb.shape[-1]).rgb
    eyes = present(judges.perceptual, "a perceptual network among the judges", "take `shipped_judges`")
    values = {
        "perceptual": perceptual_distance(eyes, ours, truth).mean().item(),
        "SSIM": ssim(ours, truth),
        "PSNR": psnr(ours, truth),
        "identity to the portrait": (identities(ours, judges) @ portrait_identity(subject, judges))
        .mean()
        .item(),
    }
    if math.isinf(values["PSNR"]):  # exact views
        del values["PSNR"]
    return values | readings.reading_figures(ours, truth, subject, readers) | own_figures(pictures, judges)


@torch.no_grad()
def own_figures(pictures: Pictures, judges: Judges) -> dict[str, Any]:
    """What can be told of anybody's views, [V] at `ANGLES`: identity across them, and their features."""
    who = identities(pictures.rgb, judges)
    pairs = torch.stack([who[i] @ who[j] for i, j in combinations(range(len(who)), 2)])
    eyes = present(judges.perceptual, "a perceptual network among the judges", "take `shipped_judges`")
    features = torch.cat([embedding(eyes, one) for one in pictures.rgb.split(1)])
    mean = (
        normalize(who.mean(0, keepdim=True), dim=1) * who.shape[1] ** 0.5
    )  # scaled as `perceptual.embedding`
    return {
        "identity across views": pairs.mean().item(),
        EMBEDDING: features.tolist(),
        IDENTITY: mean.tolist(),
    }


def identities(rgb: Tensor, judges: Judges) -> Tensor:
    """Unit vectors [F, D] of the views [V, 3, S, S] that show the face."""
    network = present(judges.identity, "an identity network among the judges", "take `shipped_judges`")
    return network(head_crop(rgb[yaws(FACES)]))


def portrait_identity(subject: Subject, judges: Judges) -> Tensor:
    """Unit vector [D] of the portrait's exact view."""
    network = present(judges.identity, "an identity network among the judges", "take `shipped_judges`")
    return network(head_crop(subject.portrait.on_white()[None]))[0]


def distance_rows(name: str, ours: dict[str, dict], exact: dict[str, dict]) -> list[Row]:
    """Kernel and Frechet distance between a row's views and the exact ones of the same heads, or of as many."""
    both = [head for head in ours if head in exact]
    if len(both) < 2:
        return []

    def features(key: str) -> tuple[Tensor, Tensor]:
        """Of both, [heads, V, D]."""
        a, b = (torch.tensor([rows[head][key] for head in both]) for rows in (ours, exact))
        return a, b

    table = [
        kernel_row(name, KERNEL, *features(EMBEDDING)),
        frechet_row(name, FRECHET, *features(EMBEDDING)),
    ]
    if len(both) >= LEAST:
        table.append(kernel_row(name, IDENTITY_KERNEL, *features(IDENTITY)))
    return table


def rank_rows(names: Sequence[str], done: dict[str, dict[str, dict]], metrics: Sequence[str]) -> list[Row]:
    """Mean ranks of rows over the heads that all of them have, 1 the best: what table 9 asks people, asked of judges."""
    rows = {name: done[name] for name in names if done.get(name)}
    heads = set.intersection(*(set(figures) for figures in rows.values())) if len(rows) > 1 else set()
    if not heads:
        return []
    table = []
    for metric in metrics:
        sign = -1 if metric in HIGHER else 1
        values = torch.tensor([[sign * rows[name][head][metric] for head in sorted(heads)] for name in rows])
        ranks = 1 + values.argsort(0).argsort(0).double()
        table += [
            mean_row(name, f"rank by {metric}, of {len(rows)}", own, "")
            for name, own in zip(rows, ranks, strict=True)
        ]
    return table


def verdict(row: Row) -> str:
    """What a paired row of `UNITS` says: better, worse, or that its interval touches zero."""
    low, high = (
        present(row.low, "an interval", "take a paired row"),
        present(row.high, "an interval", "take one"),
    )
    if low <= 0 <= high:
        return "not told apart"
    return "better" if (row.value > 0) == (row.metric in HIGHER) else "worse"
