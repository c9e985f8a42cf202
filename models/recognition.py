"""What a file of a user's is, by what lies in it: its own word, or the names of its tensors. Nothing in it is run, little of it is read."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path

HEADER = 16 * 2**20  # bytes of names that are looked through
PICKLED = 4 * 2**20  # of a pickle: its names come first, or lie in a file of their own
NAMES = {  # what a file is -> names that it has, as insightface, lpips, torchvision and BrushNet write them
    "lpips": (r"lin(?:s\.)?0\.model\.1\.weight",),
    "vgg": (r"(?:net\.)?(?:features\.|slice1\.)?0\.weight", r"(?:net\.)?(?:features\.|slice5\.)?28\.weight"),
    "arcface": (r"(?:module\.)?layer1\.0\.prelu\.weight",),
    "brushnet": (r"conv_in_condition\.weight",),
    "niqe": (r"mu_pris_?param", r"cov_pris_?param"),
}
OTHERS = {"vgg": r"features\.(?:3\d|4\d)\.weight"}  # names that it has not: VGG19 and those with batch norm do


def kind_of_file(path: Path) -> str | None:
    """What a file says that it is (prior, turbo, hpdm, niqe, ...), or is by its names (a key of `NAMES`); None where neither tells.

    Args:
        path: .safetensors; .pth and other pickles, which are searched as bytes; .npz and .mat.
    """
    try:
        if path.suffix == ".safetensors":
            return _of_safetensors(path)
        if path.suffix == ".mat":
            return _by_names(_matlab_names(path))
        return _by_text(_pickled_text(path))
    except (OSError, ValueError, zipfile.BadZipFile, RecursionError):  # a damaged file tells nothing: whoever loads it says why
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


def _pickled_text(path: Path) -> str:
    """A pickle's bytes, or an archive's names and the bytes of its pickle, one letter a byte."""
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            return file.read(PICKLED).decode("latin-1")
    with zipfile.ZipFile(path) as archive:
        members = archive.namelist()
        pickles = [name for name in members if name.endswith("/data.pkl")]
        text = "\n".join(Path(name).stem for name in members)
        if pickles:
            with archive.open(pickles[0]) as file:
                text += "\n" + file.read(PICKLED).decode("latin-1")
        return text


def _matlab_names(path: Path) -> list[str]:
    """Names of a MATLAB file's variables, which are not read."""
    try:
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
