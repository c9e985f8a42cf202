"""`bench turbo --bake`: refined views baked back into the head: views never refined, and the mesh, before and after."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from ...camera import Camera
from ...commands.report import Row
from ...fitting.baking import BakeConfig, bake
from ...head import Head
from ...mesh.rasterize import render_mesh
from ...metrics.evaluate import Judges, evaluate, shipped_judges
from ...portrait import MeshConfig, head_to_mesh
from ..exact_heads import ExactHead
from ..store import mean_row
from .methods import Methods, novel, shown

REFINED = (-60, -30, 30, 60)  # degrees: these are refined and baked, with the photo itself in front
NEVER = (-45, 45, -90, 90)  # these are only looked at
UNITS = {"PSNR": "dB", "SSIM": "", "perceptual": "", "identity": ""}


def bake_rows(methods: Methods, heads: list[ExactHead], minutes: float) -> list[Row]:
    """Figures of views never refined and of the mesh, their differences with intervals over heads; stops at the clock."""
    judges = shipped_judges()
    until = time.monotonic() + 60 * minutes
    figures = []
    seconds = []
    for head in heads:
        if time.monotonic() > until:
            break
        start = time.perf_counter()
        figures.append(of_head(methods, head, judges))
        seconds.append(time.perf_counter() - start)
        print(f"baked {head.name} ({seconds[-1]:.0f} s)", flush=True)
    rows = []
    for key in figures[0] if figures else ():
        what, metric = key
        before, after = (torch.tensor([one[key][i] for one in figures]) for i in (0, 1))
        for name, values in (
            (f"{what}, before", before),
            (f"{what}, baked", after),
            (f"{what}, baked less before", after - before),
        ):
            rows.append(mean_row(name, metric, values, UNITS[metric]))
    return rows


def of_head(methods: Methods, head: ExactHead, judges: Judges) -> dict[tuple[str, str], tuple[float, float]]:
    """Before and after, by what is looked at and metric."""
    index = novel(head, REFINED)
    rest = novel(head, NEVER)
    front = [head.exact.frontal]
    avatar = methods.head(head)
    with torch.no_grad():
        views = torch.cat([head.exact.views.rgb[front], methods.refined(head, index).views])
    bake_result = bake(
        avatar,
        views,
        head.exact.camera[front + index],
        BakeConfig(),
        generator=torch.Generator().manual_seed(0),
    )
    result = {}
    for what, look in (("views never refined", shown), ("mesh", mesh_views)):
        truth = head.exact.views.rgb[rest]
        both = [
            figures_of(look(one, head.exact.camera[rest]), truth, judges) for one in (avatar, bake_result)
        ]
        result |= {(what, metric): (both[0][metric], both[1][metric]) for metric in both[0]}
    return result


def figures_of(views: Tensor, truth: Tensor, judges: Judges) -> dict[str, float]:
    """Means over views [V, 3, S, S] and their truth [V, 3, S, S], in [0, 1]."""
    return {
        figure.metric: figure.value for figure in evaluate(views, truth, judges) if figure.metric in UNITS
    }


@torch.no_grad()
def mesh_views(head: Head, cameras: Camera) -> Tensor:
    """[V, 3, 256, 256] of the head's mesh."""
    mesh = head_to_mesh(head, MeshConfig())
    return torch.stack([render_mesh(mesh, cameras[i], 256).rgb for i in range(cameras.shape[0])])
