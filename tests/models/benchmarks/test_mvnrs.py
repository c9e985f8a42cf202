"""`bench mvnrs`: differences over heads that both rows have; the first targets of views beside their renders."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from portrait_diffusion.models.benchmarks.mvnrs import bench as bench
from portrait_diffusion.models.benchmarks.mvnrs import targets as targets
from portrait_diffusion.models.benchmarks.mvnrs.speed import plain_gradient
from portrait_diffusion.models.distillation.refinement import Refinement

from ..diffusion.test_hpdm import network
from ..diffusion.test_new_views import model
from ..distillation.test_refinement import CONFIG, ball_head


def bare(kind, tmp_path):
    one = kind.__new__(kind)
    super(kind, one).__init__([], tmp_path / "store.json", 1)
    return one


def test_rows_compare_mvnrs_with_heads_that_both_have(tmp_path):
    one = bare(bench.MvnrsBench, tmp_path)
    one.done = {
        bench.BEFORE: {name: {"PSNR": 20.0} for name in "ab"},
        bench.ROWS["random"]: {name: {"PSNR": 20.5, "time": 1.0} for name in "ab"},
        bench.ROWS["mvnrs"]: {"a": {"PSNR": 21.5, "time": 3.0, "renewed": 0.5}},
    }
    rows = {(row.row, row.metric): row for row in one.rows()}
    step = rows[f"{bench.ROWS['mvnrs']} less {bench.ROWS['random']}", "PSNR"]
    assert (step.value, step.n, step.unit) == (1.0, 1, "dB")
    assert rows[bench.ROWS["mvnrs"], "renewed"].value == 0.5 and rows[bench.BEFORE, "PSNR"].n == 2


def test_views_that_are_judged_are_apart_from_those_that_are_optimised():
    fast, detail = (bench.looked_at(bench.PRESETS[name].views) for name in ("fast", "detail"))
    assert sorted(fast) == [-120, -60, -30, 30, 60, 120] and sorted(detail) == [-45, 45]


def test_targets_are_of_all_views_but_the_photo_s(tmp_path):
    one = bare(targets.TargetBench, tmp_path)
    one.config, one.model, one.network = replace(CONFIG, blend=0.05), model(), network()
    one.inversions = SimpleNamespace(head=lambda exact: ball_head())
    found, truth, mask = one.pictures(SimpleNamespace(seed=90_000))
    assert {row.partition(" from")[0] for row in found} == {
        targets.RENDER, targets.ROUND_TRIP, targets.EXACT, targets.LAID, "drawn", "target"
    }  # fmt: skip
    assert all(
        shown.shape == truth.shape == (CONFIG.views + 1, 3, 32, 32) for shown in found.values()
    ) and len(mask) == len(truth)
    last = targets.SHARES[-1]
    assert not torch.equal(found[f"drawn from t = {last}"], found[f"target from t = {last}"])
    assert not torch.equal(found[targets.RENDER], found[targets.LAID])


def test_target_rows_are_less_the_render(tmp_path):
    one = bare(targets.TargetBench, tmp_path)
    figures = {
        row: dict.fromkeys(targets.UNITS, value)
        for row, value in ((targets.RENDER, 1.0), (targets.LAID, 3.0))
    }
    one.done = {"targets": {"a": figures}}
    rows = {(row.row, row.metric): row.value for row in one.rows()}
    assert (
        rows[f"{targets.LAID} less {targets.RENDER}", "PSNR"] == 2
        and (f"{targets.RENDER} less {targets.RENDER}", "PSNR") not in rows
    )


def test_targets_of_other_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match="leave --heads out"):
        bench.run(["--targets", "--heads", str(tmp_path)])


def test_plain_distillation_is_repeatable_and_moves_the_planes():
    run = Refinement(ball_head(), model(), None, replace(CONFIG, rays=0), torch.Generator().manual_seed(0))
    run.scene.refresh()
    run.scene.begin(run.draws)
    one, same, other = (plain_gradient(run, 400, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert (
        one.isfinite().all()
        and one.abs().max() > 0
        and torch.equal(one, same)
        and not torch.equal(one, other)
    )
