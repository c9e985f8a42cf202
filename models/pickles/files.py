"""A pickle's file: opened, read, and what is wrong with it in one sentence."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from torch import Tensor

from .budget import Budget
from .containers import read_any
from .source import Source
from .tensors import Numbers, StoredTensor

SUFFIXES = (".pth", ".pt", ".ckpt", ".bin")  # of state dicts
REMEDY = "copy it again, or choose another file"


class PickleFile:
    """A pickle while its file is open, as `with PickleFile(path, what) as file`.

    Args:
        what: the file's role, for errors, as "head prior".

    Attributes:
        value: plain containers, numbers and text, `Record`s, and tensors as `StoredTensor`.

    Raises:
        ValueError: no such file, or one that is damaged, wants what is not known, or takes too much. Nothing in it is run.
    """

    def __init__(self, path: Path, what: str) -> None:
        self.path, self.what = Path(path), what
        if not self.path.is_file():
            raise ValueError(
                f"{what}: expected a file, found none called {self.path.name}; choose an existing file"
            )
        size = self.path.stat().st_size
        with self._told():
            if not size:
                raise ValueError("is empty")
            if sys.byteorder != "little":
                raise ValueError(
                    "cannot be read by a computer that orders bytes otherwise; convert it elsewhere"
                )
        self.file = FileIO(self.path)
        try:
            with self._told():
                self.value = read_any(Source(self.file, size), self.path, Budget(size))
        except ValueError:
            self.close()
            raise
        self.numbers = Numbers(size)

    def __enter__(self) -> PickleFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the file go; tensors that were read stay."""
        self.file.close()

    def tensor(self, stored: StoredTensor) -> Tensor:
        """A tensor [...] on the CPU, of the type that the file has.

        Raises:
            ValueError: as `Numbers`.
        """
        with self._told():
            return self.numbers(stored)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Adds to an error what was expected, of which file, and what to do."""
        try:
            yield
        except ValueError as error:
            fault = str(error)
            raise ValueError(
                f"{self.what}: expected tensors and plain values, but {self.path.name} {fault}"
                + ("" if ";" in fault else f"; {REMEDY}")
            ) from error


def read_state(path: Path, what: str) -> dict[str, Tensor]:
    """A state dict (name -> [...], on the CPU) that torch saved in any of its formats.

    Args:
        what: the file's role, for errors.

    Raises:
        ValueError: as `PickleFile`, or it holds something else than named tensors.
    """
    with PickleFile(path, what) as file:
        if not isinstance(file.value, dict) or not all(
            isinstance(key, str) and isinstance(value, StoredTensor) for key, value in file.value.items()
        ):
            raise ValueError(
                f"{what}: expected named tensors, but {file.path.name} holds something else; save its state dict as .safetensors"
            )
        return {key: file.tensor(value) for key, value in file.value.items()}
