"""Reads the fixtures that reference implementations left: GOLDEN_DIR (tests/golden), by name, with an optional `hidden_` in front."""

import json
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor

GOLDEN_DIR = Path(os.environ.get("GOLDEN_DIR") or Path(__file__).parent / "golden")


@dataclass(frozen=True)
class Golden:
    """One fixture. Attributes: name; tensors, floats in float32 or as stored in more; config, the JSON of its metadata."""

    name: str
    tensors: dict[str, Tensor]
    config: dict

    def given(self, name: str) -> Tensor:
        """An input."""
        return self.tensors[f"in/{name}"]

    def wanted(self, name: str) -> Tensor:
        """An output of the reference."""
        return self.tensors[f"out/{name}"]

    def has(self, name: str) -> bool:
        """Whether there is a tensor such as "out/depth"."""
        return name in self.tensors

    def state(self, prefix: str = "") -> dict[str, Tensor]:
        """The weights below a prefix, without it: stored ones, or made by the recipe."""
        if self.config.get("state_source", "stored") == "recipe":
            shapes, seed = self.config["state_shapes"], self.config["seed"]
            whole = {key: torch.as_tensor(recipe_value(seed, key, shape)) for key, shape in shapes.items() if key.startswith(prefix)}
        else:
            whole = {key.removeprefix("state/"): value for key, value in self.tensors.items() if key.startswith("state/")}
        return {key.removeprefix(prefix): value for key, value in whole.items() if key.startswith(prefix)}


def recipe_value(seed: int, key: str, shape) -> np.ndarray:
    """The weight of a key for fixtures that store none, as their makers drew it. The order of the branches matters."""
    rng = np.random.RandomState(zlib.crc32(f"{seed}/{key}".encode()))
    n = np.asarray(rng.standard_normal(size=tuple(shape) or None), dtype=np.float64).reshape(tuple(shape))
    last = key.split(".")[-1]
    if last == "resample_filter":
        taps = np.array([1.0, 3.0, 3.0, 1.0])
        value = np.outer(taps, taps) / 64
    elif key.endswith("affine.bias"):
        value = 1 + 0.25 * n
    elif last == "noise_strength":
        value = 0.1 + 0.05 * n
    elif last == "noise_const":
        value = n
    elif last == "w_avg":
        value = 0.5 * n
    elif last == "dataset_label_std":
        value = np.abs(n)
    elif key.endswith("decoder.net.2.weight"):
        value = n.copy()
        value[0] = 8 * (value[0] - value[0].mean())  # the density's row
    elif key.startswith("t_mapping.fc"):
        value = (0.02 if last == "bias" else 0.2) * n
    elif "mapping.fc" in key:
        value = (10.0 if last == "bias" else 100.0) * n
    elif last == "bias":
        value = 0.1 * n
        if key.endswith("decoder.net.2.bias"):
            value[0] += 2.0
    else:
        value = n
    return np.asarray(value, dtype=np.float32)


def load(path: Path) -> Golden:
    """One fixture; halves become float32."""
    with safe_open(path, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        config = json.loads(file.metadata()["config"])
    return Golden(path.stem, {key: value.float() if value.dtype == torch.float16 else value for key, value in tensors.items()}, config)


def paths(*patterns: str) -> list[Path]:
    """The fixtures in GOLDEN_DIR whose names match, with or without `hidden_`.

    Raises:
        FileNotFoundError: the folder does not exist, or it is ours and has none, so that no test passes by finding nothing.
    """
    found = {path for pattern in patterns for prefix in ("", "hidden_") for path in GOLDEN_DIR.glob(f"{prefix}{pattern}.safetensors")}
    if not GOLDEN_DIR.is_dir() or not (found or os.environ.get("GOLDEN_DIR")):
        raise FileNotFoundError(f"no fixture called {' or '.join(patterns)} in {GOLDEN_DIR}; set GOLDEN_DIR to a folder that has them")
    return sorted(found)


def each(*patterns: str):
    """Parametrises a test's `golden` over the fixtures that match."""
    found = paths(*patterns)
    return pytest.mark.parametrize("golden", found, ids=[path.stem for path in found], indirect=True)


def assert_near(ours: Tensor, theirs: Tensor, tolerance: float, what: str = "") -> None:
    """The fixtures' measure: max |a - b| <= tolerance * max(1, max |b|)."""
    assert ours.shape == theirs.shape, f"{what}: shape {list(ours.shape)} instead of {list(theirs.shape)}"
    error = relative_error(ours, theirs)
    assert error <= tolerance, f"{what}: relative error {error:.2e} is more than {tolerance:.0e}"


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    """max |a - b| / max(1, max |b|); NaN if there is any."""
    a, b = ours.detach().double(), theirs.double()
    return ((a - b).abs().max() / b.abs().max().clamp(min=1)).item()
