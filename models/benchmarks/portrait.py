"""`bench portrait`: the whole of Portrait Diffusion, stage by stage, as in its table 1, on held-out heads.

Five views, front and 45 and 90 degrees to both sides: against the photo, as the paper judges them, and against the exact views. Every row
begins with the same inversion; its seconds are those of all the stages that it needs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ..camera import orbit
from ..checkpoint import shipped
from ..diffusion import turbo
from ..diffusion.embedded_zero123 import shipped_zero123
from ..diffusion.hpdm import shipped_hpdm
from ..diffusion.new_views import embedded_model
from ..diffusion.turbo_weights import shipped_refiner
from ..distillation.baking import BakeConfig, bake, with_reference
from ..distillation.refinement import PRESETS, Refinement, refine
from ..distillation.restoration import Guides, RestorationConfig, restore_geometry
from ..head import Head
from ..metrics.evaluate import evaluate, shipped_judges
from ..prior.inversion import adam_step
from ..training.local import parsed
from .head_bench import HeadBench, head_parser, heads_of, mean_row, store_path
from .inverted_heads import InvertedHeads
from .mvnrs import plain_gradient
from .prior_heads import ExactHead, views_at
from .report import Row, finish

VIEWS = (0, 45, 90, -45, -90)  # degrees of yaw
BAKED = (-60, -30, 30, 60)
PHOTO_UNITS = {"perceptual": "", "identity": ""}
EXACT_UNITS = {"PSNR": "dB", "SSIM": "", "perceptual": "", "identity": "", "NIQE": ""}
PRIOR, RESTORED, SDS, TURBO, FAST, DETAIL = "prior", "restored", "plain SDS", "Turbo, baked", "fast", "detail"
SDS_WEIGHT = 1e-3  # of score distillation beside the photo: the two weights of geometry restoration, one over the other
SEED = 0


class PortraitBench(HeadBench):
    """Rows by stage. Args: iterations: of `fast` and of plain SDS; None for the preset's. detail: whether that row is made."""

    def __init__(self, heads: list[ExactHead], store: Path, minutes: float, iterations: int | None, detail: bool) -> None:
        super().__init__(heads, store, minutes)
        self.inverted, self.model, self.network, self.turbo = InvertedHeads(), embedded_model(), shipped_hpdm(), shipped_refiner()
        self.guides, self.judges, self.detail = Guides(self.model, shipped_zero123()), shipped_judges(), detail
        self.fast = PRESETS["fast"] if iterations is None else replace(PRESETS["fast"], iterations=iterations)
        self.latest: tuple[str, Head, float] | None = None

    def draws(self) -> torch.Generator:
        """Of any stage."""
        return torch.Generator().manual_seed(SEED)

    def restored(self, exact: ExactHead) -> tuple[Head, float]:
        """The head after restoration, and the seconds up to there; the latest one is kept."""
        if self.latest is None or self.latest[0] != exact.name:
            head, seconds = self.inverted.timed(exact)
            started = time.perf_counter()
            (head,), _ = restore_geometry([head], self.guides, RestorationConfig(), generator=self.draws())
            self.latest = exact.name, head, seconds + time.perf_counter() - started
        return self.latest[1], self.latest[2]

    def baked(self, head: Head) -> Head:
        """One-step refinement of views around the front, baked back."""
        cameras = orbit(torch.tensor(BAKED).float().deg2rad(), torch.zeros(len(BAKED)))
        with torch.no_grad():
            renders = head.render(cameras, 256, normals=False).rgb
            views = turbo.refine(self.turbo, renders, head.reference.on_white()[None], generator=self.draws())
        return bake(head, *with_reference(head, views, cameras), BakeConfig(), generator=self.draws())

    def stage(self, exact: ExactHead, row: str) -> tuple[Head, float]:
        """One row's head, and all seconds that it took."""
        prior, seconds = self.inverted.timed(exact)
        if row == PRIOR:
            return prior, seconds
        if row != TURBO:
            prior, seconds = self.restored(exact)
        started = time.perf_counter()
        made = {
            RESTORED: lambda: prior,
            SDS: lambda: distilled(Refinement(prior, self.model, None, self.fast, self.draws())),
            TURBO: lambda: self.baked(prior),
            FAST: lambda: refine(prior, self.model, self.network, self.fast, generator=self.draws()),
            DETAIL: lambda: refine(prior, self.model, self.network, PRESETS["detail"], generator=self.draws()),
        }[row]()
        return made, seconds + time.perf_counter() - started

    @torch.no_grad()
    def figures(self, head: Head, exact: ExactHead) -> dict[str, float]:
        """Of the five views."""
        index = views_at(exact, VIEWS)
        truth, masks = exact.exact.views.rgb[index], exact.exact.views.mask[index]
        shown = head.render(exact.exact.camera[index], truth.shape[-1], normals=False).rgb
        photo = exact.exact.views.rgb[[exact.exact.frontal]]
        return {
            **self.judged("against the photo", shown, photo, PHOTO_UNITS),
            **self.judged("against the exact views", shown, truth, EXACT_UNITS, reference_masks=masks),
        }

    def judged(self, against: str, shown: Tensor, truth: Tensor, units: dict[str, str], **masks: Tensor) -> dict[str, float]:
        """Figures, named by what they compare with."""
        found = {figure.metric: figure.value for figure in evaluate(shown, truth, self.judges, **masks)}
        return {f"{metric} {against}": found[metric] for metric in units if metric in found}

    def run(self) -> None:
        """Head by head, so that a stopped bench has whole heads."""

        def measured(row: str) -> Callable[[ExactHead], dict[str, float]]:
            def measure(exact: ExactHead) -> dict[str, float]:
                head, seconds = self.stage(exact, row)
                return self.figures(head, exact) | {"time": seconds}

            return measure

        for exact in self.heads:
            for row in (PRIOR, RESTORED, SDS, TURBO, FAST, *([DETAIL] if self.detail else [])):
                self.fill(row, [exact], measured(row))

    def rows(self) -> list[Row]:
        """Means, and each stage of the paper less the one before."""
        rows = []
        for name, heads in self.done.items():
            for metric in next(iter(heads.values()), {}):
                rows.append(mean_row(name, metric, torch.tensor([found[metric] for found in heads.values()]), unit_of(metric)))
        for ours, other in ((RESTORED, PRIOR), (FAST, RESTORED), (FAST, SDS), (FAST, TURBO), (FAST, PRIOR), (DETAIL, FAST)):
            a, b = self.done.get(ours, {}), self.done.get(other, {})
            both = [head for head in a if head in b]
            for metric in a[both[0]] if both else ():
                if metric != "time":
                    values = torch.tensor([a[head][metric] - b[head][metric] for head in both])
                    rows.append(mean_row(f"{ours} less {other}", metric, values, unit_of(metric)))
        return rows


