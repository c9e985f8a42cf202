"""models/commands/report.py: the one shape of what commands write."""

import json

from portrait_diffusion.models.commands.report import RESULTS, Row, finish


def test_a_report_has_the_one_shape_and_prints_its_rows(tmp_path, capsys):
    path = tmp_path / "deep" / "report.json"
    finish("demo", [Row("stage", "time", 1.5, "s"), Row("heads", "PSNR", 24.0, "dB", low=23.0, high=25.0, n=12)], str(path))
    content = json.loads(path.read_text())
    assert list(content) == ["name", "command", "commit", "machine", "rows"]
    assert all(list(row) == ["row", "metric", "value", "unit", "low", "high", "n"] for row in content["rows"])
    assert content["machine"]["torch"] and content["machine"]["cores"] >= 1
    printed = capsys.readouterr().out
    assert "time: 1.5 s" in printed and "PSNR: 24 dB  [23, 25]  n=12" in printed


def test_a_report_among_the_results_rewrites_their_page_and_keeps_what_is_said_of_them(tmp_path, monkeypatch):
    monkeypatch.setattr("portrait_diffusion.models.commands.report.RESULTS", tmp_path)
    (tmp_path / "demo.md").write_text("Why it is so.\n\n<!-- table\nrows: heads\nfigures: PSNR\n-->\n", encoding="utf-8")
    for value in (24.0, 25.0):
        finish("demo", [Row("heads", "PSNR", value, "dB"), Row("heads", "time", 3.0, "s")], str(tmp_path / "demo.json"))
        page = (tmp_path / "README.md").read_text(encoding="utf-8")
        assert "Why it is so." in page and f"| heads | {value:.4g} dB |" in page and "3 s" not in page
    assert RESULTS != tmp_path


def test_a_report_elsewhere_makes_no_page(tmp_path):
    finish("demo", [Row("heads", "PSNR", 24.0, "dB")], str(tmp_path / "demo.json"))
    assert [path.name for path in tmp_path.iterdir()] == ["demo.json"]
