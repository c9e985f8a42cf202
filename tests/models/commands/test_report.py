"""models/commands/report.py: the one shape of every JSON."""

import json

from portrait_diffusion.models.commands.report import Row, finish


def test_a_report_has_the_one_shape_and_prints_its_rows(tmp_path, capsys):
    path = tmp_path / "deep" / "report.json"
    finish("demo", [Row("stage", "time", 1.5, "s"), Row("heads", "PSNR", 24.0, "dB", low=23.0, high=25.0, n=12)], str(path))
    content = json.loads(path.read_text())
    assert list(content) == ["name", "command", "commit", "machine", "rows"]
    assert all(list(row) == ["row", "metric", "value", "unit", "low", "high", "n"] for row in content["rows"])
    assert content["machine"]["torch"] and content["machine"]["cores"] >= 1
    printed = capsys.readouterr().out
    assert "time: 1.5 s" in printed and "PSNR: 24 dB  [23, 25]  n=12" in printed
