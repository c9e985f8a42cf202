"""Writes small files that ask for much: what ships, or a small head, with some of it replaced."""

from __future__ import annotations

import copy
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file

BIG = 10**9
ONE = {"a": torch.zeros(1)}
DEEP = "[" * 100_000 + "]" * 100_000
Case = tuple[str, Callable[[Path], None], list[str]]  # who loads it, what writes it, what the sentence holds


def raw(path: Path, header: dict | bytes, body: bytes = b"") -> None:
    """A .safetensors of any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def entry(dtype: str, shape: list[int], begin: int = 0, end: int = 0) -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def changed(config: dict, **changes) -> dict:
    """A config with entries replaced; `field__hidden` is `hidden` in `field`."""
    config = copy.deepcopy(config)
    for name, value in changes.items():
        *folders, last = name.split("__")
        place = config
        for folder in folders:
            place = place[folder]
        place[last] = value
    return config


def shipped_config(kind: str) -> dict:
    from portrait_diffusion.models.checkpoint import read_tensors, shipped

    return json.loads(read_tensors(shipped(kind), kind)[1]["config"])


def weights(kind: str, config=None, **changes) -> Callable[[Path], None]:
    """One tensor, and the config of the weights that ship with entries replaced (or a whole other one)."""

    def write(path: Path) -> None:
        said = changed(shipped_config(kind), **changes) if config is None else config
        save_file(ONE, path, {"kind": kind, "config": said if isinstance(said, str) else json.dumps(said)})

    return write


def metadata_of(kind: str, **entries) -> Callable[[Path], None]:
    """The weights that ship, with entries of their metadata replaced; None for none."""

    def write(path: Path) -> None:
        from portrait_diffusion.models.checkpoint import read_tensors, shipped

        tensors, metadata = read_tensors(shipped(kind), kind)
        save_file(
            tensors, path, {key: value for key, value in (metadata | entries).items() if value is not None}
        )

    return write


def tensors_of(kind: str, **tensors) -> Callable[[Path], None]:
    """The weights that ship, with tensors replaced (by a function of what was there); None for none."""

    def write(path: Path) -> None:
        from portrait_diffusion.models.checkpoint import read_tensors, shipped

        old, metadata = read_tensors(shipped(kind), kind)
        for key, value in tensors.items():
            name = next(name for name in old if name.endswith(key.replace("__", ".")))
            old[name] = value(old[name]) if callable(value) else value
        save_file({key: value for key, value in old.items() if value is not None}, path, metadata)

    return write


def head(
    config: dict | None = None, generator: dict | None = None, tensors: dict | None = None, **entries
) -> Callable[[Path], None]:
    """The small head, with entries of its configs, tensors (by name; None for none) or metadata replaced."""

    def write(path: Path) -> None:
        from portrait_diffusion.models.checkpoint import read_tensors
        from portrait_diffusion.models.head import save_head

        from .small import head as small_head

        save_head(small_head(), path)
        old, metadata = read_tensors(path, "head")
        old = {key: value.clone() for key, value in old.items()} | (tensors or {})
        for key, changes in (("config", config), ("generator", generator)):
            if changes:
                metadata[key] = json.dumps(changed(json.loads(metadata[key]), **changes))
        metadata |= entries
        kept = {key: value for key, value in metadata.items() if value is not None}
        save_file({key: value for key, value in old.items() if value is not None}, path, kept)

    return write


def brushnet(width: int = 32, level: str = "0", **more: torch.Tensor | None) -> Callable[[Path], None]:
    """What a BrushNet's size is read off, and hardly more."""

    def write(path: Path) -> None:
        state = {
            "conv_in_condition.weight": torch.zeros(width, 9, 1, 1),
            f"down_blocks.{level}.resnets.0.conv2.weight": torch.zeros(width, 1, 1, 1),
        }
        state |= {key.replace("__", "."): value for key, value in more.items()}
        save_file({key: value for key, value in state.items() if value is not None}, path)

    return write


def views(config="{}", **tensors: torch.Tensor) -> Callable[[Path], None]:
    """A multi-view head file of one view."""

    def write(path: Path) -> None:
        parts = {
            "rgb": torch.zeros(1, 2, 2, 3, dtype=torch.uint8),
            "mask": torch.zeros(1, 2, 2, dtype=torch.uint8),
            "ray_distance": torch.zeros(1, 2, 2),
            "cam2world": torch.eye(4)[None],
        }
        save_file(parts | tensors, path, {"config": config})

    return write


def niqe(**config) -> Callable[[Path], None]:
    return lambda path: save_file(
        {"mean": torch.zeros(36), "covariance": torch.eye(36)}, path, {"config": json.dumps(config)}
    )


def header(tensors: dict | bytes, body: bytes = b"") -> Callable[[Path], None]:
    return lambda path: raw(path, tensors, body)


def packed(path: Path) -> None:
    """An .npz that unpacks to a hundred times its length."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        start = b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (83886080,), }"
        with archive.open("mu_prisparam.npy", "w") as part:
            part.write(start.ljust(127) + b"\n")
            for _ in range(640):
                part.write(bytes(2**20))


def expanded(path: Path) -> None:
    """A .pth whose tensor is one number, seen ten billion times."""
    torch.save(
        {"features.0.weight": torch.zeros(1).expand(10**5, 10**5), "features.0.bias": torch.zeros(64)}, path
    )


def unpacking(path: Path) -> None:
    """A .pth whose tensor is 640 MiB of zeros, compressed."""
    torch.save({"features.0.weight": torch.zeros(4)}, path)
    with zipfile.ZipFile(path) as archive:
        parts = {part.filename: archive.read(part) for part in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in parts.items():
            if not name.endswith("/data/0"):
                archive.writestr(name, content)
                continue
            with archive.open(name, "w") as part:
                for _ in range(640):
                    part.write(bytes(2**20))


def empties(count: int) -> Callable[[Path], None]:
    """So many tensors without numbers."""
    one = b'"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    return lambda path: raw(path, b"{" + b",".join(one % i for i in range(count)) + b"}")


def head_with(path: Path, **entries: str | None) -> None:
    """The small head with whole entries of its metadata replaced."""
    from portrait_diffusion.models.checkpoint import read_tensors

    head()(path)
    tensors, metadata = read_tensors(path, "head")
    kept = {key: value for key, value in (metadata | entries).items() if value is not None}
    save_file({key: value.clone() for key, value in tensors.items()}, path, kept)


def first_version(path: Path) -> None:
    """A head of version 1 whose decoder is no matrix."""
    head(format_version="1")(path)
    from portrait_diffusion.models.checkpoint import read_tensors

    tensors, metadata = read_tensors(path, "head")
    wrong = {
        f"decoder.{key}.{part}": torch.zeros(3) for key in ("hidden", "out") for part in ("weight", "bias")
    }
    save_file({key: value.clone() for key, value in tensors.items()} | wrong, path, metadata)


def many_layers(path: Path) -> None:
    """A BrushNet of 900 ResNets."""
    state = {f"down_blocks.0.resnets.{i}.conv2.weight": torch.zeros(32, 1, 1, 1) for i in range(900)}
    save_file(state | {"conv_in_condition.weight": torch.zeros(32, 9, 1, 1)}, path)
