"""models/avatar/many.py: heads of a folder, saved one by one, over processes; what is there is skipped, what is half done goes on."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from portrait_diffusion.models.avatar import many
from portrait_diffusion.models.avatar.fitting import FitConfig, new_decoder
from portrait_diffusion.models.avatar.many import (
    Plan,
    fit_in_processes,
    fit_job,
    jobs_of,
    load_state,
    multi_view_files,
    save_state,
)
from portrait_diffusion.models.camera import orbit
from portrait_diffusion.models.head import load_head
from portrait_diffusion.models.synthetic.multiview import write_views
from portrait_diffusion.models.synthetic.rendering import Views

from .test_fitting import FIELD
from .test_hull import SIZE, ball_masks, ball_points

PLAN = Plan(field=FIELD, config=FitConfig(steps=6, rays=64, samples=8, grid=16, refresh_every=3))


class Stopped(Exception):
    """What a user's cancel raises."""


def write_ball(path, radius: float) -> None:
    """Four views of a ball on white."""
    cameras = orbit(torch.arange(4) * (torch.pi / 2), torch.zeros(4))
    mask = (ball_masks(cameras, radius) > 0.5).float()
    colour = (ball_points(cameras, radius) * 2 + 0.5).movedim(-1, 1).clamp(0, 1)
    zero = torch.zeros(4, 1, SIZE, SIZE)
    write_views(path, Views(colour * mask + 1 - mask, mask, zero, zero.expand(4, 3, SIZE, SIZE)), cameras)


@pytest.fixture
def folder(tmp_path):
    """Two heads' views."""
    for name, radius in (("a", 0.2), ("b", 0.15)):
        write_ball(tmp_path / f"{name}.safetensors", radius)
    return tmp_path


def jobs(folder, plan=PLAN):
    return jobs_of(multi_view_files(folder), plan, folder / "heads", folder / "states")


def test_every_file_becomes_a_head_once(folder):
    todo = jobs(folder)
    heads = [fit_job(job, PLAN) for job in todo]
    assert all(job.done and not job.state.exists() for job in todo)
    assert heads[0].reference is not None and not torch.equal(heads[0].planes, heads[1].planes)
    steps = []
    again = fit_job(todo[0], PLAN, callback=lambda now: steps.append(now.step))
    assert steps == [] and torch.equal(again.planes, heads[0].planes)


def test_other_views_or_settings_are_other_heads(folder):
    names = {jobs(folder)[0].target}
    names.add(jobs(folder, replace(PLAN, seed=1))[0].target)
    names.add(jobs(folder, replace(PLAN, config=replace(PLAN.config, steps=7)))[0].target)
    names.add(jobs(folder, replace(PLAN, start=torch.zeros(1, *FIELD.planes_shape)))[0].target)
    for seed in (0, 1):
        decoder = new_decoder(FIELD, torch.Generator().manual_seed(seed))
        names.add(jobs(folder, replace(PLAN, decoder=decoder))[0].target)
    write_ball(folder / "a.safetensors", 0.18)
    names.add(jobs(folder)[0].target)
    assert len(names) == 7


def test_a_cancelled_head_goes_on_to_the_same_bits(folder, tmp_path):
    whole = fit_job(jobs_of([folder / "a.safetensors"], PLAN, tmp_path / "x", tmp_path / "y")[0], PLAN)
    job = jobs(folder)[0]

    def cancel(now) -> None:
        if now.step == 4:
            raise Stopped

    with pytest.raises(Stopped):
        fit_job(job, PLAN, callback=cancel)
    assert job.state.exists() and not job.done
    steps = []
    head = fit_job(job, PLAN, callback=lambda now: steps.append(now.step))
    assert steps == [5, 6] and torch.equal(head.planes, whole.planes) and not job.state.exists()


def test_a_killed_one_goes_on_from_the_last_seconds(folder, monkeypatch):
    monkeypatch.setattr(many, "SAVE_EVERY", 0.0)
    job, states = jobs(folder)[0], []
    fit_job(job, PLAN, callback=lambda now: states.append(load_state(job.state)))
    job.target.unlink()
    save_state(job.state, states[2])
    steps = []
    fit_job(job, PLAN, callback=lambda now: steps.append(now.step))
    assert steps[0] == 4


@pytest.mark.parametrize("spoil", [lambda data: data[:100], lambda data: b""])
def test_a_damaged_state_means_a_fresh_start(folder, spoil):
    job, steps = jobs(folder)[0], []
    save_state(job.state, {"x": torch.zeros(1000)})
    job.state.write_bytes(spoil(job.state.read_bytes()))
    fit_job(job, PLAN, callback=lambda now: steps.append(now.step))
    assert steps[0] == 1


def test_another_version_s_state_means_one_too(folder):
    job, steps = jobs(folder)[0], []
    save_state(job.state, {"version.fit head": torch.tensor(99)})
    fit_job(job, PLAN, callback=lambda now: steps.append(now.step))
    assert steps[0] == 1


def test_processes_make_the_same_heads_through_a_shared_decoder(folder, monkeypatch):
    (folder / "packages").mkdir()
    (folder / "packages" / "portrait_diffusion").symlink_to(Path(many.__file__).parents[2])
    monkeypatch.syspath_prepend(folder / "packages")  # processes import this checkout, whichever is installed
    plan = replace(PLAN, decoder=new_decoder(FIELD, torch.Generator().manual_seed(3)))
    todo, done = jobs(folder, plan), []
    first = fit_job(todo[0], plan)
    todo[0].target.unlink()
    fit_in_processes(todo, plan, 2, done.append)
    assert set(done) == set(todo) and torch.equal(load_head(todo[0].target).planes, first.planes)


def test_a_damaged_file_is_named_once_the_others_are_done(folder):
    for name in ("0", "c"):
        (folder / f"{name}.safetensors").write_bytes(b"nothing of the kind")
    done = []
    for _ in range(2):
        with pytest.raises(
            ValueError, match=r"4 files .* got 2 that cannot: .*0\.safetensors is .*c\.safetensors is"
        ):
            many.fit_in_order(jobs(folder), PLAN, callback=done.append)
    assert [job.source.stem for job in done] == ["a", "b"] and all(job.done for job in done)


def test_what_is_wrong_is_named(folder, tmp_path):
    with pytest.raises(ValueError, match="expected a folder .* found none called nowhere"):
        multi_view_files(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="in empty, found none"):
        multi_view_files(tmp_path / "empty")
    with pytest.raises(ValueError, match="one worker or more, got 0"):
        fit_in_processes([], PLAN, 0)
    (folder / "a.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match=r"a\.safetensors is no readable multi-view head"):
        fit_job(jobs(folder)[0], PLAN)
    blank = torch.zeros(2, 1, 8, 8)
    three = blank.expand(2, 3, 8, 8)
    write_views(folder / "b.safetensors", Views(three, blank, blank, three), orbit(torch.zeros(2), 0.0))
    with pytest.raises(ValueError, match=r"b\.safetensors: fit head: expected a head in each mask"):
        fit_job(jobs(folder)[1], PLAN)
