"""What benches over heads share: a store that a stopped bench goes on from, means and differences with intervals."""

from __future__ import annotations

import argparse
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from ..commands.report import Row, finish
from ..metrics.bootstrap import interval
from ..synthetic.renders import cache_folder
from .keys import bench_key

Figures = Mapping[Any, dict[str, float]]  # head -> metric -> figure


class Subject(Protocol):
    """What figures are about: an exact head, a photo."""

    @property
    def name(self) -> str: ...  # printed
    @property
    def key(self) -> str: ...  # what its figures are filed under


S = TypeVar("S", bound=Subject)


def store_path(name: str, entry: str, settings: object = "", files: Iterable[Path] = ()) -> Path:
    """Where a bench keeps its figures; the arguments after the name are those of `bench_key`."""
    return cache_folder() / "bench" / f"{name}-{bench_key(entry, settings, files)}.json"


class HeadBench(ABC, Generic[S]):
    """Rows of figures by head, kept in a file after every head.

    Args:
        store: the file. minutes: after which no head is begun.

    Attributes:
        stored: all figures of the file, also of heads that earlier calls were about. done: those of the heads that this call asks for,
            which alone are reported; row -> head's key -> figures.
    """

    def __init__(self, heads: list[S], store: Path, minutes: float) -> None:
        self.heads, self.store = heads, store
        self.stored: dict[str, dict[str, dict]] = self._kept()
        self.done: dict[str, dict[str, dict]] = {}
        self.until = time.monotonic() + 60 * minutes

    def fill(self, name: str, heads: Sequence[S], measure: Callable[[S], dict | None]) -> None:
        """Figures of one row for the heads that have none yet; None for a head that the row does not have."""
        file_rows, current_rows = (rows.setdefault(name, {}) for rows in (self.stored, self.done))
        for head in heads:
            if head.key not in file_rows and time.monotonic() <= self.until:
                start = time.monotonic()
                figures = measure(head)
                if figures is not None:
                    file_rows[head.key] = figures
                    self.save()
                    print(f"{name}: {head.name} ({time.monotonic() - start:.0f} s)", flush=True)
            if head.key in file_rows:
                current_rows[head.key] = file_rows[head.key]

    def _kept(self) -> dict[str, dict[str, dict]]:
        """What the file holds."""
        return json.loads(self.store.read_text(encoding="utf-8")) if self.store.is_file() else {}

    def save(self) -> None:
        """Write the file, with what another call has put there since, through a neighbour: a call that is killed leaves the old one
        whole."""
        for row, figures in self._kept().items():
            own = self.stored.setdefault(row, {})
            own.update({key: value for key, value in figures.items() if key not in own})
        self.store.parent.mkdir(parents=True, exist_ok=True)
        partial = self.store.with_name(f"{self.store.name}.partial")
        partial.write_text(json.dumps(self.stored), encoding="utf-8")
        partial.replace(self.store)

    @abstractmethod
    def run(self) -> None:
        """Fill all rows, as far as the time goes."""

    @abstractmethod
    def rows(self) -> list[Row]:
        """The table."""

    def tell(self, title: str, options: argparse.Namespace, more: Sequence[Row] = ()) -> None:
        """Run, and print the table and more rows below it; what the clock cuts off, the next call goes on with."""
        self.run()
        finish(title, [*self.rows(), *more], options.json)


def mean_row(name: str, metric: str, values: Tensor, unit: str) -> Row:
    """The mean of values [N], one a head, with its 95 % interval."""
    mean, low, high = interval(values, torch.Generator().manual_seed(0))
    return Row(name, metric, mean, unit, low, high, len(values))


def median_row(name: str, metric: str, values: list[float], unit: str) -> Row:
    """The median of values, and the least and the largest of them."""
    several = torch.tensor(values)
    return Row(
        name,
        metric,
        float(several.median()),
        unit,
        low=float(several.min()),
        high=float(several.max()),
        n=len(values),
    )


def mean_rows(name: str, heads: Figures, units: dict[str, str]) -> list[Row]:
    """The mean of every metric over the heads that have it."""
    values = {
        metric: torch.tensor([figures[metric] for figures in heads.values() if metric in figures])
        for metric in units
    }
    return [mean_row(name, metric, some, units[metric]) for metric, some in values.items() if len(some)]


def difference_rows(name: str, ours: Figures, other: Figures, units: dict[str, str]) -> list[Row]:
    """A row less another, over the heads that both have."""
    less = {
        head: {
            metric: value - other[head][metric]
            for metric, value in figures.items()
            if metric in units and metric in other[head]
        }
        for head, figures in ours.items()
        if head in other
    }
    return mean_rows(name, less, units)
