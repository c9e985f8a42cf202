"""Tensors of a pickle: where their numbers lie, checked before any is read."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .source import Span

AXES = 8  # dimensions of a tensor
LARGEST = 2**40  # product of its sides, also where one of them is 0
DTYPES = {
    "Double": torch.float64,
    "Float": torch.float32,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
}


@dataclass(frozen=True, eq=False, repr=False)
class Storage:
    """A row of numbers that has not been read.

    Attributes:
        places: key -> where numbers lie, filled by the time that they are read. key: of these.
        first, count: in elements; the first is not 0 for a view of a storage.
    """

    places: dict[object, Span]
    key: object
    dtype: torch.dtype
    count: int
    first: int = 0

    def place(self) -> Span:
        """Where its numbers lie.

        Raises:
            ValueError: nowhere, or not all of them.
        """
        place, size = self.places.get(self.key), self.dtype.itemsize
        if place is None:
            raise ValueError("has tensors without numbers")
        return place.part(self.first * size, self.count * size)


@dataclass(frozen=True, eq=False, repr=False)
class StoredTensor:
    """A tensor whose numbers have not been read.

    Attributes:
        offset: of its first number in the storage, in elements. shape, stride: as torch's.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def numel(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)


def whole(value: object, most: int = 2**62) -> int:
    """A whole number from 0 on.

    Raises:
        ValueError: it is none.
    """
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError("has a tensor whose sizes are no whole numbers from 0 on")
    return value


def stored_tensor(storage: object, offset: object, shape: object, stride: object) -> StoredTensor:
    """A tensor of so many numbers [shape] of a storage; stride and offset in elements.

    Raises:
        ValueError: these are no sizes, or reach over the storage.
    """
    if not isinstance(storage, Storage) or not isinstance(shape, tuple) or not isinstance(stride, tuple):
        raise ValueError("has a tensor of something else than numbers and sizes")
    if len(shape) != len(stride) or len(shape) > AXES:
        raise ValueError(f"has a tensor of {len(shape)} dimensions and {len(stride)} steps")
    tensor = StoredTensor(
        storage, whole(offset), tuple(whole(x) for x in shape), tuple(whole(x) for x in stride)
    )
    if tensor.numel > storage.count or math.prod(max(side, 1) for side in tensor.shape) > LARGEST:
        raise ValueError(f"has a tensor of more numbers than the {storage.count} that are stored for it")
    last = tensor.offset + sum((side - 1) * step for side, step in zip(tensor.shape, tensor.stride))
    if tensor.numel and last >= storage.count:
        raise ValueError("has a tensor that reaches over its numbers")
    return tensor


class Numbers:
    """Reads tensors' numbers, those of one storage once.

    Args:
        most: bytes that all of them may have: those of the file.
    """

    def __init__(self, most: int) -> None:
        self.left = most
        self.read: dict[tuple, Tensor] = {}

    def __call__(self, tensor: StoredTensor) -> Tensor:
        """A tensor [...] of its own dtype, on the CPU; tensors of one storage share it, as when they were saved.

        Raises:
            ValueError: numbers that are not all there, or lie in several places at once.
        """
        storage = tensor.storage
        key = (id(storage.places), storage.key, storage.first, storage.count, storage.dtype)
        if key not in self.read:
            self.read[key] = self._row(storage)
        return self.read[key].as_strided(tensor.shape, tensor.stride, tensor.offset if tensor.numel else 0)

    def _row(self, storage: Storage) -> Tensor:
        size = storage.count * storage.dtype.itemsize
        self.left -= size
        if self.left < 0:
            raise ValueError("has tensors that share their numbers in more ways than torch writes")
        place = storage.place()
        row = torch.empty(size, dtype=torch.uint8)
        if size:
            place.fill(row.numpy().data)
        if storage.dtype == torch.bool:
            return row != 0  # other bytes than 0 and 1 are no truths
        return row.view(storage.dtype)
