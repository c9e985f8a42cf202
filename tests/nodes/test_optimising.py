"""What every optimising node needs, under the inference mode in which ComfyUI runs nodes."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from ..models import small


@pytest.fixture
def optimising(monkeypatch):
    """The module, with a progress bar that counts."""
    from portrait_diffusion.nodes import optimising

    class Bar:
        def __init__(self, total):
            self.seen = []

        def update_absolute(self, value, total, preview=None):
            self.seen.append((value, preview is not None))
            Bar.last = self

    monkeypatch.setattr(optimising.comfy.utils, "ProgressBar", Bar)
    optimising.Bar = Bar
    return optimising


@dataclass(frozen=True)
class Pair:
    """Stands for what lies on a wire."""

    tensor: torch.Tensor
    words: str = "a"


def test_private_copies_can_be_differentiated_where_upstream_ones_cannot(optimising):
    with torch.inference_mode():
        upstream = Pair(torch.ones(3)), nn.Linear(3, 1), [torch.ones(3)], {"a": (torch.ones(3),)}
        assert upstream[0].tensor.is_inference()
        with optimising.normally():
            assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
            variable = torch.zeros(3, requires_grad=True)
            with pytest.raises(RuntimeError, match="[Ii]nference tensors"):
                (variable * upstream[0].tensor).sum().backward()
            pair, layer, items, named = optimising.private(upstream)
            loss = (variable * pair.tensor * items[0] * named["a"][0]).sum() + layer(variable).sum()
            loss.backward()
            assert variable.grad is not None and layer.weight.grad is not None
        assert torch.is_inference_mode_enabled()


def test_private_copies_share_nothing(optimising):
    original = Pair(torch.ones(3))
    copy = optimising.private(original)
    copy.tensor.zero_()
    assert original.tensor.sum() == 3 and copy.words == "a"


def test_a_portrait_and_a_generator_are_copied_whole(optimising):
    with torch.inference_mode():
        portrait, generator = small.portrait(), small.generator()
        with optimising.normally():
            mine, net = optimising.private(portrait), optimising.private(generator)
            assert torch.equal(mine.camera.cam2world, portrait.camera.cam2world) and not mine.image.is_inference()
            latents = net.mapping(torch.zeros(1, 6)).detach().requires_grad_()
            net.planes(latents).square().mean().backward()
            assert latents.grad.abs().sum() > 0


def test_the_fingerprint_follows_whatever_matters(optimising):
    portrait, generator = small.portrait(), small.generator()
    first = optimising.fingerprint(portrait, 0, generator)
    assert first == optimising.fingerprint(small.portrait(), 0, small.generator()) and len(first) == 32
    other = replace(portrait, image=portrait.image + 1e-6)
    tuned = small.generator()
    next(iter(tuned.parameters())).data.view(-1)[0] += 1e-6
    changed = [
        optimising.fingerprint(other, 0, generator),
        optimising.fingerprint(portrait, 1, generator),
        optimising.fingerprint(portrait, 0, tuned),
        optimising.fingerprint(portrait, 0),
        optimising.fingerprint(replace(portrait, photo_size=(33, 32)), 0, generator),
    ]
    assert len({first, *changed}) == 6


def test_the_fingerprint_tells_shapes_and_types_apart(optimising):
    values = [
        torch.zeros(4),
        torch.zeros(2, 2),
        torch.zeros(4, dtype=torch.int32),
        [torch.zeros(4), 0],
        {"a": torch.zeros(4)},
        0,
        "0",
        0.0,
        None,
        False,
    ]
    assert len({optimising.fingerprint(value) for value in values}) == len(values)
    assert optimising.fingerprint({"a": 1, "b": 2}) == optimising.fingerprint({"b": 2, "a": 1})


def test_a_state_is_kept_until_the_run_is_done(optimising):
    resume = optimising.Resume("a" * 32)
    assert resume.load() is None
    resume.save({"step": torch.tensor(3), "x": torch.eye(2)})
    assert "portrait_diffusion/resume" in resume.path.as_posix() and resume.path.is_relative_to(
        optimising.folder_paths.get_output_directory()
    )
    state = optimising.Resume("a" * 32).load()
    assert int(state["step"]) == 3 and torch.equal(state["x"], torch.eye(2))
    assert optimising.Resume("b" * 32).load() is None
    resume.delete()
    assert optimising.Resume("a" * 32).load() is None
    resume.delete()


def test_a_write_that_is_cut_leaves_the_state_before(optimising, monkeypatch):
    resume = optimising.Resume("c" * 32)
    resume.save({"step": torch.tensor(1)})
    from portrait_diffusion.models import checkpoint

    def dies(tensors, path, metadata):
        path.write_bytes(b"half of it")
        raise OSError("the disk is full")

    monkeypatch.setattr(checkpoint, "save_file", dies)
    with pytest.raises(OSError, match="disk"):
        resume.save({"step": torch.tensor(2)})
    assert int(resume.load()["step"]) == 1


def test_a_damaged_state_is_thrown_away(optimising):
    resume = optimising.Resume("d" * 32)
    resume.save({"step": torch.tensor(1)})
    resume.path.write_bytes(resume.path.read_bytes()[:20])
    assert resume.load() is None and not resume.path.exists()


def steps_of(count: int, at: dict | None = None):
    """A run of `count` steps that notes where it began; `at`: step -> what happens there."""
    began = []

    def run(*, state, callback):
        start = 0 if state is None else int(state["step"])
        began.append(start)
        x = torch.zeros(1, requires_grad=True)
        for step in range(start + 1, count + 1):
            torch.autograd.grad((x - step).square().sum(), x)
            (at or {}).get(step, lambda: None)()
            callback(SimpleNamespace(step=step, state=lambda step=step: {"step": torch.tensor(step)}))
        return "done"

    return run, began


def test_an_optimisation_reports_each_step_and_shows_some(optimising):
    from PIL import Image

    run, began = steps_of(25)
    with torch.inference_mode():
        assert optimising.optimise(run, "e" * 32, lambda now: Image.new("RGB", (8, 8)), 25) == "done"
    seen = optimising.Bar.last.seen
    assert sorted({value for value, _ in seen}) == list(range(1, 26)) and [value for value, shown in seen if shown] == [15, 25]
    assert began == [0] and optimising.Resume("e" * 32).load() is None


def test_an_interrupted_optimisation_goes_on(optimising, monkeypatch):
    mm = optimising.mm
    run, began = steps_of(8, {5: mm.interrupt_current_processing})
    with torch.inference_mode(), pytest.raises(mm.InterruptProcessingException):
        optimising.optimise(run, "f" * 32, lambda now: None, 8)
    assert int(optimising.Resume("f" * 32).load()["step"]) == 5
    again, began_again = steps_of(8)
    optimising.optimise(again, "f" * 32, lambda now: None, 8)
    assert (began, began_again) == ([0], [5]) and optimising.Resume("f" * 32).load() is None


def test_a_state_of_another_version_is_thrown_away(optimising):
    run, began = steps_of(3)

    def picky(*, state, callback):
        if state is not None:
            raise optimising.ForeignState("run: expected a state of another version, got this one; begin anew without that state")
        return run(state=state, callback=callback)

    optimising.Resume("1" * 32).save({"step": torch.tensor(2)})
    assert optimising.optimise(picky, "1" * 32, lambda now: None, 3) == "done"
    assert began == [0] and optimising.Resume("1" * 32).load() is None


def test_an_optimisation_that_fails_keeps_what_was_saved(optimising, monkeypatch):
    monkeypatch.setattr(optimising, "SAVE_EVERY", -1.0)

    def explode():
        raise ValueError("no")

    run, _ = steps_of(8, {4: explode})
    with pytest.raises(ValueError, match="no"):
        optimising.optimise(run, "0" * 32, lambda now: None, 8)
    assert int(optimising.Resume("0" * 32).load()["step"]) == 3
