"""Factory heads as somebody has photographed them: inverted from a crop of 256 pixels, with the photo of 512 beside it; and exact views."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ...embedded import load_weights
from ...fitting import inversion
from ...fitting.inversion import invert
from ...fitting.inversion_config import PRESETS, InversionConfig
from ...head import Head, load_head, save_head
from ...photo.alignment import uncropped
from ...synthetic.multiview import MultiView
from ...synthetic.renders import cache_folder
from ..exact_heads import ExactHead, exact_views
from ..keys import bench_key, content_key

YAWS = (0, 20, 45, 70)  # degrees; the photo is the first
SIZE = 512  # pixels of the exact views and of the photo
CROP = 256  # of the aligned portrait


def photographed_head(seed: int, factory: int = 2) -> ExactHead:
    """One head of a factory from `YAWS`; rendered once, kept in the cache.

    Raises:
        ValueError: of factory 3, without scans.
    """
    views = exact_views(seed, [(yaw, 0) for yaw in YAWS], SIZE, factory)
    return ExactHead(f"seed {seed}", views, {})


def shortened(share: float) -> InversionConfig:
    """The quick inversion with this share of each stage's steps."""
    quick = PRESETS["quick"]
    stages = ("latent_steps", "tuning_steps", "detail_steps", "sweep_steps")
    return replace(quick, **{name: round(getattr(quick, name) * share) for name in stages})


class Photographed:
    """Heads with their photo, kept by the inversion's code, the weights, the config and the picture. Args: config: of the inversion."""

    def __init__(self, config: InversionConfig) -> None:
        self.weights = load_weights(torch.device("cpu"))
        self.config = config
        self.folder = cache_folder() / "bench" / f"photographed-{bench_key(inversion.__file__, config)}"

    def head(self, views: MultiView) -> Head:
        """The head of the frontal view, whose reference has the view itself as its photo."""
        photo, mask = views.views.rgb[views.frontal], views.views.mask[views.frontal]
        path = self.path(photo, mask)
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            save_head(self.inverted(photo, mask, views), path)
        return load_head(path)

    def path(self, *picture: Tensor) -> Path:
        """Where the head of a picture is kept."""
        return self.folder / f"{content_key(*picture)}.safetensors"

    def inverted(self, photo: Tensor, mask: Tensor, views: MultiView) -> Head:
        """The inversion of a photo [3, S, S] with its mask [1, S, S], shrunk to the crop."""
        image, alpha = (F.interpolate(x[None], size=(CROP, CROP), mode="area")[0] for x in (photo, mask))
        fine = (photo * 255).round().to(torch.uint8)
        portrait = replace(uncropped(image, alpha, views.camera[views.frontal]), photo=fine)
        with torch.enable_grad():  # who asks may be looking without
            return invert(
                self.weights.prior,
                self.weights.encoder,
                portrait,
                self.config,
                generator=torch.Generator().manual_seed(0),
                perceptual=self.weights.eyes().distance,
            )
