"""The stages of Portrait Diffusion as `bench portrait` compares them: heads by row, and figures of five views."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from ...camera import orbit
from ...diffusion import turbo
from ...diffusion.embedded_zero123 import shipped_zero123
from ...diffusion.hpdm import shipped_hpdm
from ...diffusion.new_views import embedded_model
from ...diffusion.turbo_weights import shipped_refiner
from ...distillation.head_scene import RefineConfig
from ...distillation.refinement import PRESETS, refine
from ...distillation.restoration import Guides, RestorationConfig, restore_geometry
from ...distillation.views import refinement_cameras
from ...fitting.baking import BakeConfig, bake, with_reference
from ...head import Head
from ...metrics.evaluate import evaluate, shipped_judges
from ...presence import present
from ...prior.detail_block import shipped_detail_block
from ..exact_heads import ExactHead, views_at
from ..inverted_heads import InvertedHeads
from ..restoration import FASTER, IntoPlanes, without_block

VIEWS = (0, 45, 90, -45, -90)  # degrees of yaw
BAKED = (-60, -30, 30, 60)
PHOTO_UNITS = {"perceptual": "", "identity": ""}
EXACT_UNITS = {"PSNR": "dB", "SSIM": "", "perceptual": "", "identity": "", "NIQE": ""}
PRIOR, RESTORED, SDS, TURBO, FAST, DETAIL = "prior", "restored", "plain SDS", "Turbo, baked", "fast", "detail"
PERP_NEG = 4  # evaluations of the UNet in a step of score distillation: the prompt, none, and two negatives
SEED = 0


class PortraitStages:
    """Heads by stage; the latest one's restoration is kept. Args: iterations: of `fast` and `detail`; None for the presets'."""

    def __init__(self, iterations: int | None) -> None:
        self.inversions = InvertedHeads()
        self.model = embedded_model()
        self.network = shipped_hpdm()
        self.turbo = shipped_refiner()
        self.guides = Guides(self.model, shipped_zero123())
        self.block = shipped_detail_block()
        self.judges = shipped_judges()
        self.presets = {
            name: replace(preset, iterations=iterations or preset.iterations)
            for name, preset in PRESETS.items()
        }
        self.restoration = RestorationConfig()
        self.latest: tuple[ExactHead, Head, float] | None = None

    def draws(self) -> torch.Generator:
        """Of any stage."""
        return torch.Generator().manual_seed(SEED)

    def restored(self, exact: ExactHead) -> tuple[Head, float]:
        """The head after restoration, and the seconds up to there."""
        if self.latest is None or self.latest[0] is not exact:
            head, seconds = self.inversions.timed(exact)
            start = time.perf_counter()
            (head,), _ = restore_geometry(
                [head], self.guides, self.restoration, generator=self.draws(), block=self.block
            )
            self.latest = exact, head, seconds + time.perf_counter() - start
        return self.latest[1], self.latest[2]

    def baked(self, head: Head) -> Head:
        """One-step refinement of views around the front, baked back."""
        cameras = orbit(torch.tensor(BAKED).float().deg2rad(), torch.zeros(len(BAKED)))
        with torch.no_grad():
            renders = head.render(cameras, 256, normals=False).rgb
            views = turbo.refine(
                self.turbo,
                renders,
                present(head.reference, "a head with its photo", "invert one").on_white()[None],
                generator=self.draws(),
            )
        return bake(head, *with_reference(head, views, cameras), BakeConfig(), generator=self.draws())

    def distilled(self, head: Head, config: RefineConfig) -> Head:
        """Plain score distillation into the planes, evaluating the UNet as often as a refinement does."""
        views = len(refinement_cameras(config.views, head.planes.device).cam2world)
        steps = max(1, config.iterations * config.denoising_steps * views // PERP_NEG)
        plain = replace(self.restoration, steps=steps, rate=self.restoration.rate * FASTER, picture=0.0)
        return without_block(IntoPlanes(head, Guides(self.model), plain, self.draws()))

    def made(self, exact: ExactHead, row: str) -> tuple[Head, float]:
        """One row's head, and all seconds that it took."""
        head, seconds = (
            self.restored(exact) if row in (RESTORED, SDS, FAST, DETAIL) else self.inversions.timed(exact)
        )
        start = time.perf_counter()
        if row == SDS:
            head = self.distilled(head, self.presets["fast"])
        elif row == TURBO:
            head = self.baked(head)
        elif row in (FAST, DETAIL):
            head = refine(head, self.model, self.network, self.presets[row], generator=self.draws()).head
        return head, seconds + time.perf_counter() - start

    @torch.no_grad()
    def figures(self, head: Head, exact: ExactHead, photo: Tensor) -> dict[str, float]:
        """Of the five views, against the photo [3, S, S] and against the exact ones."""
        index = views_at(exact, VIEWS)
        truth, masks = exact.exact.views.rgb[index], exact.exact.views.mask[index]
        renders = head.render(exact.exact.camera[index], truth.shape[-1], normals=False).rgb
        return {
            **self.judged("against the photo", renders, photo[None], PHOTO_UNITS),
            **self.judged("against the exact views", renders, truth, EXACT_UNITS, reference_masks=masks),
        }

    def judged(
        self, against: str, renders: Tensor, truth: Tensor, units: dict[str, str], **masks: Tensor
    ) -> dict[str, float]:
        """Figures, named by what they compare with.

        Args:
            renders: [V, 3, S, S] in [0, 1]. truth: likewise, or [1, 3, S, S] for all. masks: as `evaluate`.
        """
        values = {figure.metric: figure.value for figure in evaluate(renders, truth, self.judges, **masks)}
        return {f"{metric} {against}": values[metric] for metric in units if metric in values}


def units_of(
    heads: Mapping[str, dict[str, float]] | Mapping[tuple[str, str], dict[str, float]],
) -> dict[str, str]:
    """Of the figures that the first of some heads has."""
    return {metric: unit_of(metric) for metric in next(iter(heads.values()), {})}


def unit_of(metric: str) -> str:
    """Of a figure."""
    return "s" if metric == "time" else EXACT_UNITS.get(metric.partition(" against")[0], "")
