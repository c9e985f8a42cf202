"""Folders of models that core and other packs share with this one: models/inpaint for BrushNet, models/diffusers for Difix."""

from __future__ import annotations

import os
from pathlib import Path

import folder_paths

from ..models.recognition import kind_of_file

INPAINT, DIFFUSERS = "inpaint", "diffusers"
WEIGHTS = "diffusion_pytorch_model.safetensors"  # as diffusers names them in each part's folder


def register(name: str, suffixes: set[str]) -> None:
    """Tell ComfyUI of models/`name` where no one else has; whatever extra_model_paths.yaml or another pack said stays."""
    default = os.path.join(folder_paths.models_dir, name)
    known = folder_paths.folder_names_and_paths
    paths, own = known.get(name, ([], suffixes))
    if default not in paths:
        known[name] = ([*paths, default], own)


def brushnet_files() -> list[str]:
    """Names of BrushNets in models/inpaint, behind `inpaint/`; its other files are no branches."""
    register(INPAINT, {".safetensors"})
    names = [name for name in folder_paths.get_filename_list(INPAINT) if name.endswith(".safetensors")]
    paths = {name: folder_paths.get_full_path(INPAINT, name) for name in names}
    return [f"{INPAINT}/{name}" for name, path in paths.items() if path and is_brushnet(Path(path))]


def is_brushnet(path: Path) -> bool:
    """By its contents: a folder of inpainting models holds others, too."""
    return kind_of_file(path) == "brushnet"


def difix_folders() -> list[str]:
    """Names of Difix' folders in models/diffusers, behind `diffusers/`: those whose autoencoder has skips."""
    register(DIFFUSERS, {"folder"})
    bases = [Path(base) for base in folder_paths.get_folder_paths(DIFFUSERS)]
    paths = [path for base in bases for path in sorted(base.glob(f"*/vae/{WEIGHTS}"))]
    names = [path.parents[1].name for path in paths if kind_of_file(path) == "difix"]
    return [f"{DIFFUSERS}/{name}" for name in dict.fromkeys(names)]


def shared_path(name: str) -> Path | None:
    """Path of a name from `brushnet_files` or `difix_folders`, the autoencoder's of the latter; None for another name or no such file."""
    folder, _, rest = name.partition("/")
    if folder == INPAINT:
        register(INPAINT, {".safetensors"})
        path = folder_paths.get_full_path(INPAINT, rest)
        return None if path is None else Path(path)
    if folder == DIFFUSERS:
        register(DIFFUSERS, {"folder"})
        paths = [Path(base, rest, "vae", WEIGHTS) for base in folder_paths.get_folder_paths(DIFFUSERS)]
        inside = rest not in ("", "..") and rest == os.path.basename(rest)  # whatever a request says
        return next((path for path in paths if inside and path.is_file()), None)
    return None
