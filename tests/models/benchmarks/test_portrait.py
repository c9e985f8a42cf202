"""`bench portrait`: stages follow each other, rows compare what they say, hard photos have the exact views that belong to them."""

from dataclasses import replace
from types import SimpleNamespace

import torch
from portrait_diffusion.models.benchmarks.exact_heads import ExactHead
from portrait_diffusion.models.benchmarks.portrait import bench as bench
from portrait_diffusion.models.benchmarks.portrait import robust as robust
from portrait_diffusion.models.benchmarks.portrait import stages as stages
from portrait_diffusion.models.benchmarks.restoration import without_block
from portrait_diffusion.models.distillation.restoration import RestorationConfig

from ..diffusion.test_new_views import model
from ..distillation.test_refinement import CONFIG, ball_head


def made() -> stages.PortraitStages:
    one = stages.PortraitStages.__new__(stages.PortraitStages)
    one.model = one.network = one.guides = one.turbo = one.block = one.latest = None
    one.presets = {"fast": CONFIG, "detail": CONFIG}
    one.restoration = RestorationConfig(steps=1, size=8, seen=32, samples=4, rays=32)
    one.inversions = SimpleNamespace(timed=lambda exact: ("inverted", 10.0))
    return one


def table(tmp_path) -> bench.PortraitBench:
    return bench.PortraitBench([], tmp_path / "store.json", 1, None)


def test_plain_distillation_moves_the_planes_and_evaluates_the_unet_as_often(monkeypatch):
    one, seen = made(), []
    one.model = model()
    short = replace(CONFIG, iterations=1, denoising_steps=1)
    monkeypatch.setattr(stages, "without_block", lambda run: seen.append(run.config) or without_block(run))
    heads = [one.distilled(ball_head(), short) for _ in range(2)]
    assert torch.equal(heads[0].planes, heads[1].planes) and not torch.equal(
        heads[0].planes, ball_head().planes
    )
    assert heads[0].planes.isfinite().all()
    assert seen[0].steps == (short.views + 1) // stages.PERP_NEG and seen[0].picture == 0


def test_stages_begin_where_the_one_before_ended(monkeypatch):
    one, begun = made(), []
    monkeypatch.setattr(stages, "restore_geometry", lambda heads, *_, **__: (["restored"], None))
    monkeypatch.setattr(
        stages, "refine", lambda head, *_, **__: begun.append(head) or SimpleNamespace(head="refined")
    )
    monkeypatch.setattr(one, "baked", lambda head: begun.append(head) or "baked")
    exact = SimpleNamespace(name="seed 1")
    rows = {
        row: one.made(exact, row)
        for row in (stages.PRIOR, stages.RESTORED, stages.FAST, stages.TURBO, stages.DETAIL)
    }
    assert [head for head, _ in rows.values()] == ["inverted", "restored", "refined", "baked", "refined"]
    assert begun == ["restored", "inverted", "restored"]
    assert rows[stages.PRIOR][1] >= 10.0 and all(seconds >= 10.0 for _, seconds in rows.values())


def test_rows_hold_means_and_differences_of_heads_that_both_have(tmp_path):
    one = table(tmp_path)
    one.done = {
        stages.PRIOR: {
            "a": {"identity against the photo": 0.5, "time": 30.0},
            "b": {"identity against the photo": 0.7, "time": 32.0},
        },
        stages.RESTORED: {"a": {"identity against the photo": 0.6, "time": 90.0}},
    }
    rows = {(row.row, row.metric): row for row in one.rows()}
    assert rows[(stages.PRIOR, "time")].value == 31 and rows[(stages.PRIOR, "time")].unit == "s"
    step = rows[(f"{stages.RESTORED} less {stages.PRIOR}", "identity against the photo")]
    assert abs(step.value - 0.1) < 1e-6 and step.n == 1
    assert (f"{stages.RESTORED} less {stages.PRIOR}", "time") not in rows


def test_paint_keeps_white_and_is_of_few_colours():
    image = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0))
    image[:, 0, 0] = 1
    found = robust.painted(image)
    assert found[:, 0, 0].eq(1).all() and len(found.unique()) <= robust.LEVELS
    assert torch.equal(robust.painted(image.flip(-1)), found.flip(-1))


def test_heads_take_the_hard_cases_in_turns(monkeypatch):
    def head(name: str) -> ExactHead:
        view = SimpleNamespace(name=name)
        return ExactHead(name, view, {"yaw 20": "aside", "pitch 20": "above"})

    monkeypatch.setattr(
        robust, "expressive_heads", lambda split, count: [head(f"laughing {i}") for i in range(count)]
    )
    monkeypatch.setattr(robust, "painted_views", lambda views: "painted")
    found = robust.cases([head(str(i)) for i in range(6)], "held_out")
    assert [case for case, _, _ in found] == [*robust.CASES, robust.SIDE, robust.ABOVE]
    assert [photo.exact for _, photo, _ in found[:2]] == ["aside", "above"] and [
        exact.name for *_, exact in found[:2]
    ] == ["0", "1"]
    assert found[2][1] is found[2][2] and found[2][2].name == "laughing 0"
    assert found[3][1].exact == found[3][2].exact == "painted"


def test_hard_cases_are_pooled_and_apart(tmp_path):
    one = robust.RobustPortraitBench([], tmp_path / "store.json", 1, None, "held_out")
    for i, case in enumerate(robust.CASES):
        one.done[f"{case}: {stages.PRIOR}"] = {"a": {"PSNR against the exact views": 20.0, "time": 1.0}}
        one.done[f"{case}: {stages.FAST}"] = {"a": {"PSNR against the exact views": 20.0 + i, "time": 2.0}}
    rows = {(row.row, row.metric): row for row in one.rows()}
    pooled = rows[(f"all: {stages.FAST} less {stages.PRIOR}", "PSNR against the exact views")]
    assert (pooled.value, pooled.n, pooled.unit) == (1.5, 4, "dB")
    assert (
        rows[(f"{robust.PAINTED}: {stages.FAST} less {stages.PRIOR}", "PSNR against the exact views")].value
        == 3
    )
