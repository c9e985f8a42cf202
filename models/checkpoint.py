"""Our weights files: one .safetensors each, its kind and its config in the metadata. Nothing in a file is ever run."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

WEIGHTS = Path(__file__).parent / "weights"


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
    """Write a .safetensors file through a neighbour that is then renamed, so that a crash leaves the old file whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    save_file(tensors, partial, metadata)
    partial.chmod(0o644)  # safetensors makes files that nobody else can read
    partial.replace(path)


def read_tensors(path: Path, what: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors (on the CPU) and metadata of a .safetensors file.

    Args:
        what: the file's role, for errors, as "head prior".

    Raises:
        ValueError: the file is missing, empty, truncated, or another format.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{what}: expected a .safetensors file, found none called {path.name}; choose an existing file")
    start = path.open("rb").read(8)
    if start[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK"):
        raise ValueError(
            f"{what}: expected safetensors, but {path.name} is a pickle, which could run code when read; convert it to .safetensors first"
        )
    if len(start) < 8:
        raise ValueError(f"{what}: expected safetensors, but {path.name} is {'empty' if not start else 'truncated'}; copy the file again")
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(
            f"{what}: expected safetensors, but {path.name} is truncated or of another format ({error}); copy the file again"
        ) from error


def read(path: Path, kind: str) -> tuple[dict, dict[str, Tensor]]:
    """Config (a plain dict) and float32 weights of one of our files of the given kind.

    Raises:
        ValueError: as `read_tensors`, or the file is of another kind or its config is unreadable.
    """
    state, metadata = read_tensors(path, f"{kind} weights")
    found = metadata.get("kind", "no kind of ours")
    if found != kind:
        raise ValueError(f"{kind} weights: expected a file of kind {kind}, but {Path(path).name} holds {found}; choose another file")
    try:
        config = json.loads(metadata["config"])
    except (KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"{kind} weights: {Path(path).name} has no readable config ({error!r}); copy the file again") from error
    return config, {key: value.float() if value.is_floating_point() else value for key, value in state.items()}


def load_into(module: nn.Module, state: dict[str, Tensor], what: str) -> None:
    """Copy weights into a module; every key and shape must fit, every value be finite.

    Raises:
        ValueError: names the first keys that are missing, unknown, of another shape, or not finite.
    """
    expected = {key: list(value.shape) for key, value in module.state_dict().items()}
    faults = {
        "missing": [key for key in expected if key not in state],
        "unknown": [key for key in state if key not in expected],
        "of another shape": [
            f"{key} {list(state[key].shape)} instead of {expected[key]}"
            for key in expected
            if key in state and list(state[key].shape) != expected[key]
        ],
        "not finite": [key for key, value in state.items() if not math.isfinite(value.float().sum().item())],
    }
    for fault, keys in faults.items():
        if keys:
            more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
            raise ValueError(
                f"{what}: expected the {len(expected)} tensors of its config, but {', '.join(keys[:3])}{more} "
                f"{'is' if len(keys) == 1 else 'are'} {fault}; choose a file made by this pack"
            )
    module.load_state_dict(state)
