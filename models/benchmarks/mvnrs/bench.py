"""`bench mvnrs`: whose noise views are denoised from, as in Portrait Diffusion's table 2b, on held-out heads.

Every row refines the same inversion for as many iterations with as many calls of the UNet: fresh noise, anchors alone, anchors resampled,
MV-NRS; and, with more calls, MV-NRS beside the paper's image-supervised multi-step loss. What is judged are views that no row has
optimised. `--speed`: seconds of an iteration beside plain score distillation's. `--targets`: how good what views are pulled to is.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path

import torch

from ...camera import label_from_camera
from ...commands.report import Row, finish
from ...diffusion.hpdm import shipped_hpdm
from ...diffusion.new_views import embedded_model
from ...distillation.head_scene import RefineConfig
from ...distillation.noise_resampling import Iteration, renewed_share
from ...distillation.refinement import PRESETS, refine
from ...fitting.run import Progress
from ...head import Head
from ...metrics.discriminator import discriminator_score
from ...metrics.evaluate import evaluate, shipped_judges
from ...metrics.image import high_frequency
from ...metrics.niqe import niqe, shipped_niqe
from ...prior.discriminator import shipped_critic
from ..exact_heads import YAWS, ExactHead, views_at
from ..inverted_heads import InvertedHeads
from ..options import called, factory_only, head_parser, heads_of
from ..store import HeadBench, difference_rows, mean_rows, store_path
from .speed import speed_rows
from .targets import TargetBench

APART = 10  # least degrees of yaw between a view that is judged and those that are optimised
UNITS = {
    "PSNR": "dB",
    "SSIM": "",
    "perceptual": "",
    "NIQE": "",
    "discriminator score": "",
    "detail, share": "",
    "detail, right": "",
    "time": "s",
}
BEFORE = "inversion"
ROWS = {
    "random": "random noise",
    "anchor": "anchor noise alone",
    "resampled": "resampled alone",
    "mvnrs": "MV-NRS",
}
MORE = "MV-NRS and the multi-step loss"  # which asks the UNet once more
MULTI_STEP = 0.5  # weight of that loss


def looked_at(views: int) -> list[int]:
    """Degrees of yaw that the factory renders, apart from a ring of so many views."""
    return [yaw for yaw in YAWS if abs(math.remainder(yaw, 360 / views)) >= APART]


class MvnrsBench(HeadBench):
    """The rows of every head."""

    def __init__(self, heads: list[ExactHead], store: Path, minutes: float, config: RefineConfig) -> None:
        super().__init__(heads, store, minutes)
        self.config = config
        self.inversions = InvertedHeads()
        self.model = embedded_model()
        self.network = shipped_hpdm()
        self.judges = shipped_judges()
        self.statistics = shipped_niqe()
        self.critic = shipped_critic()

    @torch.no_grad()
    def figures(self, head: Head, exact: ExactHead) -> dict[str, float]:
        """Of views that nobody optimised."""
        index = views_at(exact, looked_at(self.config.views))
        cameras, truth, mask = (
            exact.exact.camera[index],
            exact.exact.views.rgb[index],
            exact.exact.views.mask[index],
        )
        renders = head.render(cameras, truth.shape[-1], normals=False).rgb
        values = {figure.metric: figure.value for figure in evaluate(renders, truth, self.judges)}
        share, right = high_frequency(renders, truth, mask)
        return {key: values[key] for key in UNITS if key in values} | {
            "NIQE": niqe(renders, self.statistics, mask).mean().item(),
            "discriminator score": discriminator_score(self.critic, renders, label_from_camera(cameras)),
            "detail, share": share,
            "detail, right": right,
        }

    def refined(self, exact: ExactHead, config: RefineConfig) -> dict[str, float]:
        """One row."""
        draws = torch.Generator().manual_seed(0)
        shares = []

        def after(now: Progress[Iteration]) -> None:
            if now.report is not None:
                shares.append(renewed_share(now.report.verdicts))

        start = time.perf_counter()
        result = refine(
            self.inversions.head(exact), self.model, self.network, config, generator=draws, callback=after
        ).head
        seconds = time.perf_counter() - start
        share = torch.tensor(shares).nanmean().item()
        return (
            self.figures(result, exact)
            | {"time": seconds}
            | ({} if math.isnan(share) else {"renewed": share})
        )

    def run(self) -> None:
        """Head by head, so that a stopped bench has whole heads."""
        for head in self.heads:
            self.fill(BEFORE, [head], lambda head: self.figures(self.inversions.head(head), head))
            for strategy, name in ROWS.items():
                self.fill(
                    name,
                    [head],
                    lambda head, strategy=strategy: self.refined(
                        head, replace(self.config, strategy=strategy)
                    ),
                )
            self.fill(
                MORE, [head], lambda head: self.refined(head, replace(self.config, multi_step=MULTI_STEP))
            )

    def rows(self) -> list[Row]:
        """Means, and MV-NRS less every other row, over the heads that both have."""
        ours = self.done.get(ROWS["mvnrs"], {})
        rows = [
            row
            for name, heads in self.done.items()
            for row in mean_rows(name, heads, UNITS | {"renewed": ""})
        ]
        for name, heads in self.done.items():
            if name != ROWS["mvnrs"]:
                rows += difference_rows(f"{ROWS['mvnrs']} less {name}", ours, heads, UNITS)
        return rows


def run(arguments: list[str]) -> None:
    """Print the table; what the clock cuts off, the next call goes on with."""
    parser = head_parser("mvnrs", __doc__)
    parser.add_argument("--preset", choices=PRESETS, default="fast")
    parser.add_argument("--iterations", type=int, help="of all views, where the preset's are too many")
    parser.add_argument(
        "--speed",
        action="store_true",
        help="instead: seconds of an iteration beside plain score distillation",
    )
    parser.add_argument(
        "--targets", action="store_true", help="instead: how good the first targets are, beside the renders"
    )
    with called(parser, arguments) as options:
        if options.targets:
            factory_only(options, "mvnrs --targets")
        config = PRESETS[options.preset]
        heads = heads_of(options)
        if options.iterations:
            config = replace(config, iterations=options.iterations)
        if options.speed:
            finish("mvnrs, speed", speed_rows(heads[0], config), options.json)
        elif options.targets:
            store = store_path("mvnrs-targets", __file__, config)
            TargetBench(heads, store, options.minutes, config).tell(
                f"mvnrs, targets, {options.preset}", options
            )
        else:
            bench = MvnrsBench(heads, store_path("mvnrs", __file__, config), options.minutes, config)
            bench.tell(f"mvnrs, {options.preset}, {config.iterations} iterations", options)
