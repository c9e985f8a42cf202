"""Save head, load head."""

from __future__ import annotations

import json
import os
from pathlib import Path

import folder_paths
import torch
from comfy.cli_args import args
from comfy_api.latest import io

from ..models.head import load_head, save_head
from . import loading
from .types import CATEGORY, HeadWire

SUFFIX = ".safetensors"


def saved_heads() -> list[str]:
    """Head files in the input folder, then those that Save Head wrote, marked " [output]"."""
    inputs = [
        name for name in sorted(os.listdir(folder_paths.get_input_directory())) if name.endswith(SUFFIX)
    ]
    outputs = []
    top = folder_paths.get_output_directory()
    for folder, folders, names in os.walk(top):
        folders[:] = [name for name in sorted(folders) if name != "resume"]
        outputs += [
            os.path.relpath(os.path.join(folder, name), top).replace(os.sep, "/")
            for name in sorted(names)
            if name.endswith(SUFFIX)
        ]
    return inputs + [f"{name} [output]" for name in outputs]


def workflow_notes(hidden) -> dict[str, str]:
    """The prompt and the workflow as core puts them into its files; nothing under --disable-metadata."""
    if args.disable_metadata:
        return {}
    notes = {"prompt": hidden.prompt, **(hidden.extra_pnginfo or {})}
    return {key: json.dumps(value) for key, value in notes.items() if value is not None}


class SaveHead(io.ComfyNode):
    """PORTRAIT_HEAD -> file."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitDiffusionSaveHead",
            display_name="Save Head",
            category=CATEGORY,
            description="Saves a head with everything that later stages need, as one .safetensors in the output folder.",
            search_aliases=["export head", "store head"],
            inputs=[
                HeadWire.Input("head", tooltip="From Invert Portrait."),
                io.String.Input(
                    "filename_prefix",
                    default="heads/head",
                    tooltip="Name in the output folder; may hold folders and %date% patterns.",
                ),
            ],
            outputs=[],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, head, filename_prefix: str) -> io.NodeOutput:
        path, entry = loading.output_file(filename_prefix, SUFFIX)
        save_head(head.head, path, workflow_notes(cls.hidden))
        return io.NodeOutput(ui={"heads": [entry], "text": [f"saved {entry['filename']}"]})


class LoadHead(io.ComfyNode):
    """File -> PORTRAIT_HEAD."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitDiffusionLoadHead",
            display_name="Load Head",
            category=CATEGORY,
            description="Loads a head that Save Head wrote, from the input or the output folder.",
            search_aliases=["import head", "open head"],
            inputs=[
                io.Combo.Input(
                    "file", options=saved_heads(), tooltip="A head file; refresh (R) to see new ones."
                )
            ],
            outputs=[HeadWire.Output(display_name="head", tooltip="For Render Views and Head to Mesh.")],
        )

    @classmethod
    def validate_inputs(cls, file: str):
        # named here, so that a head saved after the page was loaded is accepted, too
        if not folder_paths.exists_annotated_filepath(file):
            return f"file: expected a head in the input or output folder, found none called {file}; save a head first"
        return True

    @classmethod
    def fingerprint_inputs(cls, file: str):
        facts = os.stat(folder_paths.get_annotated_filepath(file))
        return [file, facts.st_mtime_ns, facts.st_size]

    @classmethod
    def execute(cls, file: str) -> io.NodeOutput:
        with torch.inference_mode(False):  # so that later stages can optimise it
            head = load_head(Path(folder_paths.get_annotated_filepath(file)))
        return io.NodeOutput(loading.wire_head(head))
