"""The page of a folder of results: of each JSON its main rows, with what is said about them in a text beside it.

NAME.md beside NAME.json is written by hand. It names the main rows where their table belongs:

    <!-- table
    rows: refined; inversion, quick
    figures: PSNR; identity
    -->

`*` stands for any letters. Whole tables are in the JSON files; a report without a text shows its first rows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypedDict

PAGE = "README.md"
FIRST_ROWS = 12  # of a report without a text
TABLE = re.compile(r"<!-- table\nrows: (?P<rows>[^\n]*)\nfigures: (?P<figures>[^\n]*)\n-->")
HEAD = """# Results

Written by the benches: `bench NAME --json models/benchmarks/results/NAME.json` writes the whole table there, and its
main rows here, beside the text of NAME.md. [What each bench measures](../README.md). Intervals in brackets are of
95 %, by paired bootstrap over heads."""


class ReportRow(TypedDict):
    """`report.Row` as its JSON has it."""

    row: str
    metric: str
    value: float
    unit: str
    low: float | None
    high: float | None
    n: int | None


class Machine(TypedDict):
    """What a report's figures were measured on."""

    system: str
    processor: str
    cores: int | None
    threads: int
    accelerator: str | None
    python: str
    torch: str


class Report(TypedDict):
    """A report as its JSON has it."""

    name: str
    command: str
    commit: str
    machine: Machine
    rows: list[ReportRow]


def chosen(patterns: Iterable[str], names: Sequence[str]) -> list[str]:
    """The names that patterns match, in the patterns' order; a pattern that matches none is given back as it is."""
    matches = ([name for name in names if fnmatchcase(name, pattern)] or [pattern] for pattern in patterns)
    return list(dict.fromkeys(name for some in matches for name in some))


def figure(row: ReportRow) -> str:
    """Value, unit and interval of a row of a report."""
    value = f"{row['value']:.4g}" if isinstance(row["value"], float) else str(row["value"])
    interval = "" if row["low"] is None else f"[{row['low']:.4g}, {row['high']:.4g}]"
    return " ".join(part for part in (value, row["unit"], interval) if part)


def table(content: Report, rows: Sequence[str], figures: Sequence[str]) -> str:
    """A line a row and a column a figure; what this run does not have stays empty.

    Args:
        content: a report. rows, figures: patterns of its rows' and metrics' names.
    """
    cells = {(row["row"], row["metric"]): figure(row) for row in content["rows"]}
    columns = chosen(figures, list(dict.fromkeys(metric for _, metric in cells)))
    lines = [["row", *columns], ["---"] * (len(columns) + 1)]
    for name in chosen(rows, list(dict.fromkeys(name for name, _ in cells))):
        lines.append([name, *(cells.get((name, column), "") for column in columns)])
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def section(path: Path) -> str:
    """One report: its command, its main rows, its text."""
    content: Report = json.loads(path.read_text(encoding="utf-8"))
    machine = content["machine"]
    counts = sorted({row["n"] for row in content["rows"] if row["n"] is not None})
    place = f"{machine['cores']} cores, torch threads: {machine['threads']}, {machine['accelerator'] or 'no accelerator'}"
    samples = f", n = {' or '.join(map(str, counts))}" if 0 < len(counts) <= 2 else ""
    title = f"## {content['name']} ([{path.name}]({path.name}))\n\n"
    title += f"`{content['command']}`, commit {content['commit']}, {place}{samples}."
    text = path.with_suffix(".md")
    if not text.exists():
        names = list(dict.fromkeys(row["row"] for row in content["rows"]))[:FIRST_ROWS]
        return f"{title}\n\n{table(content, names, ['*'])}"

    def filled(place: re.Match[str]) -> str:
        return table(content, place["rows"].split("; "), place["figures"].split("; "))

    return f"{title}\n\n{TABLE.sub(filled, text.read_text(encoding='utf-8').strip())}"


def write_page(folder: Path) -> None:
    """Write the page of a folder of reports, README.md, from them and the texts beside them."""
    parts = [HEAD, *(section(path) for path in sorted(folder.glob("*.json")))]
    (folder / PAGE).write_text("\n\n".join(parts) + "\n", encoding="utf-8")
