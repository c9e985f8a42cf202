"""Our weights files: one .safetensors each, its kind and its config in the metadata. Nothing in a file is ever run."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from .bounds import Config, configured
from .recognition import kind_of_file

WEIGHTS = Path(__file__).parent / "weights"
TENSORS, HEADER = (
    20_000,
    16 * 2**20,
)  # of a file: tensors, and bytes of their names, shapes and metadata; public models have a tenth
NO_KIND = "no kind of ours"  # of what a file holds
NAME, AXES = 256, 8  # of a tensor: letters, dimensions
JSON = 2**20  # letters of one entry of the metadata that is read as JSON
DTYPES = ("F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL")
Module = TypeVar("Module", bound=nn.Module)


def shipped(kind: str) -> Path:
    """Where the weights of a kind ("prior", "encoder", "alignment") lie that come with the pack."""
    return WEIGHTS / f"{kind}.safetensors"


def write(path: Path, kind: str, config, module: nn.Module, **facts: str) -> None:
    """Save a module's weights in half precision, its config (a dataclass) and `facts` (training figures) beside them.

    The file is replaced at once or not at all.
    """
    state = {key: value.detach().cpu().half().contiguous() for key, value in module.state_dict().items()}
    save_tensors(path, state, {"kind": kind, "config": json.dumps(asdict(config)), **facts})


def save_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a .safetensors file through a neighbour, then renamed, so that a crash leaves the old file whole.

    Args:
        tensors: name -> [...], of any shape, contiguous. metadata: kept beside them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    save_file(tensors, partial, metadata)
    partial.chmod(0o644)  # safetensors makes files that nobody else can read
    partial.replace(path)


def read_tensors(path: Path, what: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors (name -> [...], on the CPU) and metadata of a .safetensors file.

    Args:
        what: the file's role, for errors, as "head prior".

    Raises:
        ValueError: the file is missing, empty, truncated, or another format.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(
            f"{what}: expected a .safetensors file, found none called {path.name}; choose an existing file"
        )
    with path.open("rb") as file:
        start = file.read(8)
    size, length = (
        path.stat().st_size,
        int.from_bytes(start, "little"),
    )  # of the file, and of its header where it is ours
    if start[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK") and length > size:
        raise ValueError(
            f"{what}: expected safetensors, but {path.name} is a pickle, which could run code when read; give it its own ending and let portrait-diffusion convert make one of it"
        )
    if len(start) < 8:
        raise ValueError(
            f"{what}: expected safetensors, but {path.name} is {'empty' if not start else 'truncated'}; copy the file again"
        )
    if HEADER < length <= size:
        raise ValueError(
            f"{what}: expected names, shapes and metadata of up to {HEADER} bytes, got {length} in {path.name}; choose another file"
        )
    try:
        with safe_open(path, framework="pt") as file:
            keys = list(file.keys())
            _check_header(
                file, keys, size, f"{what}: expected {{}}, got {{}} in {path.name}; choose another file"
            )
            return {key: file.get_tensor(key) for key in keys}, dict(file.metadata() or {})
    except SafetensorError as error:
        raise ValueError(
            f"{what}: expected safetensors, but {path.name} is truncated or of another format ({error}); copy the file again"
        ) from error


def _check_header(file, keys: list[str], size: int, words: str) -> None:
    """What a file says that it holds, before any of it is read; size: of the file in bytes. Raises ValueError in the words given."""
    if len(keys) > TENSORS:
        raise ValueError(words.format(f"up to {TENSORS} tensors", len(keys)))
    for key in keys:
        if len(key) > NAME or not key.isprintable():
            raise ValueError(words.format(f"names of up to {NAME} letters", ascii(key[:40])))
        part = file.get_slice(key)
        shape, dtype = part.get_shape(), part.get_dtype()
        if dtype not in DTYPES:
            raise ValueError(words.format(f"numbers of type {', '.join(DTYPES)}", f"{dtype} for {key}"))
        if (
            len(shape) > AXES or math.prod(max(side, 1) for side in shape) > size
        ):  # a tensor without numbers has sides, too
            raise ValueError(
                words.format("tensors that a file of its length can hold", f"shape {shape[:AXES]} for {key}")
            )


def kind_of(metadata: dict[str, str], otherwise: str = NO_KIND) -> str:
    """What a file says that it is, cut short for errors."""
    return metadata.get("kind", otherwise)[:40]


def json_entry(metadata: dict[str, str], key: str, what: str) -> object:
    """An entry of a file's metadata that is JSON, as plain values.

    Args:
        what: the file's role and name, for errors.

    Raises:
        ValueError: there is none, it is too long or too deep, or has NaN or infinity in it.
    """
    text = metadata.get(key)
    if text is None:
        raise ValueError(f"{what} has no readable {key} (it is missing); copy the file again")
    if len(text) > JSON:
        raise ValueError(
            f"{what} has no readable {key} ({len(text)} letters instead of up to {JSON}); choose another file"
        )
    try:
        return json.loads(text, parse_constant=_no_number)
    except RecursionError as error:
        raise ValueError(
            f"{what} has no readable {key} (lists in lists without end); choose another file"
        ) from error
    except ValueError as error:
        raise ValueError(f"{what} has no readable {key} ({error}); copy the file again") from error


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no number")


def read(path: Path, kind: str) -> tuple[dict, dict[str, Tensor]]:
    """Config (a plain dict) and float32 weights of one of our files of the given kind.

    Raises:
        ValueError: as `read_with_facts`.
    """
    return read_with_facts(path, kind)[:2]


def read_with_facts(path: Path, kind: str) -> tuple[dict, dict[str, Tensor], dict[str, str]]:
    """As `read`, and the file's metadata.

    Raises:
        ValueError: as `read_tensors`, or the file is of another kind or its config is unreadable.
    """
    state, metadata = read_tensors(path, f"{kind} weights")
    content = kind_of(metadata, kind_of_file(Path(path)) or NO_KIND)
    if content != kind:
        raise ValueError(
            f"{kind} weights: expected a file of kind {kind}, but {Path(path).name} holds {content}; choose another file"
        )
    config = json_entry(metadata, "config", f"{kind} weights: {Path(path).name}")
    if not isinstance(config, dict):
        raise ValueError(
            f"{kind} weights: {Path(path).name} has no readable config (no names and values); copy the file again"
        )
    weights = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
    return config, weights, metadata


def build(make: Callable[[], Module], state: dict[str, Tensor], what: str) -> Module:
    """A module of a file's config with the file's weights.

    It is made without memory first and compared with the weights: a config cannot ask for more numbers than the file has.

    Args:
        make: makes the module with any weights. what: the file's role, for errors.

    Raises:
        ValueError: as `load_into`, or there is no module of such sizes.
    """
    _outline(make, state, what)
    module = make()
    module.load_state_dict(state)
    return module


def assigned(make: Callable[[], Module], state: dict[str, Tensor], what: str) -> Module:
    """As `build`, but the tensors become the module's own, for files that are large; all that it has must be in its state dict."""
    module = _outline(make, state, what)
    module.load_state_dict({key: value.contiguous() for key, value in state.items()}, assign=True)
    return module


