"""Heads of a whole folder of multi-view files, each by itself (RodinHD's stage 2): any number of them, over processes, resumable.

A head's file is named by its views' file and by a key of everything that it depends on, so that one that is there is done, and other
settings never overwrite it. What is half done lies in a state beside the others of its kind and goes on from there.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor, nn

from ..bounds import integers
from ..checkpoint import build, read_tensors, save_tensors
from ..field.decoders import decoder_of
from ..field.triplane import FieldConfig
from ..fitting.run import Progress
from ..fitting.state import ForeignState
from ..head import Head, load_head, save_head
from ..synthetic.multiview import read_views
from .fitting import FitConfig
from .new_head import FIELD, Beginning, head_from_views
from .views import Views, views_of

SUFFIX = ".safetensors"
KEY = 12  # letters of a key in a file's name
SAVE_EVERY = 15.0  # seconds between states


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How all heads of a folder are fitted.

    Attributes:
        field: of the planes. config: of the fit. seed: of each head's draws.
        decoder: of all heads, frozen, on the CPU; None where each learns its own.
        start: planes [1, 3, C, (D,) r, r] to begin with; None for random ones.
    """

    field: FieldConfig = FIELD
    config: FitConfig = FitConfig()
    seed: int = 0
    decoder: nn.Module | None = None
    start: Tensor | None = None

    def __post_init__(self) -> None:
        integers(self, seed=(0, 2**63 - 1))


@dataclass(frozen=True)
class Job:
    """One head: the views' file, the head's, and the state's while it is half done."""

    source: Path
    target: Path
    state: Path

    @property
    def done(self) -> bool:
        """Whether the head is there."""
        return self.target.is_file()


def multi_view_files(folder: Path) -> list[Path]:
    """The files of a folder, by name.

    Raises:
        ValueError: there is no such folder, or none in it.
    """
    if not folder.is_dir():
        raise ValueError(
            f"fit avatars: expected a folder of multi-view heads, found none called {folder.name}; put the files there first"
        )
    files = sorted(path for path in folder.iterdir() if path.suffix == SUFFIX and path.is_file())
    if not files:
        raise ValueError(
            f"fit avatars: expected multi-view heads ({SUFFIX}) in {folder.name}, found none; models/README.md says what they hold"
        )
    return files


