"""Files and weights: where they lie, how they become modules under ComfyUI's memory management."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import comfy.model_management as mm
import comfy.model_patcher
import folder_paths
import torch
from torch import nn

from ..models.checkpoint import read, shipped
from ..models.head import Head, load_generator
from ..models.metrics.faces import FaceSimilarity
from ..models.metrics.niqe import read_niqe
from ..models.metrics.standard import load_arcface, load_lpips
from ..models.metrics.vgg import SUFFIXES, load_vgg
from ..models.photo.network import AlignmentNetwork, alignment_network_from
from ..models.prior.discriminator import shipped_critic
from ..models.prior.encoder import shipped_encoder
from .types import HeadOnWire, PriorOnWire

FOLDER = "portrait_diffusion"
EMBEDDED = "embedded"
VGG, LPIPS, ARCFACE, NIQE = "vgg16", "lpips", "arcface", "niqe"  # how the names of a user's judges begin
TURBO, HPDM, BRUSHNET = "turbo", "hpdm", "brushnet"  # and those of a refiner and of branches; brushnet anywhere in it
STATISTICS = (".mat", ".npz", ".safetensors")  # of NIQE


def register_folder() -> None:
    """Tell ComfyUI of models/portrait_diffusion, behind whatever extra_model_paths.yaml already put there."""
    default = os.path.join(folder_paths.models_dir, FOLDER)
    paths = list(folder_paths.folder_names_and_paths.get(FOLDER, ([], set()))[0])
    folder_paths.folder_names_and_paths[FOLDER] = (paths + [default] * (default not in paths), {".safetensors"})


def weight_files() -> list[str]:
    """The embedded weights, then the user's files in models/portrait_diffusion."""
    return [EMBEDDED, *user_weights()]


def user_weights() -> list[str]:
    """Names of the user's files in models/portrait_diffusion that may hold a prior."""
    register_folder()
    return [
        name
        for name in folder_paths.get_filename_list(FOLDER)
        if not Path(name).name.lower().startswith((VGG, LPIPS, ARCFACE, NIQE, TURBO, HPDM)) and BRUSHNET not in name.lower()
    ]


def refiner_files() -> list[str]:
    """The embedded refiner, then the user's turbo*.safetensors in models/portrait_diffusion."""
    register_folder()
    return [EMBEDDED, *(name for name in folder_paths.get_filename_list(FOLDER) if Path(name).name.lower().startswith(TURBO))]


def hpdm_files() -> list[str]:
    """The embedded branches, then the user's hpdm*.safetensors and *brushnet*.safetensors in models/portrait_diffusion."""
    register_folder()
    names = folder_paths.get_filename_list(FOLDER)
    return [EMBEDDED, *(name for name in names if Path(name).name.lower().startswith(HPDM) or BRUSHNET in name.lower())]


def user_file(begins: str, suffixes: tuple[str, ...] = SUFFIXES) -> Path | None:
    """The user's file of such a name in models/portrait_diffusion, the first suffix first; None where there is none."""
    register_folder()
    for suffix in suffixes:
        for folder in folder_paths.get_folder_paths(FOLDER):
            for path in sorted(Path(folder).glob(f"*{suffix}")):
                if path.name.lower().startswith(begins):
                    return path
    return None


def vgg_file() -> Path | None:
    """The user's VGG16, vgg16*.safetensors rather than vgg16*.pth."""
    return user_file(VGG)


def file_facts(*paths: Path | None) -> list:
    """What changes when files do."""
    return [fact for path in paths if path is not None for fact in (str(path), path.stat().st_mtime_ns, path.stat().st_size)]


def judge_files() -> dict[str, Path | None]:
    """The user's files of the field's own metrics, by what they are."""
    return {"vgg": vgg_file(), "lpips": user_file(LPIPS), "arcface": user_file(ARCFACE), "niqe": user_file(NIQE, STATISTICS)}


