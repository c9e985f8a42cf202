"""What every optimising node needs: out of inference mode, progress with pictures, interrupts, resume.

ComfyUI runs nodes under inference mode, where nothing can be differentiated and upstream tensors cannot be saved for backward;
so an optimising node works `normally()` on `private` copies of its inputs.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar, cast

import comfy.model_management as mm
import comfy.utils
import folder_paths
import torch
from PIL import Image
from torch import Tensor, nn

from ..models.checkpoint import read_tensors, save_tensors
from ..models.fitting.run import Progress as StepProgress
from ..models.fitting.state import ForeignState

SAVE_EVERY = 15.0  # seconds between resume states
PREVIEW_EVERY = 15  # steps
Value = TypeVar("Value")
Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)
State = dict[str, Tensor]


class Optimisation(Protocol[Result_co]):
    """What an optimising node runs, with tensors [...] of an earlier run or none, and what it calls after each step."""

    def __call__(self, *, state: State | None, callback: Callable[[StepProgress], None]) -> Result_co: ...


@contextlib.contextmanager
def normally() -> Iterator[None]:
    """Outside inference mode, with gradients."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def private(value: Value) -> Value:
    """A deep copy that autograd accepts: of tensors, modules, and dataclasses, lists and dicts of them. Call it `normally()`."""
    return cast(Value, _copied(value, deepcopy))  # of the kind that it is asked for, by every branch below


def frozen(value: Value) -> Value:
    """As `private`, but a frozen module whose weights autograd accepts stays itself: what is only asked need not be there twice."""
    return cast(Value, _copied(value, lambda module: module if accepted(module) else deepcopy(module)))


def accepted(module: nn.Module) -> bool:
    """Whether gradients can run through a module that does not learn: core's weights are often tensors of inference mode."""
    weights = [*module.parameters(), *module.buffers()]
    return not any(weight.is_inference() or weight.requires_grad for weight in weights)


def _copied(value, of_module: Callable[[nn.Module], nn.Module]):
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, nn.Module):
        return of_module(value)
    if is_dataclass(value) and not isinstance(value, type):
        parts = {field.name: _copied(getattr(value, field.name), of_module) for field in fields(value)}
        return replace(value, **parts)
    if isinstance(value, (list, tuple)):
        return type(value)(_copied(item, of_module) for item in value)
    if isinstance(value, dict):
        return {key: _copied(item, of_module) for key, item in value.items()}
    return value


def fingerprint(*values) -> str:
    """Hash of tensors, modules' weights, dataclasses and plain values: the key under which a run is resumed."""
    digest = hashlib.sha256()

    def add(value) -> None:
        if isinstance(value, Tensor):
            digest.update(f"{value.dtype}{list(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        elif isinstance(value, nn.Module):
            add(value.state_dict())
        elif is_dataclass(value) and not isinstance(value, type):
            digest.update(type(value).__name__.encode())
            for field in fields(value):
                add(field.name)
                add(getattr(value, field.name))
        elif isinstance(value, dict):
            for key in sorted(value):
                add(key)
                add(value[key])
        elif isinstance(value, (list, tuple)):
            for item in value:
                add(item)
        else:
            digest.update(repr(value).encode())

    for value in values:
        add(value)
        digest.update(b"|")
    return digest.hexdigest()[:32]


class Resume:
    """The state of one run under ComfyUI's output folder, deleted when the run ends."""

    def __init__(self, key: str) -> None:
        self.path = (
            Path(folder_paths.get_output_directory()) / "portrait_diffusion" / "resume" / f"{key}.safetensors"
        )
        self._last_save = time.monotonic()

    def load(self) -> State | None:
        """The state of an interrupted or crashed run with the same inputs, or None."""
        if not self.path.is_file():
            return None
        try:
            return {key: value.clone() for key, value in read_tensors(self.path, "resume state")[0].items()}
        except ValueError:  # a damaged state is worth less than a fresh start
            self.path.unlink()
            return None

    def resumed(self, run: Callable[[State | None], Result]) -> Result:
        """What `run` makes of the state; of none, where the state is another version's, which is then deleted."""
        try:
            return run(self.load())
        except ForeignState as error:
            logging.getLogger(__name__).warning("%s (%s); the run begins anew", error, self.path.name)
            self.delete()
        return run(None)

    def due(self) -> bool:
        """Whether it is time to save again."""
        return time.monotonic() - self._last_save > SAVE_EVERY

    def save(self, state: State) -> None:
        """Write the state; a crash while writing leaves the one before."""
        save_tensors(self.path, {key: value.cpu().contiguous() for key, value in state.items()}, {})
        self._last_save = time.monotonic()

    def delete(self) -> None:
        """Forget the run: it is done."""
        self.path.unlink(missing_ok=True)


class Progress:
    """ComfyUI's progress bar with a picture now and then; raises at once when the user interrupts."""

    def __init__(self, total: int) -> None:
        self.bar = comfy.utils.ProgressBar(total)
        self.total = total

    def update(self, count: int, picture: Image.Image | None = None) -> None:
        """Report `done` of total.

        Raises:
            InterruptProcessingException: the user pressed cancel.
        """
        mm.throw_exception_if_processing_interrupted()
        self.bar.update_absolute(
            count, self.total, None if picture is None else ("JPEG", picture, max(picture.size))
        )


def optimise(
    run: Optimisation[Result],
    key: str,
    picture: Callable[[StepProgress], Image.Image],
    steps: int,
    every: int = PREVIEW_EVERY,
) -> Result:
    """Run an optimisation as a node should: `normally()`, with progress, pictures, interrupts and resume.

    Args:
        run: called with `state` (tensors of an earlier run, or None) and `callback`, which it calls after each step with
            something like `models.fitting.run.Progress`, of which `.step` and `.state()` are asked; its result is returned.
        key: from `fingerprint`. picture: that object -> PIL image of how it looks now. steps: in all. every: of them, a picture.
    """
    progress, resume = Progress(steps), Resume(key)
    latest: StepProgress | None = None

    def after_step(now: StepProgress) -> None:
        nonlocal latest
        latest = now
        if resume.due():
            resume.save(now.state())
        progress.update(now.step)  # notices an interrupt before a picture is drawn
        if now.step % every == 0 or now.step == steps:
            progress.update(now.step, picture(now))

    with normally():
        try:
            result = resume.resumed(lambda state: run(state=state, callback=after_step))
        except mm.InterruptProcessingException:
            if latest is not None:
                resume.save(latest.state())
            raise
        finally:
            latest = None
            mm.soft_empty_cache()
    resume.delete()
    return result