def key_of(source: Path, plan: Plan) -> str:
    """What a head depends on, as letters: its views' bytes, the settings, the shared decoder's weights, the planes that it begins with."""
    digest = hashlib.sha256(f"{plan.field}|{plan.config}|{plan.seed}".encode())
    with source.open("rb") as file:
        while piece := file.read(2**20):
            digest.update(piece)
    shared = {} if plan.decoder is None else dict(plan.decoder.state_dict())
    start = {} if plan.start is None else {"start": plan.start}
    for name, value in sorted({**shared, **start}.items()):
        digest.update(f"|{name}{list(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:KEY]


def jobs_of(files: Iterable[Path], plan: Plan, heads: Path, states: Path) -> list[Job]:
    """What there is to do. Args: heads, states: folders, which need not be there yet."""
    jobs = []
    for source in files:
        name = f"{source.stem}_{key_of(source, plan)}"
        jobs.append(Job(source, heads / f"{name}{SUFFIX}", states / f"avatar_{name}{SUFFIX}"))
    return jobs


def views_in(source: Path, box_side: float) -> Views:
    """The views of a file, as a fit takes them.

    Raises:
        ValueError: the file's name, and what `read_views` or `views_of` say of it.
    """
    head = read_views(source)
    white = torch.ones(3)  # what such files have behind their heads
    try:
        return views_of(head.views.rgb, head.views.mask, head.camera, box_side, background=white)
    except ValueError as error:
        raise ValueError(f"{source.name}: {error}") from error


def fit_job(
    job: Job,
    plan: Plan,
    *,
    device: torch.device | str | None = None,
    notes: Mapping[str, str] | None = None,
    callback: Callable[[Progress[float]], None] | None = None,
) -> Head:
    """One head, fitted from where its state stands and saved; or read, where it is there.

    Whatever stops it, the callback's own exceptions among them, leaves a state of the last whole step; a kill one of the last seconds.

    Args:
        device: where the fit works; None for the CPU. notes: beside the head in its file. callback: called after each step.

    Raises:
        ValueError: as `views_in` and `fitting.fit`.
    """
    if job.done:
        return load_head(job.target)
    views = views_in(job.source, plan.field.box_side)
    views = views if device is None else views.to(device)
    latest: Progress[float] | None = None
    last_save = time.monotonic()

    def after_step(now: Progress[float]) -> None:
        nonlocal latest, last_save
        latest = now
        if time.monotonic() - last_save > SAVE_EVERY:
            save_state(job.state, now.state())
            last_save = time.monotonic()
        if callback is not None:
            callback(now)

    def run(state: dict[str, Tensor] | None) -> Head:
        draws = torch.Generator().manual_seed(plan.seed)
        start = None if plan.start is None else plan.start.to(views.mask)
        beginning = Beginning(plan.field, plan.config, start, plan.decoder)
        return head_from_views(views, beginning, generator=draws, state=state, callback=after_step)

    try:
        try:
            head = run(load_state(job.state))
        except ForeignState:
            head = run(None)  # another version's: the head begins anew
    except BaseException:
        if latest is not None:
            save_state(job.state, latest.state())
        raise
    save_head(head, job.target, dict(notes or {}))
    job.state.unlink(missing_ok=True)
    return head


def save_state(path: Path, state: Mapping[str, Tensor]) -> None:
    """Write a run's state, tensors [...] by name; a crash while writing leaves the one before."""
    save_tensors(path, {name: value.cpu().contiguous() for name, value in state.items()}, {})


def load_state(path: Path) -> dict[str, Tensor] | None:
    """A run's state, tensors [...] by name; None where there is none, or a damaged one, which is worth less than a fresh start."""
    if not path.is_file():
        return None
    try:
        return read_tensors(path, "fit avatars: state")[0]
    except ValueError:
        return None


def fit_in_order(
    jobs: Sequence[Job],
    plan: Plan,
    *,
    device: torch.device | None = None,
    callback: Callable[[Job], None] | None = None,
) -> None:
    """All heads that are not there yet, one after the other, in this process.

    Args:
        device: as of `fit_job`. callback: told each head that is done.

    Raises:
        ValueError: files that cannot be fitted, once all others are done.
    """
    faults = []
    for job in jobs:
        if job.done:
            continue
        try:
            fit_job(job, plan, device=device)
        except ValueError as error:
            faults.append(error)
        else:
            _tell(callback, job)
    _refuse(faults, len(jobs))


def fit_in_processes(
    jobs: Sequence[Job], plan: Plan, workers: int, callback: Callable[[Job], None] | None = None
) -> None:
    """All heads that are not there yet, on the CPU, over processes of one thread each.

    Args:
        workers: processes. callback: told each head that is done, in the order in which they are.

    Raises:
        ValueError: no workers; files that cannot be fitted, once all others are done; a process that was ended from outside.
    """
    if workers < 1:
        raise ValueError(f"fit avatars: expected one worker or more, got {workers}; say how many processes")
    left = [job for job in jobs if not job.done]
    shared = None if plan.decoder is None else plan.decoder.cpu().state_dict()
    parts = (
        replace(plan, decoder=None),
        shared,
    )  # layers with rates of their own do not travel between processes
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads may never end
    faults, queue, futures = [], iter(left), {}
    try:
        with ProcessPoolExecutor(workers, mp_context=context, initializer=one_thread) as pool:

            def begin(count: int) -> None:
                futures.update({pool.submit(_fit_quietly, job, *parts): job for job in islice(queue, count)})

            begin(workers)  # and no more: what a pool has in its queue is fitted also after Ctrl-C
            while futures:
                for future in wait(futures, return_when=FIRST_COMPLETED).done:
                    job = futures.pop(future)
                    begin(1)
                    try:
                        future.result()
                    except ValueError as error:
                        faults.append(error)
                    else:
                        _tell(callback, job)
    except BrokenProcessPool as error:
        raise ValueError(
            f"fit avatars: expected {workers} processes that work to the end, but one was ended from outside, as where memory is short; "
            "take fewer workers and begin again: what is there stays"
        ) from error
    _refuse(faults, len(jobs))


def _tell(callback: Callable[[Job], None] | None, job: Job) -> None:
    if callback is not None:
        callback(job)


def _refuse(faults: Sequence[ValueError], count: int) -> None:
    """Raises ValueError where some of so many files could not be fitted."""
    if faults:
        raise ValueError(
            f"fit avatars: expected {count} files that can be fitted, got {len(faults)} that cannot: "
            f"{'; '.join(str(fault) for fault in faults[:3])}; the others are done"
        ) from faults[0]


def one_thread() -> None:
    """Of this process: many of them share the machine."""
    torch.set_num_threads(1)


def _fit_quietly(job: Job, plan: Plan, weights: Mapping[str, Tensor] | None) -> None:
    """`fit_job`, without the head. Args: weights: of the shared decoder, [...] by name; None where each head learns its own."""
    if weights is None:
        fit_job(job, plan)
        return
    decoder = build(lambda: decoder_of(plan.field), dict(weights), "fit avatars: the shared decoder")
    fit_job(job, replace(plan, decoder=decoder.requires_grad_(False)))
