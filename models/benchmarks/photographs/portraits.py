"""Photographs by the main path, kept on disk with their GLB and the seconds of each stage."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from ...avatar.model import load_avatar
from ...embedded import load_weights
from ...fitting.inversion_config import PRESETS
from ...head import Head, load_head, save_head
from ...mesh.gltf import from_glb, to_glb
from ...mesh.mesh import Mesh
from ...photo.alignment import AlignedPortrait
from ...portrait import DELIVERED, portrait_to_3d
from ...synthetic.renders import cache_folder
from ..keys import bench_key
from .photos import Photo

SEED = 0
INVERTED, DRAWN, BEGUN = "inversion", "avatar", "inversion begun at the avatar"


@dataclass(frozen=True)
class Portrait:
    """Attributes: head: as its file says, made from the reference. mesh: as its GLB says. seconds: by stage."""

    head: Head
    reference: AlignedPortrait
    mesh: Mesh
    seconds: dict[str, float]


class Portraits:
    """What the main path makes of photographs, by the code, the weights and the settings, and by the photo's content.

    Args:
        preset: of the inversion. way: INVERTED; DRAWN by RodinHD's diffusion instead; or BEGUN: an inversion that begins there.

    Raises:
        ValueError: no avatar model where one is needed.
    """

    def __init__(self, preset: str, way: str = INVERTED) -> None:
        self.weights, self.preset, self.mesh = load_weights(torch.device("cpu")), preset, DELIVERED
        self.config = None if way == DRAWN else PRESETS[preset]
        self.avatars = None if way == INVERTED else load_avatar()
        key = bench_key(__file__, (preset, PRESETS[preset], self.mesh, SEED, way))
        self.folder = cache_folder() / "bench" / f"photographs-{key}"

    def of(self, photo: Photo) -> Portrait:
        """The portrait of one photo.

        Raises:
            ValueError: what the main path says of a photo that it refuses, or a kept head without its photo.
        """
        path = self.folder / f"{photo.key}.safetensors"
        model, seconds = path.with_suffix(".glb"), path.with_suffix(".json")
        if not (path.is_file() and model.is_file() and seconds.is_file()):
            self.make(photo, path)
        head = load_head(path)
        if head.reference is None:
            raise ValueError(
                f"bench photographs: expected a head with its photo in {path.name}, got one without; delete {path.name}"
            )
        told = json.loads(seconds.read_text(encoding="utf-8"))
        return Portrait(head, head.reference, from_glb(model.read_bytes()), told)

    def make(self, photo: Photo, path: Path) -> None:
        """Go the main path, and write the head, and the GLB and the seconds beside it."""
        rgb, alpha = photo.read()
        marks: list[tuple[str, float]] = []
        with torch.enable_grad():  # who asks may be looking without
            result = portrait_to_3d(
                rgb,
                self.weights,
                self.config,
                self.mesh,
                generator=torch.Generator().manual_seed(SEED),
                alpha=alpha,
                avatars=self.avatars,
                stage=lambda name: marks.append((name, time.perf_counter())),
            )
        ends = [*(moment for _, moment in marks[1:]), time.perf_counter()]
        seconds = {name: end - start for (name, start), end in zip(marks, ends, strict=True)}
        path.parent.mkdir(parents=True, exist_ok=True)
        save_head(result.head, path)
        path.with_suffix(".glb").write_bytes(to_glb(result.mesh, synthetic=True))
        path.with_suffix(".json").write_text(json.dumps(seconds), encoding="utf-8")
