"""Files and weights: where they lie, how they become modules under ComfyUI's memory management."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import comfy.model_management as mm
import comfy.model_patcher
import folder_paths
import torch
from torch import nn

from ..models.checkpoint import read, shipped
from ..models.fitting.perceptual import fits
from ..models.head import Head
from ..models.metrics.evaluate import UserJudges
from ..models.metrics.faces import FaceSimilarity
from ..models.metrics.niqe import read_niqe
from ..models.metrics.standard import load_arcface, load_lpips
from ..models.metrics.vgg import SUFFIXES, load_vgg
from ..models.photo.network import AlignmentNetwork, alignment_network_from
from ..models.prior.discriminator import shipped_critic
from ..models.prior.encoder import encodes, shipped_encoder
from ..models.prior.families import load_generator
from ..models.prior.snapshots import SUFFIX as SNAPSHOT
from ..models.public_models import where_to_get
from ..models.recognition import kind_of_file
from . import places
from .types import HeadOnWire, PriorOnWire

FOLDER = "portrait_diffusion"
EMBEDDED = "embedded"
VGG, LPIPS, ARCFACE, NIQE, TURBO, HPDM, BRUSHNET, DIFIX, PRIOR = (
    "vgg",
    "lpips",
    "arcface",
    "niqe",
    "turbo",
    "hpdm",
    "brushnet",
    "difix",
    "prior",
)
NAMED = {
    "vgg16": VGG,
    LPIPS: LPIPS,
    ARCFACE: ARCFACE,
    NIQE: NIQE,
    TURBO: TURBO,
    HPDM: HPDM,
}  # beginnings of names, where contents do not tell
STATISTICS = (".mat", ".npz", ".safetensors")  # of NIQE


def register_folder() -> None:
    """Tell ComfyUI of models/portrait_diffusion, behind whatever extra_model_paths.yaml already put there."""
    default = os.path.join(folder_paths.models_dir, FOLDER)
    paths = list(folder_paths.folder_names_and_paths.get(FOLDER, ([], set()))[0])
    folder_paths.folder_names_and_paths[FOLDER] = (
        paths + [default] * (default not in paths),
        {".safetensors", SNAPSHOT},
    )


def kind_of(path: Path, name: str = "") -> str:
    """What a file of the user's is, by its contents, or by its name where they do not tell.

    Args:
        name: below the folder where it lies, where folders in between say something, too.
    """
    return _kind(path, *file_facts(path)[1:]) or kind_by_name(name or path.name)


def kind_by_name(name: str) -> str:
    """What a file is called."""
    if BRUSHNET in name.lower():
        return BRUSHNET
    last = Path(name).name.lower()
    return next((kind for begins, kind in NAMED.items() if last.startswith(begins)), PRIOR)


@lru_cache(maxsize=1024)
def _kind(path: Path, mtime_ns: int, size: int) -> str | None:
    """`kind_of_file`, once for each state of a file."""
    return kind_of_file(path)


def files_of(*kinds: str) -> list[str]:
    """Names of the user's .safetensors files, and snapshots, of these kinds in models/portrait_diffusion."""
    register_folder()
    names = folder_paths.get_filename_list(FOLDER)
    return [
        name
        for name in names
        if (path := folder_paths.get_full_path(FOLDER, name)) and kind_of(Path(path), name) in kinds
    ]


def weight_files() -> list[str]:
    """The embedded prior, then the user's."""
    return [EMBEDDED, *user_weights()]


def user_weights() -> list[str]:
    """Names of the user's priors."""
    return files_of(PRIOR)


def refiner_files() -> list[str]:
    """The embedded refiner, then the user's, and Difix' autoencoders and folders."""
    return [EMBEDDED, *files_of(TURBO, DIFIX), *places.difix_folders()]


def hpdm_files() -> list[str]:
    """The embedded branches, then the user's, a BrushNet's among them, also in models/inpaint."""
    return [EMBEDDED, *files_of(HPDM, BRUSHNET), *places.brushnet_files()]


def user_file(kind: str, suffixes: tuple[str, ...] = SUFFIXES) -> Path | None:
    """The user's file of a kind in models/portrait_diffusion; None where there is none.

    Of several, one that is called so goes before one that only is so, then the first suffix.
    """
    register_folder()
    folders = folder_paths.get_folder_paths(FOLDER)
    paths = [
        path
        for suffix in suffixes
        for folder in folders
        for path in sorted(Path(folder).glob(f"*{suffix}"))
        if path.is_file()
    ]
    paths.sort(key=lambda path: kind_by_name(path.name) != kind)
    return next((path for path in paths if kind_of(path) == kind), None)


def vgg_file() -> Path | None:
    """The user's VGG16, a .safetensors rather than a pickle."""
    return user_file(VGG)


