"""What a GLB may ask for, far above what models for screens have, and the checks of its JSON's values."""

from __future__ import annotations

import math
import reprlib

import numpy as np

MAX_BYTES = 256 * 2**20  # of the file
MAX_JSON = 32 * 2**20  # bytes of its JSON
MAX_JSON_ITEMS = 1_000_000  # values in it, about 100 bytes of memory each
MAX_CHUNKS = 64  # a GLB has two; others are allowed and ignored
MAX_NODES = 50_000  # below the scene that is shown
MAX_DEPTH = 100  # of one node in another
MAX_PIECES = 10_000  # primitives, each counted as often as nodes show it
MAX_VERTICES = 4_000_000  # of all pieces together
MAX_TRIANGLES = 4_000_000  # of all pieces together
MAX_STRIDE = 252  # bytes from a vertex to the next (glTF 2.0, section 3.6.2.4)
MAX_PIXELS = 8192**2  # of a texture in the file
MAX_DEMANDING_PIXELS = 4096**2  # of a WebP or a CMYK JPEG
MAX_ALL_PIXELS = 2 * MAX_PIXELS  # of all textures; one counts again where another factor multiplies it
MAX_SIDE = 4096  # pixels along a side of a texture that is kept; larger ones are scaled down

AGAIN = "the file is broken, export it again"


def refusal(expected: str, got: str, advice: str) -> ValueError:
    """The error of `from_glb`, one sentence."""
    return ValueError(f"from_glb: expected {expected}, got {got}; {advice}")


def within(count: int, limit: int, of_what: str, advice: str) -> None:
    """ValueError for more than the limit."""
    if count > limit:
        raise refusal(f"at most {limit} {of_what}", f"{count}", advice)


def whole(value, what: str, low: int, high: int) -> int:
    """An integer of at least low and at most high.

    Raises:
        ValueError: another kind of value, or out of range.
    """
    if type(value) is not int or not low <= value <= high:
        raise refusal(f"{what} from {low} to {high}", reprlib.repr(value), AGAIN)
    return value


def finite(value, what: str, *lengths: int) -> np.ndarray:
    """A list of finite numbers, of one of these lengths, as float64.

    Raises:
        ValueError: another kind of value, another length, NaN or infinity.
    """
    if (
        not isinstance(value, list)
        or len(value) not in lengths
        or not all(_is_finite(number) for number in value)
    ):
        raise refusal(
            f"{what} of {' or '.join(map(str, lengths))} finite numbers", reprlib.repr(value), AGAIN
        )
    return np.array(value, dtype=np.float64)


def _is_finite(value) -> bool:
    return type(value) in (int, float) and -math.inf < value < math.inf and abs(value) < 1e300


def mapping(value, what: str) -> dict:
    """A JSON object.

    Raises:
        ValueError: another kind of value.
    """
    if not isinstance(value, dict):
        raise refusal(f"{what} as an object", reprlib.repr(value), AGAIN)
    return value


def entries(parent: dict, name: str) -> list:
    """A list of the JSON, empty where there is none.

    Raises:
        ValueError: another kind of value.
    """
    value = parent.get(name, [])
    if not isinstance(value, list):
        raise refusal(f"{name} as a list", reprlib.repr(value), AGAIN)
    return value


def entry(header: dict, name: str, index) -> dict:
    """One of the file's accessors, meshes, ..., by its number.

    Raises:
        ValueError: there is none of this number, or it is no object.
    """
    options = entries(header, name)
    if type(index) is not int or not 0 <= index < len(options):
        raise refusal(
            f"one of {len(options)} {name}", f"number {reprlib.repr(index)}, which cannot be read", AGAIN
        )
    return mapping(options[index], f"number {index} of {name}")