def unit_of(metric: str) -> str:
    """Of a figure."""
    return "s" if metric == "time" else EXACT_UNITS.get(metric.partition(" against")[0], "")


def distilled(run: Refinement) -> Head:
    """Plain score distillation with the views, iterations, photo and rate of a refinement, and as many calls of the UNet."""
    scene, config = run.scene, run.config
    scene.refresh()
    for done in range(config.iterations):
        scene.begin(run.generator)
        t = config.t(done, len(scene.model.denoiser.schedule))
        gradient = SDS_WEIGHT * plain_gradient(run, t, run.generator) + run.reference_gradient()
        rate = config.rate * min(1, (1 - done / config.iterations) / 0.25)
        with torch.no_grad():
            adam_step(scene.head.planes, gradient, *run.moments, rate, done + 1)
    return run.refined()


def run(arguments: list[str]) -> None:
    """Print the table; what the clock cuts off, the next call goes on with."""
    parser = head_parser("portrait", __doc__)
    parser.add_argument("--iterations", type=int, help="of fast and of plain SDS, where the preset's are too many")
    parser.add_argument("--detail", action="store_true", help="the preset detail, too")
    options = parsed(parser, arguments)
    heads, settings = heads_of(options), f"{options.iterations} {PRESETS} {RestorationConfig()}"
    weights = sorted(shipped("prior").parent.glob("*.safetensors"))
    rooms = ["field", "prior", "metrics", "synthetic", "diffusion", "distillation"]
    store = store_path("portrait", options, settings, weights, rooms, [Path(__file__)])
    bench = PortraitBench(heads, store, options.minutes, options.iterations, options.detail)
    bench.run()
    finish("portrait", bench.rows(), options.json)
