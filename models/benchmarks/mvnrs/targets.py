"""`bench mvnrs --targets`: how good the pictures are that a refinement's first iteration pulls its views to, on held-out heads.

A refined head can become what its targets are and no better. So the views of a ring, as the factory renders them exactly, are compared with
the head's renders, with those through the autoencoder and back, with what the photo and neighbours show laid over the renders, and with
targets from several timesteps: as drawn, and with what is known laid over them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ...commands.report import Row
from ...diffusion.autoencoder import decode, encode
from ...diffusion.hpdm import shipped_hpdm
from ...diffusion.new_views import blended, embedded_model
from ...distillation.head_scene import RefineConfig
from ...distillation.noise_resampling import UNDRIVEN
from ...distillation.refinement import Refinement
from ...metrics.evaluate import evaluate, shipped_judges
from ...metrics.image import high_frequency, masked_psnr
from ...metrics.niqe import niqe, shipped_niqe
from ...synthetic.head import sample_parameters
from ...synthetic.rendering import render_head
from ..exact_heads import ExactHead
from ..inverted_heads import InvertedHeads
from ..store import HeadBench, difference_rows, mean_rows

UNITS = {"PSNR": "dB", "perceptual": "", "NIQE": "", "detail, share": "", "detail, right": ""}
SHARES = (0.05, 0.15, 0.35)  # of the schedule
RENDER, ROUND_TRIP, EXACT = "render", "render through the autoencoder", "exact view through the autoencoder"
LAID = "what is known laid over the render"


class TargetBench(HeadBench):
    """Rows of pictures of the ring's views, all but the photo's own."""

    def __init__(self, heads: list[ExactHead], store: Path, minutes: float, config: RefineConfig) -> None:
        super().__init__(heads, store, minutes)
        self.config = config
        self.inversions = InvertedHeads()
        self.model = embedded_model()
        self.network = shipped_hpdm()
        self.judges = shipped_judges()
        self.statistics = shipped_niqe()

    @torch.no_grad()
    def pictures(self, exact: ExactHead) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Every row's pictures [V, 3, S, S], the exact ones, and their masks."""
        draws = torch.Generator().manual_seed(0)
        run = Refinement(self.inversions.head(exact), self.model, self.network, self.config, draws)
        run.start()
        run.scene.begin(draws)
        scene = run.scene
        vae = self.model.vae
        driver = dict(run.scene.order)
        views = [view for view, driver in scene.order if driver != UNDRIVEN]
        looks = {view: scene.look([view])[0] for view, _ in scene.order} | {0: scene.photo}
        drivers = [looks[driver[view]] for view in views]
        noise = torch.stack([run.view_states[view].anchor for view in views])
        renders = torch.stack([looks[view] for view in views])
        truth = render_head(sample_parameters(exact.seed), scene.pixels.cameras[views], self.config.size)

        def through(pictures: Tensor) -> Tensor:
            return torch.cat([decode(vae, encode(vae, one[None])) for one in pictures])

        def laid(pictures: Tensor) -> Tensor:
            projections = scene.denoiser.priors(views, drivers)[1]
            return torch.stack(
                [
                    blended(one, view, self.config.blend)
                    for one, view in zip(pictures, projections, strict=True)
                ]
            )

        rows = {
            RENDER: renders,
            ROUND_TRIP: through(renders),
            EXACT: through(truth.rgb),
            LAID: laid(renders),
        }
        scene.denoiser.config = replace(self.config, blend=0.0)
        for share in SHARES:
            sample = scene.denoise(views, noise, round(share * len(self.model.denoiser.schedule)), drivers)
            rows |= {f"drawn from t = {share}": sample, f"target from t = {share}": laid(sample)}
        return rows, truth.rgb, truth.mask

    @torch.no_grad()
    def figures(self, pictures: Tensor, truth: Tensor, mask: Tensor) -> dict[str, float]:
        """One row's: pictures, truth [V, 3, S, S] in [0, 1]; mask [V, 1, S, S]."""
        metrics = {figure.metric: figure.value for figure in evaluate(pictures, truth, self.judges)}
        share, right = high_frequency(pictures, truth, mask)
        return {
            "PSNR": masked_psnr(pictures, truth, mask),
            "perceptual": metrics["perceptual"],
            "NIQE": niqe(pictures, self.statistics, mask).mean().item(),
            "detail, share": share,
            "detail, right": right,
        }

    def run(self) -> None:
        """Head by head; all rows of one are made together."""

        def measured(exact: ExactHead) -> dict:
            pictures, truth, mask = self.pictures(exact)
            return {row: self.figures(picture, truth, mask) for row, picture in pictures.items()}

        self.fill("targets", self.heads, measured)

    def rows(self) -> list[Row]:
        """Means, and each row less the render."""
        heads = self.done.get("targets", {})
        names = next(iter(heads.values()), {})
        figures = {row: {head: rows[row] for head, rows in heads.items()} for row in names}
        rows = [one for row in names for one in mean_rows(row, figures[row], UNITS)]
        for row in names:
            if row not in (RENDER, EXACT):
                rows += difference_rows(f"{row} less {RENDER}", figures[row], figures[RENDER], UNITS)
        return rows