def file_facts(*paths: Path | None) -> list:
    """What changes when files do."""
    return [
        fact
        for path in paths
        if path is not None
        for fact in (str(path), path.stat().st_mtime_ns, path.stat().st_size)
    ]


def judge_files() -> dict[str, Path | None]:
    """The user's files of the field's own metrics, by what they are."""
    return {
        "vgg": vgg_file(),
        "lpips": user_file(LPIPS),
        "arcface": user_file(ARCFACE),
        "niqe": user_file(NIQE, STATISTICS),
    }


def user_judges() -> UserJudges:
    """What `judge_files` hold, by the names of `metrics.evaluate.Judges`.

    Raises:
        ValueError: as `load_lpips`, `load_arcface` and `read_niqe`.
    """
    files = judge_files()
    judges: UserJudges = {}
    if (linear := files["lpips"]) is not None:
        judges["lpips"] = load_lpips(files["vgg"] or linear, linear)
    if files["arcface"] is not None:
        judges["faces"] = FaceSimilarity(load_arcface(files["arcface"]), aligner())
    if files["niqe"] is not None:
        judges["standard_niqe"] = read_niqe(files["niqe"])
    return judges


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
    path = folder_paths.get_full_path(FOLDER, name)
    if path is not None:
        return Path(path)
    shared = places.shared_path(name)
    if shared is None:
        raise ValueError(missing_file(name, kind))
    return shared


def is_there(name: object, kind: str) -> bool | str:
    """Whether a name from a list of files is that of one, or else what to say of it: for `validate_inputs`, as core's own words on a
    value that is not in the list name neither folder nor source.
    """
    if not isinstance(name, str):
        return f"{kind}: expected the name of a file, got {name!r:.80}; choose one from the list"
    try:
        weights_path(name, kind)
    except ValueError as error:
        return str(error)
    return True


def missing_file(name: str, kind: str) -> str:
    """What to say of a file that is not there: which folders were looked through, and which public file goes where."""
    own = folder_paths.get_folder_paths(FOLDER)
    if name.startswith(f"{places.INPAINT}/"):
        own = folder_paths.get_folder_paths(places.INPAINT)
    elif name.startswith(f"{places.DIFFUSERS}/"):
        own = folder_paths.get_folder_paths(places.DIFFUSERS)
    places_looked_at = " or ".join(own)
    return (
        f"{kind}: expected the file {name} in {places_looked_at}, found none; put it there or choose another. {where_to_get(kind, name)}"
    ).strip()


def patcher(*modules: nn.Module) -> comfy.model_patcher.ModelPatcher:
    """Modules that are moved together."""
    return single(nn.ModuleList(modules))


def single(module: nn.Module) -> comfy.model_patcher.ModelPatcher:
    """A module as ComfyUI moves it. A plain ModelPatcher: we back-propagate through it."""
    return comfy.model_patcher.ModelPatcher(
        module,
        load_device=mm.get_torch_device(),
        offload_device=mm.unet_offload_device(),
        size=mm.module_size(module),
    )


def load_prior(name: str) -> PriorOnWire:
    """A head prior, with the embedded encoder and discriminator where they fit it.

    Raises:
        ValueError: as `load_generator`.
    """
    with torch.inference_mode(False):  # so that gradients can run through it later
        generator = load_generator(weights_path(name, "prior"))
        encoder, critic = shipped_encoder(), shipped_critic()
    encoder = encoder if encodes(encoder, generator) else None
    critic = critic if fits(critic, generator) else None
    return PriorOnWire(
        generator, encoder, critic, name, patcher(*(x for x in (generator, encoder, critic) if x is not None))
    )


def wire_head(head: Head) -> HeadOnWire:
    """A head for the wire: planes on the intermediate device, modules under one patcher."""
    modules = [head.decoder] if head.generator is None else [head.decoder, head.generator]
    return HeadOnWire(
        head.mapped(lambda planes: planes.detach().to(mm.intermediate_device())), patcher(*modules)
    )


def ready(wire: HeadOnWire, *others: comfy.model_patcher.ModelPatcher, memory: int = 0) -> Head:
    """The head on the device where it is to be worked on, and what works on it; `memory` bytes will be needed beside their weights."""
    mm.load_models_gpu([wire.patcher, *others], memory_required=memory)
    return wire.head.mapped(lambda planes: planes.to(wire.patcher.load_device))


def output_file(prefix: str, suffix: str) -> tuple[Path, dict[str, str]]:
    """A new file in ComfyUI's output folder, numbered as core does, and its entry for `ui`.

    Raises:
        ValueError: the prefix leaves the output folder.
    """
    folder = folder_paths.get_output_directory()
    if not prefix.strip() or not os.path.abspath(os.path.join(folder, prefix)).startswith(
        os.path.abspath(folder) + os.sep
    ):
        raise ValueError(
            f"filename_prefix: expected a name inside the output folder, got {prefix!r}; remove '..' and leading slashes"
        )
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
