"""Fit Avatars without a server: a folder becomes heads in the output folder, one by one, and what stops it loses nothing."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ..models.avatar.test_many import write_ball


@pytest.fixture
def node(monkeypatch):
    """nodes/avatars.py on a field of few numbers, without pictures, and two heads' views in the input folder."""
    import folder_paths
    from portrait_diffusion.models.avatar import new_head
    from portrait_diffusion.nodes import avatars

    monkeypatch.setattr(new_head, "FIELD", replace(new_head.FIELD, channels=4, hidden=16, box_side=0.6))
    monkeypatch.setattr(avatars, "picture", lambda now: None)
    monkeypatch.setattr(avatars, "workflow_notes", lambda hidden: {"prompt": "{}"})
    folder = Path(folder_paths.get_input_directory()) / "balls"
    folder.mkdir(exist_ok=True)
    for name, radius in (("a", 0.2), ("b", 0.15)):
        write_ball(folder / f"{name}.safetensors", radius)
    avatars.folder = folder
    return avatars


def execute(node, folder="balls", out="fitted", seed=0):
    with torch.inference_mode():
        return node.FitAvatars.execute(folder, out, 6, 32, seed, 64)


def test_a_folder_becomes_heads_and_is_done_the_second_time(node):
    import folder_paths

    output = execute(node)
    names, head = output.result
    assert [name[:9] for name in names] == ["fitted/a_", "fitted/b_"]
    paths = [Path(folder_paths.get_output_directory()) / name for name in names]
    assert all(path.is_file() for path in paths) and output.ui["text"] == ["2 heads, 0 of them were there"]
    assert [entry["filename"] for entry in output.ui["heads"]] == [path.name for path in paths]
    times = [path.stat().st_mtime_ns for path in paths]
    again = execute(node, str(node.folder))  # by its absolute path, too
    assert again.ui["text"] == ["2 heads, 2 of them were there"]
    assert [path.stat().st_mtime_ns for path in paths] == times
    assert torch.equal(again.result[1].head.planes, head.head.planes)


def test_an_interrupt_leaves_what_is_done_and_the_rest_goes_on(node, monkeypatch):
    import comfy.model_management as mm
    from portrait_diffusion.nodes import optimising

    whole = execute(node, out="whole", seed=1).result[0]
    calls = 0

    def cancelled() -> None:
        nonlocal calls
        calls += 1
        if calls == 6 + 1 + 3:  # in the second head's third step
            raise mm.InterruptProcessingException

    with monkeypatch.context() as patch:
        patch.setattr(mm, "throw_exception_if_processing_interrupted", cancelled)
        with pytest.raises(mm.InterruptProcessingException):
            execute(node, out="parts", seed=1)
    counts = []
    update = optimising.Progress.update
    monkeypatch.setattr(
        optimising.Progress, "update", lambda self, count, *rest: counts.append(count) or update(self, count)
    )
    output = execute(node, out="parts", seed=1)
    assert output.ui["text"] == ["2 heads, 1 of them were there"] and counts == [6, 10, 11, 12, 12]
    top = node.folder.parents[1] / "output"
    for one, other in zip(whole, output.result[0], strict=True):
        first, second = load_file(top / one), load_file(top / other)
        assert first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize(
    ("folder", "out", "words"),
    [
        ("../output", "x", "folder: expected a folder inside the input folder"),
        ("nowhere", "x", "found none called nowhere"),
        ("balls", "../x", "output_folder: expected a folder inside the output folder"),
        ("balls", "/tmp/x", "output_folder: expected a folder inside the output folder"),
    ],
)
def test_places_that_are_none_are_named(node, folder, out, words):
    with pytest.raises(ValueError, match=words):
        execute(node, folder, out)


def test_a_changed_folder_is_noticed(node):
    before = node.FitAvatars.fingerprint_inputs("balls", steps=1)
    write_ball(node.folder / "c.safetensors", 0.1)
    assert node.FitAvatars.fingerprint_inputs("balls", steps=1) != before
    (node.folder / "c.safetensors").unlink()
