"""`bench turbo`: one-step refinement of feed-forward renders, as in TurboPortrait3D's tables, on held-out heads.

Table 1: views within 60 degrees, from the frontal picture alone: the feed-forward stage, an inversion, 20-step img2img of the same UNet,
the autoencoder's round trip of the exact views (the ceiling), refined views, and the same step on the inversion's views. Table 2: shares
of noise. Figure 6: side views. Ablations: those that `train turbo --ablation` has left in the cache. `--speed` and `--bake` are tables of their own.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ...commands.report import Row, finish
from ...diffusion.turbo_weights import shipped_refiner
from ...metrics.evaluate import Judges, evaluate, shipped_judges
from ...metrics.perceptual import embedding
from ...presence import present
from ...training.turbo import ABLATIONS, ablation_path
from ..exact_heads import ExactHead
from ..options import called, head_parser, heads_of
from ..sets import kernel_row
from ..store import HeadBench, difference_rows, mean_row, mean_rows, store_path
from .bake import bake_rows
from .flicker import flicker_rows
from .methods import STEPS, Alone, Made, Methods, novel
from .pictures import draw_sheet
from .speed import added_memory, speed_rows

UNITS = {
    "L2": "",
    "PSNR": "dB",
    "SSIM": "",
    "perceptual": "",
    "identity": "",
    "registration": "s",
    "generation": "s",
}
SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
SIDES = (-90, -60, -30, 30, 60, 90)  # degrees, figure 6
PSNR_LOSS = 0.2  # dB: what refinement may cost against the lower of renders and ceiling
SPREAD = 0.05  # of the perceptual distance over the shares of noise
RENDERS, CEILING, REFINED = "feed-forward renders", "autoencoder's round trip of the exact views", "refined"


def measure(result: Made, exact: Tensor, judges: Judges) -> dict[str, float | list[list[float]]]:
    """Means over a head's views, with exact [V, 3, S, S], and embeddings for the distance between sets."""
    figures = {figure.metric: figure.value for figure in evaluate(result.views, exact, judges)}
    means = {key: figures[key] for key in UNITS if key in figures}
    return means | {
        "registration": result.registration,
        "generation": result.generation,
        "embedding": embedded(result.views, judges),
    }


@torch.no_grad()
def embedded(views: Tensor, judges: Judges) -> list[list[float]]:
    """[V][D] of our perceptual network."""
    network = present(judges.perceptual, "a perceptual network among the judges", "take `shipped_judges`")
    return torch.cat([embedding(network, x) for x in views.split(1)]).tolist()


