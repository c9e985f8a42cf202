"""Nodes without a server: ComfyUI's modules on the path (at its end: ComfyUI, too, has a module `nodes`), on the CPU."""

from __future__ import annotations

import os
import sys

import pytest
from portrait_diffusion.workflows.server import comfyui_path


@pytest.fixture(scope="session", autouse=True)
def comfyui(tmp_path_factory) -> None:
    """ComfyUI importable, with private folders, without reading pytest's command line."""
    comfy = comfyui_path()  # fails, rather than skips, where there is none
    sys.path.append(os.fspath(comfy))
    from comfy.cli_args import args

    args.cpu = True  # before model_management looks for devices
    import folder_paths

    base = tmp_path_factory.mktemp("base")
    for name in ("input", "output", "temp"):
        (base / name).mkdir()
        getattr(folder_paths, f"set_{name}_directory")(str(base / name))
    folder_paths.models_dir = str(base / "models")
