"""The one format of resume states: flat tensors that a .safetensors file holds, named by stage and version.

A state has `version.STAGE` [], `numbers` [4] (steps done, skipped, skipped in a row, rays rendered at once or
0), `draws` (the generator's), `value.NAME`, `first.NAME` and `second.NAME` of each variable and its moments, and
what a stage has beside them. Version 1 had neither a version nor common names; a stage tells what its tensors
were called.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

VERSION = 2
MARK = "version."
NUMBERS = 4
PARTS = ("value", "first", "second")


class ForeignState(ValueError):
    """A state that a run cannot go on from."""


def marked(stage: str) -> dict[str, Tensor]:
    """What says whose state it is, and of which version: `version.STAGE` [] int64."""
    return {MARK + stage: torch.tensor(VERSION)}


class SavedState:
    """A stage's state, whose tensors are taken out by name and shape.

    Attributes:
        tensors: under today's names.
    """

    def __init__(self, stage: str, tensors: Mapping[str, Tensor], old_names: Mapping[str, str]) -> None:
        """Args: old_names: of version 1's tensors, today's.

        Raises:
            ForeignState: another stage's, or another version's.
        """
        self.stage = stage
        marks = {
            key.removeprefix(MARK): self._whole(value)[0]
            for key, value in tensors.items()
            if key.startswith(MARK)
        }
        if marks and marks != {stage: VERSION}:
            words = ", ".join(f"{name} in version {version}" for name, version in marks.items())
            raise self._foreign(f"a state of {stage} in version {VERSION}", words)
        self.tensors = dict(tensors) if marks else _renamed(tensors, old_names)

    def _foreign(self, need: str, content: str) -> ForeignState:
        return ForeignState(f"{self.stage}: expected {need}, got {content}; begin anew without that state")

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def take(self, name: str, shape: Sequence[int | None]) -> Tensor:
        """A tensor [...] of a shape; None for any length.

        Raises:
            ForeignState: there is none, or its shape is another.
        """
        tensor = self.tensors.get(name)
        if tensor is None:
            raise self._foreign(f"a state with {name!r}", "one without")
        own = list(tensor.shape)
        if len(own) != len(shape) or any(n not in (None, m) for n, m in zip(shape, own, strict=True)):
            raise self._foreign(f"{name!r} of shape {list(shape)} in the state", f"{own}")
        return tensor

    def finite(self, name: str, shape: Sequence[int | None]) -> Tensor:
        """The same, whose numbers are finite.

        Raises:
            ForeignState: as `take`, or they are not.
        """
        tensor = self.take(name, shape)
        if not tensor.isfinite().all():
            raise self._foreign(f"finite numbers for {name!r} in the state", "NaN or infinity")
        return tensor

    def draws(self, own: Tensor) -> Tensor:
        """A generator's state, uint8 as its `own` [n].

        Raises:
            ForeignState: there is none, or no generator was ever in it.
        """
        draws = self.take("draws", own.shape)
        try:
            torch.Generator().set_state(draws)
        except (RuntimeError, TypeError) as error:
            raise self._foreign("a generator's state for 'draws'", "something else") from error
        return draws

    def _whole(self, tensor: Tensor) -> list[int]:
        """One whole number or more.

        Raises:
            ForeignState: fractions, or none at all.
        """
        if not tensor.numel() or tensor.is_floating_point():
            raise self._foreign("whole numbers in the state", f"{list(tensor.shape)} of {tensor.dtype}")
        return tensor.flatten().tolist()

    def numbers(self, steps: int) -> list[int]:
        """Steps done, skipped, skipped in a row; rays rendered at once, 0 for all.

        Raises:
            ForeignState: there are none, or not of a run of `steps`.
        """
        numbers = self._whole(self.take("numbers", [NUMBERS]))
        if not 0 <= numbers[0] <= steps or min(numbers) < 0:
            raise self._foreign(f"a state within {steps} steps", f"{numbers[0]} done")
        return numbers


def _renamed(tensors: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """Version 1's tensors under today's names."""
    current = {names.get(key, key): value for key, value in tensors.items()}
    numbers = current.pop("step", current.get("numbers"))
    if numbers is not None:
        counts = numbers.flatten()
        current["numbers"] = F.pad(counts, (0, max(0, NUMBERS - len(counts))))
    return current