def user_judges() -> dict[str, object]:
    """What `judge_files` hold, by the names of `metrics.evaluate.Judges`.

    Raises:
        ValueError: as `load_lpips`, `load_arcface` and `read_niqe`.
    """
    files, found = judge_files(), {}
    if (linear := files["lpips"]) is not None:
        found["lpips"] = load_lpips(files["vgg"] or linear, linear)
    if files["arcface"] is not None:
        found["faces"] = FaceSimilarity(load_arcface(files["arcface"]), aligner())
    if files["niqe"] is not None:
        found["standard_niqe"] = read_niqe(files["niqe"])
    return found


def load_vgg_patcher(path: Path) -> comfy.model_patcher.ModelPatcher:
    """The user's VGG16, as `patcher.model`.

    Raises:
        ValueError: as `load_vgg`.
    """
    with torch.inference_mode(False):  # so that gradients can run through it later
        return single(load_vgg(path))


def weights_path(name: str, kind: str) -> Path:
    """Path of a name from `weight_files`."""
    if name == EMBEDDED:
        return shipped(kind)
    register_folder()
    return Path(folder_paths.get_full_path_or_raise(FOLDER, name))


def patcher(*modules: nn.Module) -> comfy.model_patcher.ModelPatcher:
    """Modules that are moved together."""
    return single(nn.ModuleList(modules))


def single(module: nn.Module) -> comfy.model_patcher.ModelPatcher:
    """A module as ComfyUI moves it. A plain ModelPatcher: we back-propagate through it."""
    return comfy.model_patcher.ModelPatcher(
        module, load_device=mm.get_torch_device(), offload_device=mm.unet_offload_device(), size=mm.module_size(module)
    )


def load_prior(name: str) -> PriorOnWire:
    """A head prior with the embedded encoder and discriminator.

    Raises:
        ValueError: as `checkpoint.read` and `load_into`.
    """
    with torch.inference_mode(False):  # so that gradients can run through it later
        generator, encoder, critic = load_generator(weights_path(name, "prior")), shipped_encoder(), shipped_critic()
        if encoder.config.z_dim != generator.config.z_dim:
            raise ValueError(
                f"head prior {name}: expected identity codes of length {encoder.config.z_dim} for the embedded encoder, "
                f"got {generator.config.z_dim}; use the prior that ships"
            )
        return PriorOnWire(generator, encoder, critic, name, patcher(generator, encoder, critic))


def wire_head(head: Head) -> HeadOnWire:
    """A head for the wire: planes on the intermediate device, modules under one patcher."""
    modules = [head.decoder] if head.generator is None else [head.decoder, head.generator]
    return HeadOnWire(replace(head, planes=head.planes.detach().to(mm.intermediate_device())), patcher(*modules))


def ready(wire: HeadOnWire, *others: comfy.model_patcher.ModelPatcher, memory: int = 0) -> Head:
    """The head on the device where it is to be worked on, and what works on it; `memory` bytes will be needed beside their weights."""
    mm.load_models_gpu([wire.patcher, *others], memory_required=memory)
    return replace(wire.head, planes=wire.head.planes.to(wire.patcher.load_device))


def output_file(prefix: str, suffix: str) -> tuple[Path, dict[str, str]]:
    """A new file in ComfyUI's output folder, numbered as core does, and its entry for `ui`.

    Raises:
        ValueError: the prefix leaves the output folder.
    """
    folder = folder_paths.get_output_directory()
    if not prefix.strip() or not os.path.abspath(os.path.join(folder, prefix)).startswith(os.path.abspath(folder) + os.sep):
        raise ValueError(f"filename_prefix: expected a name inside the output folder, got {prefix!r}; remove '..' and leading slashes")
    directory, name, counter, subfolder, _ = folder_paths.get_save_image_path(prefix, folder)
    file = f"{name}_{counter:05}_{suffix}"
    return Path(directory) / file, {"filename": file, "subfolder": subfolder, "type": "output"}


def aligner() -> AlignmentNetwork:
    """The alignment network that ships."""
    with torch.inference_mode(False):
        return alignment_network_from(*read(shipped("alignment"), "alignment"))


def load_aligner() -> comfy.model_patcher.ModelPatcher:
    """The same, as `patcher.model`."""
    return single(aligner())
