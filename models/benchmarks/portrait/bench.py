"""`bench portrait`: the whole of Portrait Diffusion, stage by stage, as in its table 1, on held-out heads.

Five views, front and 45 and 90 degrees to both sides: against the photo, as the paper judges them (but for its CLIP-I: no CLIP ships; wire
one into Evaluate Views), and against the exact views. Every row begins with the same inversion; its seconds are those of all the stages that it needs. Plain SDS begins where `fast` does, and evaluates
the UNet as often. `--robust`: as figure 5, photos that are hard.
"""

from __future__ import annotations

from pathlib import Path

import torch

from ...checkpoint import shipped
from ...commands.report import Row, finish
from ...distillation.refinement import PRESETS
from ...distillation.restoration import RestorationConfig
from ...training.local import parsed
from .. import restoration
from ..exact_heads import ExactHead
from ..store import HeadBench, head_parser, heads_of, mean_row, store_path
from . import robust as portrait_robust
from . import stages as portrait_stages
from .robust import RobustPortraitBench
from .stages import DETAIL, FAST, PRIOR, RESTORED, SDS, TURBO, PortraitStages, unit_of


class PortraitBench(HeadBench):
    """Rows by stage."""

    def __init__(self, heads: list[ExactHead], store: Path, minutes: float, stages: PortraitStages) -> None:
        super().__init__(heads, store, minutes)
        self.stages = stages

    def measured(self, exact: ExactHead, row: str) -> dict[str, float]:
        """One row of one head."""
        head, seconds = self.stages.made(exact, row)
        return self.stages.figures(head, exact, exact.exact.views.rgb[exact.exact.frontal]) | {
            "time": seconds
        }

    def run(self) -> None:
        """Head by head, so that a stopped bench has whole heads."""
        for exact in self.heads:
            for row in (PRIOR, RESTORED, SDS, TURBO, FAST, DETAIL):
                self.fill(row, [exact], lambda exact, row=row: self.measured(exact, row))

    def rows(self) -> list[Row]:
        """Means, and each stage of the paper less the one before."""
        rows = []
        for name, heads in self.done.items():
            for metric in next(iter(heads.values()), {}):
                rows.append(
                    mean_row(
                        name,
                        metric,
                        torch.tensor([found[metric] for found in heads.values()]),
                        unit_of(metric),
                    )
                )
        for ours, other in (
            (RESTORED, PRIOR),
            (FAST, RESTORED),
            (FAST, SDS),
            (FAST, TURBO),
            (FAST, PRIOR),
            (DETAIL, FAST),
        ):
            a, b = self.done.get(ours, {}), self.done.get(other, {})
            both = [head for head in a if head in b]
            for metric in a[both[0]] if both else ():
                if metric != "time":
                    values = torch.tensor([a[head][metric] - b[head][metric] for head in both])
                    rows.append(mean_row(f"{ours} less {other}", metric, values, unit_of(metric)))
        return rows


def run(arguments: list[str]) -> None:
    """Print the table; what the clock cuts off, the next call goes on with."""
    parser = head_parser("portrait", __doc__)
    parser.add_argument("--iterations", type=int, help="of fast and detail, where the presets' are too many")
    parser.add_argument(
        "--robust",
        action="store_true",
        help="instead: photos from the side and above, strong expressions, painted ones",
    )
    parser.add_argument(
        "--sheet",
        type=Path,
        metavar="FILE",
        help="with --robust, PNG: photo, every row's views and the exact ones",
    )
    options = parsed(parser, arguments)
    if options.robust and options.heads:
        raise ValueError(
            "bench portrait --robust: expected the factory's heads, whose other views are rendered; leave --heads out"
        )
    name = "portrait, robust" if options.robust else "portrait"
    settings = f"{options.iterations} {PRESETS} {RestorationConfig()}"
    weights = sorted(shipped("prior").parent.glob("*.safetensors"))
    rooms = ["field", "prior", "metrics", "synthetic", "diffusion", "distillation"]
    modules = [portrait_stages, restoration] + ([portrait_robust] if options.robust else [])
    code = [Path(__file__), *(Path(module.__file__) for module in modules)]
    store = store_path(name.replace(", ", "-"), options, settings, weights, rooms, code)
    heads, stages = heads_of(options), PortraitStages(options.iterations)
    bench = (
        RobustPortraitBench(heads, store, options.minutes, stages, options.split)
        if options.robust
        else PortraitBench(heads, store, options.minutes, stages)
    )
    bench.run()
    finish(
        name if options.iterations is None else f"{name}, {options.iterations} iterations",
        bench.rows(),
        options.json,
    )
    if options.robust and options.sheet:
        bench.draw_sheet(options.sheet)