class TurboBench(HeadBench):
    """The methods and what judges them."""

    def __init__(self, heads: list[ExactHead], store: Path, minutes: float) -> None:
        super().__init__(heads, store, minutes)
        self.methods = Methods()
        self.judges = shipped_judges()

    def row(
        self, name: str, make: Callable[[ExactHead, list[int]], Made], angles: tuple[int, ...] | None = None
    ) -> None:
        """Figures of one row for the heads that have none yet; stops at the clock."""

        def figures(head: ExactHead) -> dict:
            index = novel(head, angles)
            return measure(make(head, index), head.exact.views.rgb[index], self.judges)

        self.fill(name, self.heads, figures)

    def run(self) -> None:
        """All rows, the cheap ones first."""
        methods = self.methods
        self.row("exact views", lambda head, index: Made(head.exact.views.rgb[index], 0.0, 0.0))
        self.row(RENDERS, methods.renders)
        self.row(CEILING, methods.ceiling)
        self.row(REFINED, methods.refined)
        for r in SHARES:
            self.row(
                f"table 2: refined, r = {r:g}", lambda head, index, r=r: methods.refined(head, index, r=r)
            )
        for angle in SIDES:
            self.row(f"figure 6: renders at {angle} degrees", methods.renders, (angle,))
        self.row("figure 6: refined, all of these views at once", methods.refined, SIDES)
        for name in ABLATIONS:
            path = ablation_path(name)
            if path.is_file():
                turbo = shipped_refiner(path)
                if name == "no-mixing":
                    turbo = replace(turbo, denoiser=Alone(turbo.denoiser))
                self.row(
                    f"ablation: {name}", lambda head, index, turbo=turbo: methods.refined(head, index, turbo)
                )
        self.row(f"img2img, {STEPS} steps", methods.img2img)
        self.row("inversion, quick", methods.inverted)
        self.row("inversion, quick, refined", methods.inverted_refined)

    def rows(self) -> list[Row]:
        """The tables, with 95 % intervals over heads."""
        rows = []
        for name, heads in self.done.items():
            if name != "exact views":
                rows += mean_rows(name, heads, UNITS) + self.kernel_row(name)
        return rows + self.against_goals()

    def kernel_row(self, name: str) -> list[Row]:
        """Kernel distance between a row's views and the exact ones of the same heads."""
        ours = self.done[name]
        exact = self.done.get("exact views", {})
        both = [
            head
            for head in ours
            if head in exact and len(ours[head]["embedding"]) == len(exact[head]["embedding"])
        ]
        if len(both) < 2:
            return []
        a, b = (torch.tensor([rows[head]["embedding"] for head in both]) for rows in (ours, exact))
        return [kernel_row(name, "kernel distance", a, b)]

    def paired(self, metric: str, ours: str, other: str) -> list[Row]:
        """A row's figure less another's, over the heads that both have."""
        figures, others = (self.done.get(name, {}) for name in (ours, other))
        return difference_rows(f"{ours} less {other}", figures, others, {metric: UNITS[metric]})

    def against_goals(self) -> list[Row]:
        """Refined views against every other row, PSNR against the lower of renders and ceiling, and table 2's spread."""
        others = [name for name in self.done if name not in (REFINED, "exact views") and ":" not in name]
        rows = [
            row
            for metric in ("PSNR", "perceptual", "identity")
            for other in others
            for row in self.paired(metric, REFINED, other)
        ]
        ours, renders, ceiling = (self.done.get(name, {}) for name in (REFINED, RENDERS, CEILING))
        both = [head for head in ours if head in renders and head in ceiling]
        if both:
            over = torch.tensor(
                [ours[h]["PSNR"] - min(renders[h]["PSNR"], ceiling[h]["PSNR"]) + PSNR_LOSS for h in both]
            )
            rows.append(
                mean_row(
                    "goal",
                    "PSNR over the lower of renders and ceiling, 0.2 dB of allowance added",
                    over,
                    "dB",
                )
            )
        distances = [
            torch.tensor([figures["perceptual"] for figures in heads.values()]).mean()
            for name, heads in self.done.items()
            if name.startswith("table 2") and heads
        ]
        if len(distances) == len(SHARES):
            spread = (max(distances) / min(distances) - 1).item()
            rows.append(
                Row("goal, table 2", f"spread of the perceptual distance over r, goal {SPREAD}", spread, "")
            )
        return rows


def run(arguments: list[str]) -> None:
    """Print the table; what the clock cuts off, the next call goes on with."""
    parser = head_parser("turbo", __doc__)
    parser.add_argument(
        "--speed",
        action="store_true",
        help="instead: seconds of every part, beside the same mixing run view by view",
    )
    parser.add_argument(
        "--flicker",
        action="store_true",
        help="instead: flicker of a turntable, rendered, refined, and steadied",
    )
    parser.add_argument(
        "--bake",
        action="store_true",
        help="instead: views never refined, and the mesh, before and after baking",
    )
    parser.add_argument(
        "--sheet",
        type=Path,
        metavar="FILE",
        help="PNG: input, renders, refined and exact views of eight heads",
    )
    parser.add_argument(
        "--memory-of", type=int, nargs=2, help=argparse.SUPPRESS
    )  # --speed calls this in a process of its own
    with called(parser, arguments) as options:
        if options.memory_of:
            print(added_memory(*options.memory_of))
        elif options.speed:
            finish("turbo, speed", speed_rows(), options.json)
        elif options.flicker:
            finish(
                "turbo, flicker",
                flicker_rows(Methods(), heads_of(options), options.minutes, options.sheet),
                options.json,
            )
        elif options.bake:
            finish("turbo, baked", bake_rows(Methods(), heads_of(options), options.minutes), options.json)
        else:
            ablations = [path for path in map(ablation_path, ABLATIONS) if path.is_file()]
            bench = TurboBench(
                heads_of(options), store_path("turbo", __file__, "", ablations), options.minutes
            )
            bench.tell("turbo", options)
            if options.sheet:
                draw_sheet(bench.methods, bench.heads[:8], options.sheet)
