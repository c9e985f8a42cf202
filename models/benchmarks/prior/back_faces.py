"""`bench prior --backs`: the face-on-the-back metric on samples of the prior, beside exact heads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ...checkpoint import read_tensors, save_tensors
from ...commands.report import Row
from ...head import head_of
from ...metrics.back_face import BackFace, back_face, cameras, control, thresholds
from ...prior.contract import HeadGenerator, styles
from ...synthetic.factories import Factory, factory_of_code
from ...synthetic.renders import cache_folder
from ...synthetic.splits import VALIDATION
from ..keys import code_key

SIZE = 128


def back_rows(prior: HeadGenerator, count: int) -> list[Row]:
    """Figures of the prior's heads of `count` validation codes, beside the exact heads with the same codes."""
    seeds = list(VALIDATION[:count])
    factory = factory_of_code(prior.config.z_dim)
    folder = cache_folder() / f"factory-{factory.version}" / f"backs-{code_key(__file__)}"
    views = [_exact_views(folder, factory, seed) for seed in seeds]
    exact = joined([of_views(*one) for one in views])
    limits = thresholds(joined([of_views(*one, control) for one in views]))
    samples = joined([_sampled(prior, seed) for seed in seeds])
    rows = []
    for name, scores in (("exact heads", exact), ("samples of the prior", samples)):
        for part in ("colour", "relief"):
            values = getattr(scores, part)
            rows.append(
                Row(
                    name,
                    f"{part}: mean likeness of the back to the front's face",
                    values.mean().item(),
                    "",
                    n=count,
                )
            )
            rows.append(Row(name, f"{part}: 99th percentile", values.quantile(0.99).item(), "", n=count))
        rows.append(
            Row(
                name,
                "share of heads above what exact heads, sharp or softened, give by chance in 99 of 100 cases",
                scores.above(limits).float().mean().item(),
                "",
                n=count,
            )
        )
    return rows


def joined(parts: list[BackFace]) -> BackFace:
    """One of many."""
    return BackFace(*(torch.cat([getattr(part, key) for part in parts]) for key in ("colour", "relief")))


def of_views(
    rgb: Tensor, mask: Tensor, distance: Tensor, metric: Callable[..., BackFace] = back_face
) -> BackFace:
    """The metric [1] of one head's two views: rgb [2, 3, S, S], mask and distance [2, 1, S, S]."""
    return metric(rgb[None], mask[None], distance[None])


def _exact_views(folder: Path, factory: Factory, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """rgb, mask, distance of the exact head's front and back; made once, kept in the cache."""
    path = folder / f"{seed}.safetensors"
    if not path.is_file():
        views = factory.exact(seed, cameras(), SIZE).views
        save_tensors(
            path, {"rgb": views.rgb.half(), "mask": views.mask.half(), "distance": views.ray_distance}, {}
        )
    tensors, _ = read_tensors(path, "cached views")
    return tensors["rgb"].float(), tensors["mask"].float(), tensors["distance"]


@torch.no_grad()
def _sampled(prior: HeadGenerator, seed: int) -> BackFace:
    ws = styles(prior, factory_of_code(prior.config.z_dim).code(seed))
    render = head_of(prior, ws).render(cameras(), SIZE, normals=False)
    return of_views(render.rgb, render.opacity, render.depth)
