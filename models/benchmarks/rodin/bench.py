"""`bench rodin`: RodinHD's claims on the factory's heads.

`--fit`: what a shared decoder forgets, and what cures it (table 4a). `--generate`: avatars of held-out portraits by the cascade and its
variants, beside other ways to a head (tables 1, 2, 3, 4b, 7, 8, 9; figure 9). `--redundancy`: why planes want stronger noise than images
(figure 5), without training.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ...commands.report import finish
from ...synthetic.factories import chosen_factory
from ...synthetic.splits import SPLITS, UPPER
from ..options import bench_parser, called, positive
from ..store import store_path
from . import consistency, fitting, generation, people
from .fitting import FittingBench, Sizes, seeds_of
from .generation import GenerationBench
from .networks import GUIDANCE, files_present
from .people import subjects_of
from .redundancy import cached_planes, redundancy_rows

COUNTS = {"fit": 16, "generate": 24, "redundancy": 16}


def run(arguments: list[str]) -> None:
    """Print the table; what the clock cuts off, the next call goes on with.

    Raises:
        ValueError: as `chosen_factory`; no base model, no planes, or too few heads for what is asked.
    """
    parser = bench_parser("rodin", __doc__)
    which = parser.add_mutually_exclusive_group(required=True)
    for name, what in (
        ("fit", "the fitting (table 4a)"),
        ("generate", "the cascade (tables 1 to 3, 4b, 7 to 9)"),
        ("redundancy", "figure 5, on planes of the cache"),
    ):
        which.add_argument(f"--{name}", dest="table", action="store_const", const=name, help=what)
    parser.add_argument("--factory", type=int, choices=(2, 3), help="3 where the scans are present, else 2")
    parser.add_argument("--split", choices=["held_out", "validation"], default="held_out")
    parser.add_argument(
        "--count", type=positive, help="heads: of each stage of a fit (16), portraits (24), planes (16)"
    )
    parser.add_argument(
        "--minutes", type=float, default=40, help="begin no repeat or head after so long (40)"
    )
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="PNG: figure 2's matrix, or figure 9")
    add_fit(parser.add_argument_group("of --fit"))
    cascade = parser.add_argument_group("of --generate")
    cascade.add_argument(
        "--slow",
        action="store_true",
        help="also the inversion, Turbo's pictures, and fitted planes: minutes a head",
    )
    cascade.add_argument(
        "--refit",
        action="store_true",
        help="also our field refitted to pictures (tables 3 and 8), minutes a head",
    )
    with called(parser, arguments) as options:
        options.count = options.count or COUNTS[options.table]
        {"fit": fit, "generate": generate, "redundancy": redundancy}[options.table](options)


def add_fit(group: argparse._ArgumentGroup) -> None:
    """Options of `--fit`."""
    group.add_argument("--steps", type=positive, default=600, help="on each head (600)")
    group.add_argument(
        "--visits", type=positive, default=30, help="of each head, where heads are replayed (30)"
    )
    group.add_argument("--seeds", type=positive, default=5, help="repeats with other draws (5)")
    group.add_argument("--strength", type=float, default=0.1, help="lambda of the consolidation (0.1)")


def fit(options: argparse.Namespace) -> None:
    """Table 4a, and figure 2's matrix."""
    factory = chosen_factory(options.factory)
    sizes = Sizes(count=options.count, steps=options.steps, visits=options.visits, strength=options.strength)
    store = store_path("rodin-fit", fitting.__file__, (sizes, factory.version, options.split))
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


def generate(options: argparse.Namespace) -> None:
    """Tables of the cascade, and figure 9."""
    factory, files = chosen_factory(options.factory), files_present()
    settings = (people.SIZE, people.ANGLES, GUIDANCE, consistency.REFIT, factory.version)
    store = store_path("rodin-generate", generation.__file__, settings, files.variants.values())
    heads = subjects_of(SPLITS[options.split], options.count, factory)
    bench = GenerationBench(heads, store, options.minutes, files, slow=options.slow, refit=options.refit)
    bench.tell(f"rodin generate, {len(heads)} heads of the {options.split} split", options)
    for line in bench.verdicts():
        print(line)
    if options.sheet:
        bench.draw_sheet(options.sheet)


def redundancy(options: argparse.Namespace) -> None:
    """Figure 5."""
    planes = cached_planes(chosen_factory(options.factory), options.count)
    finish(f"rodin redundancy, {len(planes)} heads", redundancy_rows(planes), options.json)
