"""models/commands/results_page.py: main rows in tables, hand-written texts around them; and the page that is in the tree."""

import json
import re
from pathlib import Path

import pytest
from portrait_diffusion.models.commands.report import RESULTS, Row, report, write_json
from portrait_diffusion.models.commands.results_page import TABLE, chosen, section, table, write_page

TEXTS = sorted(path for path in RESULTS.glob("*.md") if path.name != "README.md")
NUMBER = r"[+-]?\d+\.\d+"
QUOTE = re.compile(rf"({NUMBER})[^\d\[]{{0,40}}\[({NUMBER}), ({NUMBER})\]")
ROWS = [
    Row("ours", "PSNR", 24.0, "dB", low=23.0, high=25.5, n=12),
    Row("ours", "time", 3.25, "s"),
    Row("|yaw| 30", "PSNR", 20.0, "dB", n=12),
]


def test_a_table_has_a_line_a_row_and_a_column_a_figure():
    lines = table(report("demo", ROWS), ["|yaw|*", "ours"], ["time", "PSNR"]).splitlines()
    assert lines == ["| row | time | PSNR |", "| --- | --- | --- |", "| \\|yaw\\| 30 |  | 20 dB |", "| ours | 3.25 s | 24 dB [23, 25.5] |"]


def test_patterns_choose_in_their_order_and_a_missing_name_stays():
    assert chosen(["c", "a*", "x"], ["a1", "b", "c", "a2"]) == ["c", "a1", "a2", "x"]


def test_a_report_without_a_text_shows_its_first_rows(tmp_path):
    write_json(report("demo", [Row(f"row {i:02}", "time", 1.0, "s") for i in range(30)]), tmp_path / "demo.json")
    page = section(tmp_path / "demo.json")
    assert "| row 00 |" in page and "| row 29 |" not in page


def test_text_stands_around_its_tables(tmp_path):
    write_json(report("demo", ROWS), tmp_path / "demo.json")
    (tmp_path / "demo.md").write_text("Before.\n\n<!-- table\nrows: ours\nfigures: PSNR\n-->\n\nBehind.\n", encoding="utf-8")
    write_page(tmp_path)
    page = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert page.startswith("# Results") and "n = 12" in page
    assert page.index("Before.") < page.index("| ours | 24 dB [23, 25.5] |") < page.index("Behind.")
    assert "<!--" not in page and "yaw" not in page


def test_the_page_in_the_tree_is_what_its_reports_and_texts_make():
    """Where it is not: write_page(RESULTS), which any bench with --json there calls."""
    head, *sections = (RESULTS / "README.md").read_text(encoding="utf-8").split("\n\n## ")
    assert ["## " + one.strip() for one in sections] == [section(path) for path in sorted(RESULTS.glob("*.json"))]


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.stem)
def test_tables_name_rows_that_their_report_has(text: Path):
    rows = json.loads(text.with_suffix(".json").read_text(encoding="utf-8"))["rows"]
    places = list(TABLE.finditer(text.read_text(encoding="utf-8")))
    assert places
    for place in places:
        for names, key in ((place["rows"], "row"), (place["figures"], "metric")):
            own = {row[key] for row in rows}
            assert set(chosen(names.split("; "), list(own))) <= own


def close(quoted: str, value: float) -> bool:
    """Whether a number is quoted to its last digit."""
    digits = len(quoted.split(".")[1])
    return abs(float(quoted) - value) <= 0.500001 * 10**-digits


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.stem)
def test_figures_quoted_with_an_interval_are_the_report_s(text: Path):
    """As they stand there, or with the other sign ("loses")."""
    rows = json.loads(text.with_suffix(".json").read_text(encoding="utf-8"))["rows"]
    facts = [(row["value"], row["low"], row["high"]) for row in rows if row["low"] is not None]
    facts += [(-value, -high, -low) for value, low, high in facts]
    quotes = QUOTE.findall(text.read_text(encoding="utf-8"))
    assert [quote for quote in quotes if not any(all(map(close, quote, fact)) for fact in facts)] == []


def test_quotes_are_read():
    assert QUOTE.findall("gains 0.092 of perceptual distance [0.073, 0.113] and -0.02 [-0.09, 0.14]") == [
        ("0.092", "0.073", "0.113"),
        ("-0.02", "-0.09", "0.14"),
    ]
