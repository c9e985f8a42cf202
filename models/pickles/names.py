"""Classes and functions that a pickle may name, and what each stands for here. There is no other way to get at one, and none is imported."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from functools import lru_cache

from .machine import Machine
from .records import Named, Record, printable
from .source import Span, latin
from .tensors import DTYPES, StoredTensor, stored_tensor

# Classes whose objects become records: networks' parts, which are plain objects in NVIDIA's pickles.
INERT = re.compile(
    r"torch\.nn\.modules\.\w+ \w+"
    r"|(?:\w+\.)*training\.(?:\w+\.)*\w+ (?:OSGDecoder|ImportanceRenderer|MipRayMarcher2|RaySampler)"
    # A model that was made of a class out of a pickle; the name of its module is thrown away.
    r"|_imported_module_[0-9a-f]{32} (?:OSGDecoder|ImportanceRenderer|MipRayMarcher2|RaySampler)"
    r"|numpy dtype"
)
PERSISTENT = re.compile(r"(?:\w+\.)*torch_utils\.persistence _reconstruct_persistent_obj")
EASY = re.compile(r"(?:\w+\.)*dnnlib\.util EasyDict")
STORAGE = re.compile(r"torch (\w+)Storage")
NAMED = re.compile(  # only ever named: old tensors' types, and a key in Stable Diffusion's first file
    r"torch \w+Tensor|pytorch_lightning\.callbacks\.model_checkpoint ModelCheckpoint"
)
LONGEST = 200  # letters of a name
SCALARS = {"f2": "e", "f4": "f", "f8": "d", "b1": "?"} | {
    f"{sign}{size}": code if sign == "i" else code.upper()
    for sign in "iu"
    for size, code in ((1, "b"), (2, "h"), (4, "i"), (8, "q"))
}


@lru_cache(1024)
def find(module: str, name: str) -> Named:
    """What a name stands for.

    Raises:
        ValueError: it is none of those that files of tensors and NVIDIA's networks need.
    """
    full = f"{module} {name}" if len(module) + len(name) < LONGEST else ""
    if full in CALLS:
        return Named(module, name, CALLS[full])
    if PERSISTENT.fullmatch(full):
        return Named(module, name, _persistent)
    if EASY.fullmatch(full):
        return Named(module, name, _dict)
    if INERT.fullmatch(full):
        return Named(module, name, lambda machine, arguments: Record(name, arguments))
    if (match := STORAGE.fullmatch(full)) and match[1] in DTYPES:
        return Named(module, name, dtype=DTYPES[match[1]])
    if NAMED.fullmatch(full):
        return Named(module, name)
    raise ValueError(
        f"wants {printable(module)} {printable(name)}, which is neither a tensor nor a known network's part; choose another file"
    )


def _several(arguments: tuple, least: int, most: int, name: str) -> tuple:
    """Arguments of a call, filled up with None. Raises ValueError where there are fewer or more."""
    if not least <= len(arguments) <= most:
        raise ValueError(f"calls {name} with {len(arguments)} values")
    return arguments + (None,) * (most - len(arguments))


def _dict(machine: Machine, arguments: tuple) -> dict:
    (pairs,) = _several(arguments, 0, 1, "a dict")
    if pairs is None:
        return {}
    if not isinstance(pairs, list) or not all(
        isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs
    ):
        raise ValueError("has a dict of something else than pairs")
    machine.budget.spend(3 * len(pairs))
    return {machine.key(key): value for key, value in pairs}


def _set(machine: Machine, arguments: tuple) -> set:
    (items,) = _several(arguments, 0, 1, "a set")
    if not isinstance(items, list | tuple | None):
        raise ValueError("has a set of something else than a list")
    machine.budget.spend(3 * len(items or ()))
    return {machine.key(item) for item in items or ()}


def _encode(machine: Machine, arguments: tuple) -> bytes | Span:
    """How protocol 2 writes bytes."""
    text, coding = _several(arguments, 2, 2, "encode")
    if coding not in ("latin1", "latin-1"):
        raise ValueError("encodes text as something else than latin1")
    if isinstance(text, Span) and text.letters:
        return text
    if not isinstance(text, str):
        raise ValueError("encodes something else than text")
    machine.budget.hold(len(text))
    return latin(text)


def _no_bytes(machine: Machine, arguments: tuple) -> bytes:
    """How protocol 2 writes none."""
    _several(arguments, 0, 0, "bytes")
    return b""


def _scalar(machine: Machine, arguments: tuple) -> int | float | bool:
    """A number of numpy's."""
    kind, data = _several(arguments, 2, 2, "scalar")
    named = isinstance(kind, Record) and kind.name == "dtype" and kind.arguments
    code = SCALARS.get(kind.arguments[0]) if named and isinstance(kind.arguments[0], str) else None
    if code is None or not isinstance(data, bytes) or len(data) != struct.calcsize(f"<{code}"):
        raise ValueError("has a number of numpy's that is none")
    state = kind.state
    order = state[1] if isinstance(state, tuple) and len(state) > 1 and state[1] == ">" else "<"
    return struct.unpack(f"{order}{code}", data)[0]


def _persistent(machine: Machine, arguments: tuple) -> Record:
    """An object that carries its class' source, which stays text: name and state are all that is looked at."""
    (meta,) = _several(arguments, 1, 1, "_reconstruct_persistent_obj")
    meta = meta if isinstance(meta, dict) else {}
    name, state = meta.get("class_name"), meta.get("state")
    if meta.get("type") != "class" or not isinstance(name, str) or not isinstance(state, dict):
        raise ValueError("has an object of NVIDIA's persistence without a class and a state")
    return Record(name, (), state)


def _tensor(machine: Machine, arguments: tuple) -> StoredTensor:
    storage, offset, shape, stride, *_ = _several(arguments, 4, 7, "_rebuild_tensor_v2")
    machine.budget.spend(8)
    return stored_tensor(storage, offset, shape, stride)


def _parameter(machine: Machine, arguments: tuple) -> StoredTensor:
    tensor, *_ = _several(arguments, 1, 3, "_rebuild_parameter")
    if not isinstance(tensor, StoredTensor):
        raise ValueError("has a parameter that is no tensor")
    return tensor


def _from_bytes(machine: Machine, arguments: tuple) -> object:
    (data,) = _several(arguments, 1, 1, "_load_from_bytes")
    return machine.storage_in(data)


CALLS: dict[str, Callable[[Machine, tuple], object]] = {
    "collections OrderedDict": _dict,
    "builtins set": _set,
    "__builtin__ set": _set,
    "builtins frozenset": lambda machine, arguments: frozenset(_set(machine, arguments)),
    "__builtin__ frozenset": lambda machine, arguments: frozenset(_set(machine, arguments)),
    "builtins bytes": _no_bytes,
    "__builtin__ bytes": _no_bytes,
    "_codecs encode": _encode,
    "numpy.core.multiarray scalar": _scalar,
    "numpy._core.multiarray scalar": _scalar,
    "torch._utils _rebuild_tensor": _tensor,
    "torch._utils _rebuild_tensor_v2": _tensor,
    "torch._utils _rebuild_parameter": _parameter,
    "torch.nn.parameter Parameter": _parameter,
    "torch.storage _load_from_bytes": _from_bytes,
}
