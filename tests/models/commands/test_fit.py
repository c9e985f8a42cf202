"""`portrait-diffusion fit`: a folder of multi-view files becomes heads, over processes, once."""

from pathlib import Path

import pytest
from portrait_diffusion.__main__ import main
from portrait_diffusion.models.avatar.fitting import FitConfig
from portrait_diffusion.models.avatar.many import Plan, jobs_of, multi_view_files
from portrait_diffusion.models.avatar.new_head import from_shared
from portrait_diffusion.models.avatar.shared_decoder import shared_decoder
from portrait_diffusion.models.head import load_head

from ..avatar.test_many import write_ball

SMALL = ["--steps", "3", "--resolution", "32", "--rays", "64"]


@pytest.fixture
def folder(tmp_path):
    """Three heads' views, one of them damaged."""
    views = tmp_path / "views"
    views.mkdir()
    for name, radius in (("a", 0.2), ("c", 0.15)):
        write_ball(views / f"{name}.safetensors", radius)
    (views / "b.safetensors").write_bytes((views / "a.safetensors").read_bytes()[:500])
    return views


@pytest.fixture
def imported(tmp_path, monkeypatch, root):
    """Processes import this checkout, whichever is installed."""
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "portrait_diffusion").symlink_to(root)
    monkeypatch.syspath_prepend(tmp_path / "packages")


def plan_of_the_node(**settings) -> Plan:
    """What the node Fit Avatars plans with the embedded decoder."""
    begin = from_shared(shared_decoder(), 32, FitConfig(**settings))
    return Plan(field=begin.field, config=begin.config, decoder=begin.decoder, start=begin.start)


@pytest.mark.whole
@pytest.mark.usefixtures("imported")
def test_two_workers_fit_what_can_be_fitted_once(folder, tmp_path, capsys):
    out = tmp_path / "heads"
    command = ["fit", str(folder), "--out", str(out), "--workers", "2", "--decoder", "embedded", *SMALL]
    assert main(command) == 2
    said = capsys.readouterr()
    assert "3 heads, 0 of them are there" in said.out and "2 of 3" in said.out
    assert said.err.startswith(
        "portrait-diffusion fit: fit avatars: expected 3 files that can be fitted, got 1"
    )
    assert "b.safetensors" in said.err and said.err.count("\n") == 1 and "Traceback" not in said.err
    jobs = jobs_of(
        multi_view_files(folder), plan_of_the_node(steps=3, rays=64), out, Path("nowhere")
    )  # named as the node names them
    assert sorted(path for path in out.iterdir() if path.is_file()) == [jobs[0].target, jobs[2].target]
    assert load_head(jobs[0].target).planes.shape[-1] == 32 and not any((out / "resume").glob("*"))
    (folder / "b.safetensors").unlink()
    times = [job.target.stat().st_mtime_ns for job in (jobs[0], jobs[2])]
    assert main(command) == 0
    assert capsys.readouterr().out == "2 heads, 2 of them are there\n"
    assert times == [job.target.stat().st_mtime_ns for job in (jobs[0], jobs[2])]


def test_without_workers_they_are_fitted_here(folder, tmp_path, capsys):
    out = tmp_path / "heads"
    (folder / "b.safetensors").unlink()
    assert main(["fit", str(folder), "--out", str(out), *SMALL]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "2 heads, 0 of them are there" and lines[2].startswith("  c.safetensors: c_")
    assert [path.name[:2] for path in sorted(out.glob("*.safetensors"))] == ["a_", "c_"]


ROWS = {
    "no workers": (["--workers", "0"], "--workers: expected 1 or more, got 0"),
    "no steps": (["--steps", "0"], "--steps: expected 1 or more, got 0"),
    "no rays": (["--rays", "0"], "--rays: expected 64 or more"),
    "no resolution": (["--resolution", "0"], "--resolution: expected 32 or more"),
    "a negative seed": (["--seed", "-1"], "seed from 0"),
    "no decoder": (["--decoder", "none.safetensors"], "found none called none.safetensors"),
    "out is a file": (["--out", "views/a.safetensors"], "--out: expected a folder, but a.safetensors"),
}


@pytest.mark.parametrize("name", ROWS)
def test_what_is_wrong_is_said_in_one_line(name, folder, tmp_path, capsys, monkeypatch):
    arguments, words = ROWS[name]
    monkeypatch.chdir(tmp_path)
    assert main(["fit", "views", "--out", "out", *SMALL, *arguments]) == 2
    message = capsys.readouterr().err
    assert words in message and message.startswith("portrait-diffusion fit: ") and message.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("place", ["nowhere", "empty"])
def test_places_without_views_are_named(place, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert main(["fit", place, "--out", "out", "--workers", "2"]) == 2
    assert place in capsys.readouterr().err and not (tmp_path / "out").exists()
