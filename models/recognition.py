"""What a file of a user's is, by what lies in it: its own word, or the names of its tensors. Nothing in it is run, little of it is read."""

from __future__ import annotations

import json
import re
from pathlib import Path

from .foreign_files import check_matlab

HEADER = 8 * 2**20  # bytes of names that are looked through; as plain values they take thirty times as many
PICKLED = 4 * 2**20  # of a pickle: its names come first, also in torch's archives
TABLE = 2**20  # bytes at an archive's end, where it names its files
STATISTICS = 2**18  # of a MATLAB file, whose names are packed
NAMES = {  # what a file is -> names that it has, as insightface, lpips, torchvision, BrushNet and Difix write them
    "lpips": (r"lin(?:s\.)?0\.model\.1\.weight",),
    "vgg": (r"(?:net\.)?(?:features\.|slice1\.)?0\.weight", r"(?:net\.)?(?:features\.|slice5\.)?28\.weight"),
    "arcface": (r"(?:module\.)?layer1\.0\.prelu\.weight",),
    "brushnet": (r"conv_in_condition\.weight",),
    "difix": (r"decoder\.skip_conv_1\.(?:base_layer\.)?weight", r"encoder\.conv_in\.weight"),
    "niqe": (r"mu_pris_?param", r"cov_pris_?param"),
}
# names that it has not: VGG19 and those with batch norm do
OTHERS = {"vgg": r"features\.(?:3\d|4\d)\.weight"}
DAMAGED = OSError, ValueError, RecursionError  # what reading a damaged file raises


def kind_of_file(path: Path) -> str | None:
    """What a file says that it is (prior, turbo, hpdm, niqe, ...), or is by its names (a key of `NAMES`); None where neither tells.

    Args:
        path: .safetensors; .pth, .pkl and other pickles, which are searched as bytes; .npz and .mat.
    """
    try:
        if path.suffix == ".safetensors":
            return _of_safetensors(path)
        if path.suffix == ".mat":
            return _by_names(_matlab_names(path))
        return _of_pickle(_pickled_text(path))
    except DAMAGED:  # it tells nothing: whoever loads it says why
        return None


def _of_safetensors(path: Path) -> str | None:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length)) if length <= HEADER else {}
    if not isinstance(header, dict):
        return None
    facts = header.get("__metadata__")
    own = facts.get("kind") if isinstance(facts, dict) else None
    return own if isinstance(own, str) else _by_names(list(header))


def _of_pickle(text: str) -> str | None:
    """The same of a pickle's text: a whole network of NVIDIA's is a prior; a program of torch's is nothing that is read here."""
    if "/constants.pkl" in text:
        return "torchscript"
    return "prior" if "torch_utils.persistence" in text else _by_text(text)


def _pickled_text(path: Path) -> str:
    """Start and end of a pickle or an archive, one letter a byte. Nothing is unpacked: torch and numpy write names as they are."""
    with path.open("rb") as file:
        start = file.read(PICKLED)
        file.seek(max(len(start), path.stat().st_size - TABLE))
        return (start + b"\n" + file.read()).decode("latin-1")


def _matlab_names(path: Path) -> list[str]:
    """Names of a MATLAB file's variables, which are not read."""
    try:
        check_matlab(path, STATISTICS)
        from scipy.io import whosmat

        return [name for name, _, _ in whosmat(path)]
    except Exception:  # scipy is not there, or the file is damaged in one of many ways
        return []


def _by_names(names: list[str]) -> str | None:
    """The first kind all of whose names are there."""
    return _by_text("\n".join(names))


def _by_text(text: str) -> str | None:
    """The same of names in a text, each of which begins after something that is no part of a name."""

    def has(pattern: str) -> bool:
        return re.search(rf"(?<![\w.]){pattern}", text) is not None

    for kind, patterns in NAMES.items():
        if all(map(has, patterns)) and not (kind in OTHERS and has(OTHERS[kind])):
            return kind
    return None
