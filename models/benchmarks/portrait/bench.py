"""`bench portrait`: the whole of Portrait Diffusion, stage by stage, as in its table 1, on held-out heads.

Five views, front and 45 and 90 degrees to both sides: against the photo, as the paper judges them (but for its CLIP-I: no CLIP ships; wire
one into Evaluate Views), and against the exact views. Every row begins with the same inversion; its seconds are those of all the stages that it needs. Plain SDS begins where `fast` does, and evaluates
the UNet as often. `--robust`: as figure 5, photos that are hard.
"""

from __future__ import annotations

from pathlib import Path

from ...commands.report import Row
from ...distillation.refinement import PRESETS
from ...distillation.restoration import RestorationConfig
from ..exact_heads import ExactHead
from ..options import called, factory_only, head_parser, heads_of
from ..store import HeadBench, difference_rows, mean_rows, store_path
from .robust import RobustPortraitBench
from .stages import DETAIL, FAST, PRIOR, RESTORED, SDS, TURBO, PortraitStages, units_of


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
        rows = [row for name, heads in self.done.items() for row in mean_rows(name, heads, units_of(heads))]
        for ours, other in (
            (RESTORED, PRIOR),
            (FAST, RESTORED),
            (FAST, SDS),
            (FAST, TURBO),
            (FAST, PRIOR),
            (DETAIL, FAST),
        ):
            after, before = (self.done.get(name, {}) for name in (ours, other))
            units = {metric: unit for metric, unit in units_of(after).items() if metric != "time"}
            rows += difference_rows(f"{ours} less {other}", after, before, units)
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
    with called(parser, arguments) as options:
        name = "portrait, robust" if options.robust else "portrait"
        title = name if options.iterations is None else f"{name}, {options.iterations} iterations"
        if options.robust:
            factory_only(options, "portrait --robust")
        store = store_path(
            name.replace(", ", "-"), __file__, (options.iterations, PRESETS, RestorationConfig())
        )
        heads = heads_of(options)
        stages = PortraitStages(options.iterations)
        if not options.robust:
            PortraitBench(heads, store, options.minutes, stages).tell(title, options)
            return
        bench = RobustPortraitBench(heads, store, options.minutes, stages, options.split)
        bench.tell(title, options)
        if options.sheet:
            bench.draw_sheet(options.sheet)
