"""The one shape of every JSON that a command writes, and the same as a table."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from .results_page import Machine, Report, ReportRow, write_page

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "models" / "benchmarks" / "results"  # reports written here are on its page, too


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        row: what was measured. metric, value, unit: the figure. low, high: its 95 % interval. n: samples behind it.
    """

    row: str
    metric: str
    value: float
    unit: str
    low: float | None = None
    high: float | None = None
    n: int | None = None


def commit() -> str:
    """Commit of the checkout, with a + where files other than results differ from it; "unknown" outside git."""
    try:
        answers = [
            subprocess.run(
                ["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True
            ).stdout.strip()
            for words in (
                ["rev-parse", "--short", "HEAD"],
                ["status", "--porcelain", "--untracked-files=no", "--", ".", ":!models/benchmarks/results"],
            )
        ]
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return answers[0] + ("+" if answers[1] else "")


def machine() -> Machine:
    """What the figures were measured on."""
    import torch  # here, so that `make demo` starts its server first

    from ..devices import accelerator

    device = accelerator()
    kind = None if device is None else device.type
    name = torch.cuda.get_device_name() if kind == "cuda" else kind
    return {
        "system": platform.system(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "accelerator": name,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def report(name: str, rows: list[Row]) -> Report:
    """Figures with all that is needed to make them again."""
    words = [
        Path(word).name if Path(word).is_absolute() else word for word in sys.argv
    ]  # no folders of this machine
    return {
        "name": name,
        "command": " ".join(words),
        "commit": commit(),
        "machine": machine(),
        "rows": [ReportRow(**asdict(row)) for row in rows],
    }


def print_table(content: Report) -> None:
    """A report as a table, with intervals and counts where there are any."""
    rows = content["rows"]
    width = max([len(row["row"]) for row in rows], default=0)
    machine = content["machine"]
    print(
        f"{content['name']}  (commit {content['commit']}, {machine['cores']} cores, {machine['accelerator'] or 'no accelerator'})"
    )
    for row in rows:
        value = f"{row['value']:.4g}" if isinstance(row["value"], float) else str(row["value"])
        interval = "" if row["low"] is None else f"  [{row['low']:.4g}, {row['high']:.4g}]"
        count = "" if row["n"] is None else f"  n={row['n']}"
        print(f"  {row['row']:<{width}}  {row['metric']}: {value} {row['unit']}{interval}{count}")


def write_json(content: Report, path: Path | str) -> None:
    """Write a report as JSON."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def finish(name: str, rows: list[Row], json_path: str | None) -> None:
    """Print a report and, where asked for, write it."""
    content = report(name, rows)
    print_table(content)
    if json_path:
        write_json(content, json_path)
        if Path(json_path).resolve().parent == RESULTS:
            write_page(RESULTS)
