"""Fit avatars: a folder of multi-view files -> a folder of heads."""

from __future__ import annotations

import os
from pathlib import Path

import comfy.model_management as mm
import folder_paths
import torch
from comfy_api.latest import io

from ..models.avatar.fitting import FitConfig
from ..models.avatar.many import Job, Plan, fit_job, jobs_of, multi_view_files
from . import loading
from .fitting import LEARNS, at_rest, chosen_beginning, decoder_input, fit_inputs, rays_input
from .heads import workflow_notes
from .inversion import MEMORY, picture
from .optimising import PREVIEW_EVERY, Progress, normally
from .types import CATEGORY, HeadWire


class FitAvatars(io.ComfyNode):
    """A folder of multi-view files -> head files."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitDiffusionFitAvatars",
            display_name="Fit Avatars",
            category=CATEGORY,
            description="Fits a head to every multi-view file of a folder and saves it in the output folder, one by one. What is there is "
            "skipped, and a head that was interrupted goes on where it stopped, also after a crash.",
            search_aliases=["batch fit", "rodinhd", "multi-view folder", "data set of heads"],
            inputs=[
                io.String.Input(
                    "folder",
                    default="avatars",
                    tooltip="Of multi-view head files (.safetensors): inside ComfyUI's input folder, or an absolute path.",
                ),
                io.String.Input(
                    "output_folder",
                    default="avatars",
                    tooltip="Where heads are saved, inside ComfyUI's output folder. Each is named after its file and its settings.",
                ),
                *fit_inputs(),
                rays_input(),
                decoder_input(),
            ],
            outputs=[
                io.String.Output(
                    display_name="files",
                    is_output_list=True,
                    tooltip="Names of all heads, inside the output folder.",
                ),
                HeadWire.Output(display_name="head", tooltip="The first one. Load Head loads the others."),
            ],
            is_output_node=True,
        )

    @classmethod
    def fingerprint_inputs(cls, folder: str, **inputs):
        place = input_folder(folder)
        paths = sorted(place.glob("*.safetensors")) if place.is_dir() else []
        return loading.file_facts(*paths)

    @classmethod
    def execute(
        cls,
        folder: str,
        output_folder: str,
        steps: int,
        resolution: int,
        seed: int,
        rays: int = 2048,
        decoder: str = LEARNS,
    ) -> io.NodeOutput:
        begin = chosen_beginning(decoder, resolution, FitConfig(steps=steps, rays=rays))
        plan = Plan(
            field=begin.field, config=begin.config, seed=seed, decoder=begin.decoder, start=begin.start
        )
        heads = inside_output(output_folder)
        states = Path(folder_paths.get_output_directory()) / "portrait_diffusion" / "resume"
        jobs = jobs_of(multi_view_files(input_folder(folder)), plan, heads, states)
        already = sum(job.done for job in jobs)
        device = mm.get_torch_device()
        mm.free_memory(MEMORY, device)
        progress = Progress(len(jobs) * steps)
        first = None
        for index, job in enumerate(jobs):
            if first is None or not job.done:
                head = fit_with_progress(
                    job, plan, progress, index * steps, device, workflow_notes(cls.hidden)
                )
                first = head if first is None else first
            progress.update((index + 1) * steps)
        top = Path(folder_paths.get_output_directory())
        names = [job.target.relative_to(top).as_posix() for job in jobs]
        entries = [entry_of(name) for name in names]
        words = f"{len(jobs)} heads, {already} of them were there"
        wire = None if first is None else loading.wire_head(at_rest(first))
        return io.NodeOutput(names, wire, ui={"heads": entries, "text": [words]})


def fit_with_progress(
    job: Job, plan: Plan, progress: Progress, before: int, device: torch.device, notes: dict[str, str]
):
    """One head, with pictures and interrupts. Args: before: steps of the heads before it."""

    def after_step(now) -> None:
        progress.update(before + now.step)  # notices an interrupt before a picture is rendered
        if now.step % PREVIEW_EVERY == 0:
            progress.update(before + now.step, picture(now))

    with normally():
        return fit_job(job, plan, device=device, notes=notes, callback=after_step)


def input_folder(folder: str) -> Path:
    """A folder inside ComfyUI's input folder, or an absolute path.

    Raises:
        ValueError: a relative path that leaves the input folder.
    """
    if os.path.isabs(folder):
        return Path(folder)
    return inside(folder_paths.get_input_directory(), folder, "folder", "input")


def inside_output(folder: str) -> Path:
    """A folder inside ComfyUI's output folder.

    Raises:
        ValueError: it leaves it.
    """
    return inside(folder_paths.get_output_directory(), folder, "output_folder", "output")


def inside(top: str, folder: str, name: str, what: str) -> Path:
    """A folder below another.

    Raises:
        ValueError: it is not.
    """
    path, base = os.path.abspath(os.path.join(top, folder)), os.path.abspath(top)
    if not folder.strip() or not path.startswith(base + os.sep):
        raise ValueError(
            f"{name}: expected a folder inside the {what} folder, got {folder!r}; remove '..' and leading slashes"
        )
    return Path(path)


def entry_of(name: str) -> dict[str, str]:
    """A file of the output folder as core's `ui` names it."""
    subfolder, _, file = name.rpartition("/")
    return {"filename": file, "subfolder": subfolder, "type": "output"}
