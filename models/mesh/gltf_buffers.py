"""The bytes that a GLB's JSON describes: buffers, views, and accessors as arrays that copy nothing."""

from __future__ import annotations

import base64
import reprlib
from collections.abc import Container

import numpy as np

from .gltf_limits import AGAIN, MAX_STRIDE, entries, entry, refusal, whole

DTYPES = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
FLOAT, UNSIGNED = frozenset((5126,)), frozenset((5121, 5123, 5125))
FRACTION = frozenset((5126, 5121, 5123))  # floats, or integers that mean 0..1


def from_data_uri(uri, what: str) -> bytes:
    """The bytes of a base64 data: URI; nothing else is fetched, neither files nor addresses.

    Raises:
        ValueError: another URI, or no base64.
    """
    if not isinstance(uri, str) or not uri.startswith("data:") or "base64," not in uri:
        raise refusal(
            f"{what} inside the GLB", f"one at {reprlib.repr(uri)}", "export it with everything embedded"
        )
    try:
        return base64.b64decode(uri[uri.index("base64,") + 7 :])
    except ValueError as error:
        raise refusal(f"base64 in the data of {what}", "something else", AGAIN) from error


class Buffers:
    """A GLB's bytes by the numbers of its JSON. header: the JSON; binary: the chunk after it."""

    def __init__(self, header: dict, binary: bytes) -> None:
        self.header = header
        self.binary = binary
        self._embedded: dict[int, bytes] = {}
        buffers = entries(header, "buffers")
        self._chunk = next(
            (i for i, one in enumerate(buffers) if isinstance(one, dict) and "uri" not in one), None
        )

    def buffer(self, index) -> bytes:
        """A buffer's bytes: the binary chunk for the first without a URI.

        Raises:
            ValueError: no such buffer, or one outside of the file.
        """
        buffer = entry(self.header, "buffers", index)
        if "uri" in buffer:
            if index not in self._embedded:
                self._embedded[index] = from_data_uri(buffer["uri"], f"buffer {index}")
            return self._embedded[index]
        if index != self._chunk:
            raise refusal(f"buffer {index} inside the GLB", "one without a place", AGAIN)
        return self.binary

    def view(self, index) -> memoryview:
        """The bytes of a buffer view.

        Raises:
            ValueError: no such view, or one that reaches beyond its buffer.
        """
        view = entry(self.header, "bufferViews", index)
        data = self.buffer(view.get("buffer"))
        start = whole(view.get("byteOffset", 0), f"view {index} with byteOffset", 0, len(data))
        length = whole(
            view.get("byteLength"),
            f"view {index} of a buffer of {len(data)} bytes with byteLength",
            1,
            len(data) - start,
        )
        return memoryview(data)[start : start + length]

    def array(self, index, what: str, types: Container[str], components: Container[int]) -> np.ndarray:
        """An accessor's values [count, width], as the file has them; reads and copies nothing yet.

        Raises:
            ValueError: no such accessor, another type, sparse or without a view, or values beyond the view.
        """
        accessor = entry(self.header, "accessors", index)
        type_, component = accessor.get("type"), accessor.get("componentType")
        if not (
            isinstance(type_, str)
            and type_ in types
            and isinstance(component, int)
            and component in components
        ):
            raise refusal(
                f"{what} of a type that glTF allows",
                f"{reprlib.repr(type_)} of {reprlib.repr(component)}",
                AGAIN,
            )
        if "sparse" in accessor or "bufferView" not in accessor:
            raise refusal(
                f"{what} with all values in a view",
                f"accessor {index}, sparse or without one",
                "export it without sparse data",
            )
        data, dtype, width = self.view(accessor["bufferView"]), np.dtype(DTYPES[component]), WIDTHS[type_]
        size = dtype.itemsize * width
        stride = self.header["bufferViews"][accessor["bufferView"]].get("byteStride", size)
        whole(stride, f"{what} with byteStride", size, MAX_STRIDE)
        count = whole(accessor.get("count"), f"{what} with count", 1, 2**32)
        start = whole(accessor.get("byteOffset", 0), f"{what} with byteOffset", 0, len(data))
        if start + stride * (count - 1) + size > len(data):
            raise refusal(
                f"{what} within its view of {len(data)} bytes",
                f"{count} items that cannot be read from it",
                AGAIN,
            )
        return np.ndarray((count, width), dtype, data, start, (stride, dtype.itemsize))
