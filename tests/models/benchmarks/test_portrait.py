"""`bench portrait`: stages follow each other, plain distillation paints, rows compare what they say."""

from dataclasses import replace
from types import SimpleNamespace

import torch
from portrait_diffusion.models.benchmarks import portrait as bench
from portrait_diffusion.models.distillation.refinement import Refinement

from ..diffusion.test_new_views import model
from ..distillation.test_refinement import CONFIG, ball_head


def made(tmp_path) -> bench.PortraitBench:
    one = bench.PortraitBench.__new__(bench.PortraitBench)
    super(bench.PortraitBench, one).__init__([], tmp_path / "store.json", 1)
    return one


def test_plain_distillation_moves_the_planes_and_says_the_same_again():
    heads = [bench.distilled(Refinement(ball_head(), model(), None, CONFIG, torch.Generator().manual_seed(seed))) for seed in (0, 0, 1)]
    assert torch.equal(heads[0].planes, heads[1].planes) and not torch.equal(heads[0].planes, heads[2].planes)
    assert heads[0].planes.isfinite().all() and not torch.equal(heads[0].planes, ball_head().planes)
    still = bench.distilled(Refinement(ball_head(), model(), None, replace(CONFIG, rate=1e-12), torch.Generator().manual_seed(0)))
    torch.testing.assert_close(still.planes, ball_head().planes)


def test_stages_begin_where_the_one_before_ended(tmp_path, monkeypatch):
    one, begun = made(tmp_path), []
    one.inverted = SimpleNamespace(timed=lambda exact: ("inverted", 10.0))
    one.model = one.network = one.guides = one.turbo = None
    one.fast, one.latest = CONFIG, None
    monkeypatch.setattr(bench, "restore_geometry", lambda heads, *_, **__: (["restored"], None))
    monkeypatch.setattr(bench, "refine", lambda head, *_, **__: begun.append(head) or "refined")
    monkeypatch.setattr(one, "baked", lambda head: begun.append(head) or "baked")
    exact = SimpleNamespace(name="seed 1")
    rows = {row: one.stage(exact, row) for row in (bench.PRIOR, bench.RESTORED, bench.FAST, bench.TURBO)}
    assert [head for head, _ in rows.values()] == ["inverted", "restored", "refined", "baked"]
    assert begun == ["restored", "inverted"]
    assert rows[bench.PRIOR][1] == 10.0 and all(seconds >= 10.0 for _, seconds in rows.values())


def test_rows_hold_means_and_differences_of_heads_that_both_have(tmp_path):
    one = made(tmp_path)
    one.done = {
        bench.PRIOR: {"a": {"identity against the photo": 0.5, "time": 30.0}, "b": {"identity against the photo": 0.7, "time": 32.0}},
        bench.RESTORED: {"a": {"identity against the photo": 0.6, "time": 90.0}},
    }
    rows = {(row.row, row.metric): row for row in one.rows()}
    assert rows[(bench.PRIOR, "time")].value == 31 and rows[(bench.PRIOR, "time")].unit == "s"
    step = rows[(f"{bench.RESTORED} less {bench.PRIOR}", "identity against the photo")]
    assert abs(step.value - 0.1) < 1e-6 and step.n == 1
    assert (f"{bench.RESTORED} less {bench.PRIOR}", "time") not in rows
