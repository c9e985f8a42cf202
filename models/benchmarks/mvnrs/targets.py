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
        self.config, self.inverted, self.model, self.network = (
            config,
            InvertedHeads(),
            embedded_model(),
            shipped_hpdm(),
        )
        self.judges, self.statistics = shipped_judges(), shipped_niqe()

    @torch.no_grad()
    def pictures(self, exact: ExactHead) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Every row's pictures [V, 3, S, S], the exact ones, and their masks."""
        draws = torch.Generator().manual_seed(0)
        run = Refinement(self.inverted.head(exact), self.model, self.network, self.config, draws)
        run.start()
        run.scene.begin(draws)
        scene, vae, driver = run.scene, self.model.vae, dict(run.scene.order)
        views = [view for view, driver in scene.order if driver != UNDRIVEN]
        seen = {view: scene.look([view])[0] for view, _ in scene.order} | {0: scene.photo}
        told, noise = (
            [seen[driver[view]] for view in views],
            torch.stack([run.view_states[view].anchor for view in views]),
        )
        renders = torch.stack([seen[view] for view in views])
        truth = render_head(sample_parameters(exact.seed), scene.pixels.cameras[views], self.config.size)

        def through(pictures: Tensor) -> Tensor:
            return torch.cat([decode(vae, encode(vae, one[None])) for one in pictures])

        def laid(pictures: Tensor) -> Tensor:
            known = scene.denoiser.priors(views, told)[1]
            return torch.stack(
                [blended(one, view, self.config.blend) for one, view in zip(pictures, known, strict=True)]
            )

        found = {
            RENDER: renders,
            ROUND_TRIP: through(renders),
            EXACT: through(truth.rgb),
            LAID: laid(renders),
        }
        scene.denoiser.config = replace(self.config, blend=0.0)
        for share in SHARES:
            drawn = scene.denoise(views, noise, round(share * len(self.model.denoiser.schedule)), told)
            found |= {f"drawn from t = {share}": drawn, f"target from t = {share}": laid(drawn)}
        return found, truth.rgb, truth.mask

    @torch.no_grad()
    def figures(self, shown: Tensor, truth: Tensor, mask: Tensor) -> dict[str, float]:
        """Of one row's pictures: shown, truth [V, 3, S, S] in [0, 1]; mask [V, 1, S, S]."""
        judged = {figure.metric: figure.value for figure in evaluate(shown, truth, self.judges)}
        share, right = high_frequency(shown, truth, mask)
        return {
            "PSNR": masked_psnr(shown, truth, mask),
            "perceptual": judged["perceptual"],
            "NIQE": niqe(shown, self.statistics, mask).mean().item(),
            "detail, share": share,
            "detail, right": right,
        }

    def run(self) -> None:
        """Head by head; all rows of one are made together."""

        def measured(exact: ExactHead) -> dict:
            found, truth, mask = self.pictures(exact)
            return {row: self.figures(shown, truth, mask) for row, shown in found.items()}

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
