"""Heads of frontal pictures by the main path, kept on disk with their seconds: an inversion is most of a bench's time, and several want it."""

from __future__ import annotations

import json
import time

import torch

from ..embedded import load_weights
from ..fitting.inversion import invert
from ..fitting.inversion_config import PRESETS
from ..head import Head, load_head, save_head
from ..photo.alignment import AlignedPortrait, uncropped
from ..portrait import Weights
from ..synthetic.multiview import MultiView
from ..synthetic.renders import cache_folder
from .exact_heads import ExactHead
from .keys import bench_key, content_key


def as_photo(views: MultiView, index: int) -> AlignedPortrait:
    """One exact view as the portrait that an inversion starts from: exact mask and camera, a crop that is the photo itself."""
    return uncropped(views.views.rgb[index], views.views.mask[index], views.camera[index])


def inverted(weights: Weights, views: MultiView, index: int, preset: str) -> Head:
    """The main path's head from one exact view."""
    photo = as_photo(views, index)
    draws = torch.Generator().manual_seed(0)
    return invert(
        weights.prior,
        weights.encoder,
        photo,
        PRESETS[preset],
        generator=draws,
        perceptual=weights.eyes().distance,
    )


class InvertedHeads:
    """Inversions by the code, the weights and the settings that they depend on, and by the frontal view.

    Args:
        preset: of the inversion.
    """

    def __init__(self, preset: str = "quick") -> None:
        self.weights = load_weights(torch.device("cpu"))
        self.preset = preset
        self.folder = cache_folder() / "bench" / f"heads-{bench_key(__file__, (preset, PRESETS[preset]))}"

    def timed(self, exact: ExactHead) -> tuple[Head, float]:
        """The inversion of one head's frontal picture, and the seconds that it took when it was made."""
        views, index = exact.exact, exact.exact.frontal
        photo = (views.views.rgb[index], views.views.mask[index])
        camera = views.camera[index]
        path = self.folder / f"{content_key(*photo, camera.cam2world, camera.intrinsics)}.safetensors"
        seconds = path.with_suffix(".json")
        if not (path.is_file() and seconds.is_file()):
            start = time.perf_counter()
            with torch.enable_grad():  # who asks may be looking without
                head = inverted(self.weights, views, index, self.preset)
            took = time.perf_counter() - start
            path.parent.mkdir(parents=True, exist_ok=True)
            save_head(head, path)
            seconds.write_text(json.dumps({"seconds": took}), encoding="utf-8")
        return load_head(path), float(json.loads(seconds.read_text(encoding="utf-8"))["seconds"])

    def head(self, exact: ExactHead) -> Head:
        """The same without the seconds."""
        return self.timed(exact)[0]
