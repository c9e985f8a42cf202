"""What benches over heads share: options, heads, a store that a stopped bench goes on from, means with intervals."""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ..commands.report import ROOT, Row
from ..metrics.bootstrap import interval
from ..synthetic.renders import cache_folder
from .exact_heads import ExactHead, factory_heads, folder_heads


def head_parser(name: str, description: str) -> argparse.ArgumentParser:
    """The options that benches over heads have in common; `--sheet` is left to the bench."""
    made = argparse.ArgumentParser(prog=f"portrait-diffusion bench {name}", description=description)
    made.add_argument(
        "--heads", type=Path, metavar="DIR", help="multi-view head files in place of the factory's heads"
    )
    made.add_argument("--count", type=int, default=24)
    made.add_argument("--split", choices=["held_out", "validation"], default="held_out")
    made.add_argument("--minutes", type=float, default=40)
    made.add_argument("--threads", type=int, default=0)
    made.add_argument("--json", metavar="FILE")
    return made


def heads_of(options: argparse.Namespace) -> list[ExactHead]:
    """The heads asked for."""
    return (
        folder_heads(options.heads, options.count)
        if options.heads
        else factory_heads(options.split, options.count)
    )


def store_path(
    name: str,
    options: argparse.Namespace,
    settings: str,
    weights: list[Path],
    rooms: list[str],
    files: list[Path],
) -> Path:
    """Where a bench keeps its figures: by heads, settings, and the bytes of weights and code that they depend on.

    Args:
        rooms: of models/, whole. files: beside them; head.py and this one are always counted.
    """
    where = str(options.heads.resolve()) if options.heads else options.split
    digest = hashlib.sha256(f"{settings} {where}".encode())
    code = [path for room in rooms for path in sorted((ROOT / "models" / room).glob("*.py"))]
    for path in [*weights, *code, ROOT / "models" / "head.py", Path(__file__), *files]:
        digest.update(path.read_bytes())
    return cache_folder() / "bench" / f"{name}-{digest.hexdigest()[:16]}.json"


class HeadBench:
    """Rows of figures by head, kept in a file after every head.

    Args:
        store: the file. minutes: after which no head is begun.
    """

    def __init__(self, heads: list[ExactHead], store: Path, minutes: float) -> None:
        self.heads, self.store = heads, store
        self.done: dict[str, dict[str, dict]] = json.loads(store.read_text()) if store.is_file() else {}
        self.until = time.monotonic() + 60 * minutes

    def fill(self, name: str, heads: list[ExactHead], measure: Callable[[ExactHead], dict | None]) -> None:
        """Figures of one row for the heads that have none yet; None for a head that the row does not have."""
        kept = self.done.setdefault(name, {})
        for head in heads:
            if head.name in kept or time.monotonic() > self.until:
                continue
            started, figures = time.monotonic(), measure(head)
            if figures is None:
                continue
            kept[head.name] = figures
            self.store.parent.mkdir(parents=True, exist_ok=True)
            self.store.write_text(json.dumps(self.done))
            print(f"{name}: {head.name} ({time.monotonic() - started:.0f} s)", flush=True)


def mean_row(name: str, metric: str, values: Tensor, unit: str) -> Row:
    """The mean of one value a head, with its 95 % interval."""
    mean, low, high = interval(values, torch.Generator().manual_seed(0))
    return Row(name, metric, mean, unit, low, high, len(values))
