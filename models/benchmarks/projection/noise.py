"""Whether projected noise is still noise, and still the same: ours, plain copies, and what ComfyUI carries for video."""

from __future__ import annotations

import importlib
import math
import sys
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from ...camera import project, rays
from ...commands.report import Row
from ...projection import nearest
from ..store import mean_row
from .pairs import Pair, pairs

DRAWS = 64
CELLS = 64  # of Stable Diffusion's latents at 512 pixels
CHANNELS = 4
ANGLE = 30  # degrees


def core_warping(folder: Path | None) -> ModuleType | None:
    """ComfyUI's own noise warping (comfy_extras/void_noise_warp.py) out of ComfyUI's folder; None where there is none."""
    if folder is None or not (folder / "comfy_extras" / "void_noise_warp.py").is_file():
        return None
    sys.path.insert(0, str(folder))
    try:
        importlib.import_module("comfy.cli_args").args.cpu = not torch.accelerator.is_available()
        return importlib.import_module("comfy_extras.void_noise_warp")
    finally:
        sys.path.remove(str(folder))


def flow(pair: Pair) -> Tensor:
    """[2, CELLS, CELLS]: by how many cells what the front's cells show has moved; 0 where there is nothing."""
    size = (CELLS, CELLS)
    distance, mask = (nearest(x, size) for x in (pair.projection.distance, pair.views.mask[0, 0] > 0.5))
    origins, directions = rays(pair.projection.source, *size)
    here, _ = project(pair.projection.source, origins + directions)
    there, _ = project(pair.projection.target, origins + directions * distance[..., None])
    return torch.where(mask[..., None], (there - here) * CELLS, 0).movedim(-1, 0)


def partners(pair: Pair) -> Tensor:
    """int64 [CELLS, CELLS]: the front's cell that each co-visible one of the second view truly shows; -1 elsewhere."""
    size = (CELLS, CELLS)
    distance, visible = nearest(pair.views.ray_distance[1, 0], size), nearest(pair.visible, size)
    origins, directions = rays(pair.projection.target, *size)
    place, _ = project(pair.projection.source, origins + directions * distance[..., None])
    cell = (place * CELLS).floor().long().clamp(0, CELLS - 1)
    return torch.where(visible, cell[..., 1] * CELLS + cell[..., 0], -1)


class NoiseFigures:
    """Sums over draws and heads of one way to carry noise."""

    def __init__(self) -> None:
        self.count = self.total = self.squares = 0.0
        self.pairs = torch.zeros(2, 2, dtype=torch.float64)  # [right, down][sum of products, count]
        self.alike = torch.zeros(2, dtype=torch.float64)

    def add(self, noise: Tensor, source: Tensor, covered: Tensor, partner: Tensor) -> None:
        """[D, C, h, w] both; the cells to look at, and the source's cell of each."""
        inside = noise[..., covered].double()
        self.count, self.total = self.count + inside.numel(), self.total + float(inside.sum())
        self.squares += float(inside.square().sum())
        for i, (a, b, both) in enumerate(
            (
                (noise[..., :, 1:], noise[..., :, :-1], covered[:, 1:] & covered[:, :-1]),
                (noise[..., 1:, :], noise[..., :-1, :], covered[1:] & covered[:-1]),
            )
        ):
            products = (a * b)[..., both].double()
            self.pairs[i] += torch.tensor([products.sum(), products.numel()], dtype=torch.float64)
        visible = partner >= 0
        products = noise[..., visible].double() * source.flatten(-2)[..., partner[visible]].double()
        self.alike += torch.tensor([products.sum(), products.numel()], dtype=torch.float64)

    def rows(self, name: str) -> list[Row]:
        """As correlations: divided by the variance."""
        mean = self.total / self.count
        variance = self.squares / self.count - mean**2
        right, down = (self.pairs[:, 0] / self.pairs[:, 1] / variance).tolist()
        n = int(self.count)
        return [
            Row(name, "mean, in standard errors", mean / math.sqrt(variance / n), "", n=n),
            Row(name, "variance", variance, "", n=n),
            Row(name, "correlation of neighbours, across", right, "", n=int(self.pairs[0, 1])),
            Row(name, "correlation of neighbours, down", down, "", n=int(self.pairs[1, 1])),
            Row(
                name,
                "correlation with the same surface's cell",
                float(self.alike[0] / self.alike[1] / math.sqrt(variance)),
                "",
                n=int(self.alike[1]),
            ),
        ]


def noise_rows(seeds: range, comfyui: Path | None = None) -> list[Row]:
    """Noise of CELLS x CELLS, DRAWS draws a head, on the cells that the projection knows. Args: comfyui: its folder."""
    core = core_warping(comfyui)
    draws = torch.Generator().manual_seed(0)
    ways = {"noise, ours": NoiseFigures(), "noise, copied into every cell": NoiseFigures()}
    if core is not None:
        ways["noise, ComfyUI's warping"] = NoiseFigures()
    copies = []
    for seed in seeds:
        pair = pairs(seed, ANGLE)[0]
        splat = pair.projection.splat((CELLS, CELLS))
        partner = partners(pair)
        motion = flow(pair)
        covered = splat.index >= 0
        copies.append(float((covered & ~splat.own).sum() / covered.sum()))
        noise, fresh = torch.randn(2, DRAWS, CHANNELS, CELLS, CELLS, generator=draws)
        ways["noise, ours"].add(splat.carry_noise(noise, fresh), noise, covered, partner)
        ways["noise, copied into every cell"].add(splat.carry(noise, fresh), noise, covered, partner)
        if core is not None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                warps = [
                    core.state_to_noise(core.warp_state(core.noise_to_state(one), motion)) for one in noise
                ]
            ways["noise, ComfyUI's warping"].add(torch.stack(warps), noise, covered, partner)
    rows = [mean_row("noise, ours", "cells that a copy would have doubled", torch.tensor(copies), "")]
    return rows + [row for name, figures in ways.items() for row in figures.rows(name)]
