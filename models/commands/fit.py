"""`portrait-diffusion fit FOLDER --out DIR`: a head of every multi-view file of a folder, as the node Fit Avatars makes them."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..avatar.fitting import FitConfig
from ..avatar.many import Job, Plan, fit_in_order, fit_in_processes, jobs_of, multi_view_files
from ..avatar.new_head import Beginning, from_nothing, from_shared
from ..avatar.shared_decoder import shared_decoder
from ..devices import half_of_processors, pick_device

LEARNS, EMBEDDED = "learns", "embedded"
LEAST = {"workers": 1, "steps": 1, "resolution": 32, "rays": 64}  # as the node has them
STATES = "resume"  # folder of half-done heads, beside the heads


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options of `fit`.

    Raises:
        ValueError: a number that is too small, or a folder that cannot be written.
    """
    parser = argparse.ArgumentParser(
        prog="portrait-diffusion fit",
        description=__doc__,
        epilog="A head that is there is skipped. One that was interrupted goes on where it stopped, also after a crash.",
    )
    parser.add_argument("folder", type=Path, help="of multi-view heads (.safetensors)")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the heads, named after their files and settings"
    )
    parser.add_argument(
        "--workers",
        type=int,
        help="processes of one thread each, on the CPU; default: one head after the other, on the accelerator where there is one",
    )
    parser.add_argument("--steps", type=int, default=600, help="of each head (RodinHD: 25000)")
    parser.add_argument("--resolution", type=int, default=256, help="texels along a plane's side")
    parser.add_argument("--seed", type=int, default=0, help="of each head's first planes and rays")
    parser.add_argument("--rays", type=int, default=2048, help="of each step (RodinHD: 8192)")
    parser.add_argument(
        "--decoder",
        default=LEARNS,
        help=f"{LEARNS} (default): each head has its own; {EMBEDDED}, or a file of train avatar-decoder: one that all share and that stays as it is",
    )
    options = parser.parse_args(arguments)
    for name, least in LEAST.items():
        value = getattr(options, name)
        if value is not None and value < least:
            raise ValueError(f"--{name}: expected {least} or more, got {value}; leave it out, or take more")
    if options.out.exists() and not options.out.is_dir():
        raise ValueError(f"--out: expected a folder, but {options.out.name} is a file; choose another name")
    return options


def beginning_of(decoder: str, resolution: int, config: FitConfig) -> Beginning:
    """What each head begins with, by the decoder's name on the command line.

    Raises:
        ValueError: as `shared_decoder`, `from_nothing`.
    """
    if decoder == LEARNS:
        return from_nothing(resolution, config)
    return from_shared(shared_decoder(None if decoder == EMBEDDED else Path(decoder)), resolution, config)


@half_of_processors()
def run(arguments: list[str]) -> None:
    """Fit what is not there yet; a line for each head that is done."""
    options = parse(arguments)
    begin = beginning_of(
        options.decoder, options.resolution, FitConfig(steps=options.steps, rays=options.rays)
    )
    plan = Plan(
        field=begin.field,
        config=begin.config,
        seed=options.seed,
        decoder=begin.decoder,
        start=begin.start,
    )
    jobs = jobs_of(multi_view_files(options.folder), plan, options.out, options.out / STATES)
    count = already = sum(job.done for job in jobs)

    def report(job: Job) -> None:
        nonlocal count
        count += 1
        print(f"  {job.source.name}: {job.target.name}, {count} of {len(jobs)}", flush=True)

    print(f"{len(jobs)} heads, {already} of them are there", flush=True)
    if options.workers is None:
        fit_in_order(jobs, plan, device=pick_device(), callback=report)
    else:
        fit_in_processes(jobs, plan, options.workers, report)
