"""Renders of the factory's heads, made once and cached outside the tree.

The cache holds, per seed, V views at S pixels: what the trainings of the prior and of the encoder draw from.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..camera import RADIUS, Camera, orbit
from ..checkpoint import read_tensors, save_tensors
from .head import sample_parameters
from .rendering import Views, render_head

FACTORY_VERSION = "2"  # frozen: weights that ship were trained on it


def cache_folder() -> Path:
    """Folder for caches and local checkpoints: $XDG_CACHE_HOME/portrait-diffusion, outside the tree."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "portrait-diffusion"


@dataclass(frozen=True)
class Renders:
    """Views of N heads.

    Attributes:
        parameters: [N, P] in [-1, 1].
        rgb: uint8 [N, V, 3, S, S], sRGB on white. mask: uint8 [N, V, S, S], 0 or 1.
        beyond: float16 [N, V, S, S] distance along the ray less the camera's radius, so that half precision keeps 0.1 mm; 0 where
            empty. yaw, pitch: [N, V] radians, of canonical cameras.
    """

    parameters: Tensor
    rgb: Tensor
    mask: Tensor
    beyond: Tensor
    yaw: Tensor
    pitch: Tensor

    def cameras(self) -> Camera:
        """[N, V] cameras."""
        return orbit(self.yaw, self.pitch)


def view_angles(seed: int, count: int, faces: bool = False) -> tuple[Tensor, Tensor]:
    """Yaw and pitch [V] in radians: the front exactly, then half the views (all, where only `faces` are wanted) within 60 degrees of
    it, the others all around."""
    generator = torch.Generator().manual_seed(seed)
    yaw = (torch.rand(count, generator=generator) * 2 - 1) * math.pi
    yaw[: count if faces else (count + 1) // 2] /= 3
    pitch = (torch.randn(count, generator=generator) * math.radians(14)).clamp(
        -math.radians(35), math.radians(50)
    )
    yaw[0] = pitch[0] = 0
    return yaw, pitch


def render_seed(seed: int, views: int, size: int, faces: bool = False) -> dict[str, Tensor]:
    """One head of the factory, a row [...] of each tensor of `Renders`."""
    parameters = sample_parameters(seed)
    yaw, pitch = view_angles(seed, views, faces)
    picture = render_head(parameters, orbit(yaw, pitch), size)
    return row_of(parameters, picture, yaw, pitch)


def row_of(parameters: Tensor, picture: Views, yaw: Tensor, pitch: Tensor) -> dict[str, Tensor]:
    """One head's row [...] of each tensor of `Renders`. Args: parameters: [P]. picture: [V]. yaw, pitch: [V] radians."""
    covered = picture.mask[:, 0] > 0.5
    return {
        "parameters": parameters,
        "rgb": (picture.rgb.clamp(0, 1) * 255).round().to(torch.uint8),
        "mask": covered.to(torch.uint8),
        "beyond": torch.where(covered, picture.ray_distance[:, 0] - RADIUS, 0.0).half(),
        "yaw": yaw,
        "pitch": pitch,
    }


def shard_path(folder: Path, first: int, shard: int) -> Path:
    """The file of a cache that holds `shard` seeds from `first`."""
    return folder / f"{first}-{shard}.safetensors"


def cached_shards(
    folder: Path, seeds: range, shard: int, make: Callable[[range], dict[str, Tensor]]
) -> dict[str, Tensor]:
    """What belongs to the seeds, row by row, read from the cache, or made and put there; prints progress.

    Args:
        folder: of the cache. shard: seeds a file; the last file may hold rows beyond the seeds. make: seeds -> tensors [rows, ...].
    """
    parts = []
    start = time.monotonic()
    for first in range(seeds.start, seeds.stop, shard):
        path = shard_path(folder, first, shard)
        if not path.is_file():
            save_tensors(
                path,
                {key: value.contiguous() for key, value in make(range(first, first + shard)).items()},
                {},
            )
            print(f"rendered heads up to {first + shard} ({time.monotonic() - start:.0f} s)", flush=True)
        parts.append(read_tensors(path, f"cached {folder.name}")[0])
    return {key: torch.cat([part[key] for part in parts]) for key in parts[0]}


def stacked(heads: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Tensors [...] of heads -> [heads, ...]."""
    return {key: torch.stack([head[key] for head in heads]) for key in heads[0]}


def renders_folder(*, views: int = 4, size: int = 256, faces: bool = False) -> Path:
    """Where such renders are cached; the arguments are those of `cached_renders`."""
    return cache_folder() / f"factory-{FACTORY_VERSION}" / f"{size}x{views}{'-faces' * faces}"


def cached_renders(
    seeds: range, *, views: int = 4, size: int = 256, faces: bool = False, shard: int = 25
) -> Renders:
    """Renders of the seeds, read from the cache, or made and put there; prints progress.

    Args:
        seeds: as many as wanted, cached `shard` at a time. faces: only views from which a face can be read.
    """
    folder = renders_folder(views=views, size=size, faces=faces)
    return cached_heads(folder, seeds, shard, lambda seed: render_seed(seed, views, size, faces))


def cached_heads(
    folder: Path, seeds: range, shard: int, render: Callable[[int], dict[str, Tensor]]
) -> Renders:
    """Renders of the seeds in a cache. Args: folder, seeds, shard: as of `cached_shards`. render: seed -> a row [...] of each tensor."""
    rows = cached_shards(folder, seeds, shard, lambda some: stacked([render(seed) for seed in some]))
    return Renders(**{key: value[: len(seeds)] for key, value in rows.items()})
