"""What benches keep on disk is filed under keys of all that it depends on, so that no figure outlives its cause."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from torch import Tensor

from ..checkpoint import WEIGHTS
from ..code_closure import code_digest
from ..synthetic.renders import FACTORY_VERSION

LENGTH = 16  # hex digits


def shipped_files() -> list[Path]:
    """All weights that ship: which of them a bench reads is nothing that somebody could forget to say."""
    return sorted(WEIGHTS.glob("*.safetensors"))


def bench_key(entry: str | Path, settings: object = "", files: Iterable[Path] = ()) -> str:
    """Key of what a module makes out of heads with the weights that ship.

    Args:
        entry: `__file__` of the module; all code that it imports counts. settings: whatever else it was told, as its `repr` says.
        files: read besides the weights that ship; by their content.
    """
    return _key(entry, settings, [*shipped_files(), *files])


def code_key(entry: str | Path, settings: object = "") -> str:
    """The same of what no weights are needed for: renders, and fields fitted to them."""
    return _key(entry, settings, ())


def content_key(*tensors: Tensor) -> str:
    """Key of numbers, types and shapes."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:LENGTH]


def file_key(path: Path) -> str:
    """Key of a file's bytes, whatever its name."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:LENGTH]


def _key(entry: str | Path, settings: object, files: Iterable[Path]) -> str:
    digest = hashlib.sha256(f"{code_digest(Path(entry))} {FACTORY_VERSION} {settings!r}".encode())
    for path in files:
        digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:LENGTH]
