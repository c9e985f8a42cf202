"""How every bench is called: its options, and torch's threads while it runs."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from ..prior.contract import HeadGenerator
from ..synthetic.factories import FACTORIES, chosen_factory, factory_of_code
from .exact_heads import ExactHead, factory_heads, folder_heads


def bench_parser(name: str, description: str | None, *, threads: int = 0) -> argparse.ArgumentParser:
    """The options that all benches have. Args: threads: where none are asked for; 0 for as many as torch would take."""
    parser = argparse.ArgumentParser(prog=f"portrait-diffusion bench {name}", description=description)
    parser.add_argument(
        "--threads", type=int, default=threads, help=f"torch threads ({threads or 'as torch finds them'})"
    )
    parser.add_argument("--json", metavar="FILE", help="also write the report here")
    return parser


def head_parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """Those that benches over heads have besides; `--sheet` is left to the bench."""
    parser = bench_parser(name, description)
    parser.add_argument(
        "--heads", type=Path, metavar="DIR", help="multi-view head files in place of the factory's heads"
    )
    add_split(parser)
    parser.add_argument("--minutes", type=float, default=40, help="begin no head after so long (40)")
    return parser


def add_split(parser: argparse.ArgumentParser) -> None:
    """Which of the factory's heads, and how many."""
    parser.add_argument("--count", type=positive, default=24, help="heads (24)")
    parser.add_argument("--split", choices=["held_out", "validation"], default="held_out")


def add_factory(parser: argparse.ArgumentParser) -> None:
    """Whose heads."""
    parser.add_argument(
        "--factory", type=int, choices=list(FACTORIES), help="whose heads (of which the prior that ships is)"
    )


def asked_factory(options: argparse.Namespace, prior: HeadGenerator) -> int:
    """The factory asked for; unasked, the one whose codes a prior takes, or 2 where the scans of 3 are absent, which is then said.

    Raises:
        ValueError: a prior of no factory's codes; 3 asked for without scans.
    """
    if options.factory:
        return chosen_factory(options.factory).number
    number = factory_of_code(prior.config.z_dim).number
    return number if number == 2 else chosen_factory(None).number


def positive(text: str) -> int:
    """A count.

    Raises:
        ArgumentTypeError: 0 and less.
    """
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {value}")
    return value


def heads_of(options: argparse.Namespace, factory: int = 2) -> list[ExactHead]:
    """The heads asked for.

    Raises:
        ValueError: a folder that has none, or factory 3 without scans.
    """
    return (
        folder_heads(options.heads, options.count)
        if options.heads
        else factory_heads(options.split, options.count, factory)
    )


def factory_only(options: argparse.Namespace, name: str) -> None:
    """For what renders other views of its heads.

    Raises:
        ValueError: heads of a folder, of which nothing can be rendered.
    """
    if options.heads:
        raise ValueError(
            f"bench {name}: expected the factory's heads, whose other views are rendered; leave --heads out"
        )


@contextmanager
def called(parser: argparse.ArgumentParser, arguments: list[str]) -> Iterator[argparse.Namespace]:
    """The options, with torch's threads as they say until the block ends."""
    options = parser.parse_args(arguments)
    before = torch.get_num_threads()
    torch.set_num_threads(options.threads or before)
    try:
        yield options
    finally:
        torch.set_num_threads(before)