def _outline(make: Callable[[], Module], state: dict[str, Tensor], what: str) -> Module:
    """The module without memory, once its weights fit it."""
    try:
        with torch.device("meta"):
            outline = make()
    except (RuntimeError, TypeError, ArithmeticError) as error:  # as torch says that sizes do not go together
        first = str(error).partition("\n")[0][:200]
        raise ValueError(
            f"{what}: expected sizes that make a network, got others ({first}); choose a file made by this pack"
        ) from error
    check_state(outline, state, what)
    return outline


def shipped_network(
    kind: str, config: type[Config], network: Callable[[Config], Module], path: Path | None = None
) -> Module:
    """The network of a kind that comes with the pack, or one of its kind from a file, frozen, on the CPU.

    Args:
        config: dataclass of the file's config. network: makes the module of it, with any weights.

    Raises:
        ValueError: as `read`, `bounds.configured` and `build`.
    """
    values, state = read(path or shipped(kind), kind)
    sizes = configured(config, values, kind)
    return build(lambda: network(sizes).requires_grad_(False).eval(), state, kind)


def load_into(module: nn.Module, state: dict[str, Tensor], what: str) -> None:
    """Copy weights into a module; every key and shape must fit, every value be finite.

    Raises:
        ValueError: as `check_state`.
    """
    check_state(module, state, what)
    module.load_state_dict(state)


def check_state(module: nn.Module, state: dict[str, Tensor], what: str) -> None:
    """Whether weights fit a module, which may lie on the meta device.

    Args:
        state: name -> [...], as the module's `state_dict`. what: the file's role, for errors.

    Raises:
        ValueError: names the first keys that are missing, unknown, of another shape, or not finite.
    """
    shapes = {key: list(value.shape) for key, value in module.state_dict().items()}
    faults = {
        "missing": [key for key in shapes if key not in state],
        "unknown": [key for key in state if key not in shapes],
        "of another shape": [
            f"{key} {list(state[key].shape)} instead of {shapes[key]}"
            for key in shapes
            if key in state and list(state[key].shape) != shapes[key]
        ],
        "not finite": [key for key, value in state.items() if not math.isfinite(value.float().sum().item())],
    }
    for fault, keys in faults.items():
        if keys:
            more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
            raise ValueError(
                f"{what}: expected the {len(shapes)} tensors of its config, but {', '.join(keys[:3])}{more} "
                f"{'is' if len(keys) == 1 else 'are'} {fault}; choose a file made by this pack"
            )
