"""`bench rodin`: RodinHD's claims on the factory's heads. `--fit`: what a shared decoder forgets, and what cures it (table 4a)."""

from __future__ import annotations

from pathlib import Path

from ...synthetic.factories import chosen_factory
from ...synthetic.splits import SPLITS, UPPER
from ..options import bench_parser, called, positive
from ..store import store_path
from .fitting import FittingBench, Sizes, seeds_of


def run(arguments: list[str]) -> None:
    """Print the table; what the clock cuts off, the next call goes on with.

    Raises:
        ValueError: as `chosen_factory`.
    """
    parser = bench_parser("rodin", __doc__)
    parser.add_argument("--fit", action="store_true", required=True, help="the fitting (table 4a)")
    parser.add_argument("--factory", type=int, choices=(2, 3), help="3 where the scans are present, else 2")
    parser.add_argument("--split", choices=["held_out", "validation"], default="held_out")
    parser.add_argument("--count", type=positive, default=16, help="heads of each stage (16)")
    parser.add_argument("--steps", type=positive, default=600, help="on each head (600)")
    parser.add_argument(
        "--visits", type=positive, default=30, help="of each head, where heads are replayed (30)"
    )
    parser.add_argument("--seeds", type=positive, default=5, help="repeats with other draws (5)")
    parser.add_argument("--strength", type=float, default=0.1, help="lambda of the consolidation (0.1)")
    parser.add_argument("--minutes", type=float, default=40, help="begin no repeat after so long (40)")
    parser.add_argument(
        "--sheet", type=Path, metavar="FILE", help="PNG of figure 2's matrix, naive above replay"
    )
    with called(parser, arguments) as options:
        factory = chosen_factory(options.factory)
        sizes = Sizes(
            count=options.count, steps=options.steps, visits=options.visits, strength=options.strength
        )
        store = store_path("rodin-fit", __file__, (sizes, factory.version, options.split))
        bench = FittingBench(
            seeds_of(options.seeds),
            store,
            options.minutes,
            sizes,
            factory,
            (UPPER[-sizes.count :], SPLITS[options.split][: sizes.count]),
        )
        bench.tell(f"rodin fit, {sizes.count} + {sizes.count} heads, {sizes.steps} steps a head", options)
        if options.sheet:
            bench.draw_matrix(options.sheet)
