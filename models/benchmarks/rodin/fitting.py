"""Table 4a of RodinHD: one decoder for many heads, learnt head after head, by replay, and with what is said to help."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from ...avatar.fitting import FitConfig, fit, new_decoder
from ...avatar.new_head import FIELD
from ...avatar.replay import Replay, ReplayConfig
from ...avatar.views import Views
from ...commands.report import Row
from ...head import Head
from ...metrics.image import high_frequency, psnr, ssim
from ...metrics.perceptual import PerceptualNetwork, perceptual_distance, shipped_perceptual
from ...synthetic.factories import Factory
from ...training.avatar_decoder import judged
from ...training.avatar_views import head_views
from ..heads import save
from ..store import HeadBench, difference_rows, mean_rows

NAIVE, LONGER, REPLAY = "naive", "naive, three times the steps", "replay"
DECAY, CONSOLIDATION = "replay + weight decay", "replay + consolidation"
DECAY_SHARE = 1e-2  # of the decoder's weights and its rate, a step
METRICS = {
    "PSNR": "dB",
    "SSIM": "",
    "perceptual distance": "",
    "detail's energy, of the exact one": "",
    "detail's correlation": "",
}
STAGES = ("stage 1", "stage 2, decoder frozen")
FORGOTTEN = "PSNR lost on the first head since its first visit"
UNITS = {f"{metric}, {stage}": unit for stage in STAGES for metric, unit in METRICS.items()} | {
    FORGOTTEN: "dB"
}
BRIGHTEST = 30.0  # dB that is white in the matrix, 0 is black
SQUARE = 24  # pixels of one of its cells


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Attributes: count: heads of each stage. steps: on each. visits: in as many visits. strength: lambda. resolution: of planes."""

    count: int = 16
    steps: int = 600
    visits: int = 30
    strength: float = 0.1
    resolution: int = 64
    rays: int = 1024

    def fit(self) -> FitConfig:
        """Of both stages."""
        return FitConfig(steps=self.steps, rays=self.rays, samples=16, grid=64)

    def replays(self) -> dict[str, ReplayConfig]:
        """How stage 1 goes, by row; all but one take as many steps."""
        naive = ReplayConfig(rounds=1, visit=self.steps, strength=0.0, fit=self.fit())
        visit = max(self.steps // self.visits, 1)
        often = replace(naive, rounds=self.steps // visit, visit=visit)
        return {
            NAIVE: naive,
            LONGER: replace(naive, visit=3 * self.steps),
            REPLAY: often,
            DECAY: replace(often, decay=DECAY_SHARE),
            CONSOLIDATION: replace(often, strength=self.strength),
        }


@dataclass(frozen=True)
class Repeat:
    """One seed of all draws. Attributes: name, key: of it."""

    seed: int

    @property
    def name(self) -> str:
        return f"seed {self.seed}"

    @property
    def key(self) -> str:
        return str(self.seed)


def seeds_of(count: int) -> list[Repeat]:
    """As many repeats."""
    return [Repeat(seed) for seed in range(count)]


def picture(head: Head, views: Views) -> Tensor:
    """A head at views [V], [V, 3, S, S] on white."""
    return head.render(views.cameras, views.mask.shape[-1], normals=False).rgb.clamp(0, 1)


def closeness(head: Head, views: Views, network: PerceptualNetwork) -> dict[str, float]:
    """How near a head's pictures are to exact ones, by `METRICS`."""
    ours, truth = picture(head, views), views.on_white()
    values = (
        psnr(ours, truth),
        ssim(ours, truth),
        perceptual_distance(network, ours, truth).mean().item(),
        *high_frequency(ours, truth, views.mask),
    )
    return dict(zip(METRICS, values, strict=True))


def means(figures: list[dict[str, float]], stage: str) -> dict[str, float]:
    """Over heads, named by the stage."""
    return {f"{metric}, {stage}": sum(one[metric] for one in figures) / len(figures) for metric in METRICS}


class FittingBench(HeadBench[Repeat]):
    """Rows of table 4a; each repeat has other draws. Args: seeds: of the heads of stage 1, and of those that meet its decoder frozen."""

    def __init__(
        self,
        repeats: list[Repeat],
        store: Path,
        minutes: float,
        sizes: Sizes,
        factory: Factory,
        seeds: tuple[range, range],
    ) -> None:
        super().__init__(repeats, store, minutes)
        self.sizes, self.factory, self.seeds = sizes, factory, seeds
        self.field = replace(FIELD, resolution=sizes.resolution)

    @cached_property
    def views(self) -> tuple[list[tuple[Views, Views]], ...]:
        """Of both stages' heads: what they are fitted to, and what judges them."""
        sets = (
            [head_views(self.factory, seed, self.field.box_side) for seed in seeds] for seeds in self.seeds
        )
        return tuple([(one.fitted, one.unseen) for one in heads] for heads in sets)

    @cached_property
    def network(self) -> PerceptualNetwork:
        return shipped_perceptual()

    def measured(self, repeat: Repeat, config: ReplayConfig) -> dict[str, float]:
        """One row of one repeat; figure 2's matrix beside it."""
        taught, met = self.views
        draws = torch.Generator().manual_seed(repeat.seed)
        run = Replay(
            [fitted for fitted, _ in taught], self.field, new_decoder(self.field, draws), config, draws
        )
        matrix: dict[str, float] = {}
        for visit in range(run.visits):
            run.visit()
            first_round = visit < len(run.runs)
            if first_round:
                matrix |= self._column(run, visit)
        figures = [
            closeness(head, unseen, self.network)
            for head, (_, unseen) in zip(run.heads(), taught, strict=True)
        ]
        lost = matrix["0 after 0"] - figures[0]["PSNR"]
        with torch.enable_grad():
            others = [
                fit(fitted, self.field, run.decoder, self.sizes.fit(), generator=draws, start=run.mean())
                for fitted, _ in met
            ]
        later = [closeness(head, unseen, self.network) for head, (_, unseen) in zip(others, met, strict=True)]
        return means(figures, STAGES[0]) | means(later, STAGES[1]) | {FORGOTTEN: lost} | matrix

    def _column(self, run: Replay, visit: int) -> dict[str, float]:
        """PSNR of every head that has been visited, after a visit of the first round."""
        return {
            f"{i} after {visit}": judged(head, unseen)
            for i, (head, (_, unseen)) in enumerate(zip(run.heads(), self.views[0], strict=True))
            if i <= visit
        }

    def run(self) -> None:
        """Repeat by repeat, so that a stopped bench has whole ones."""
        for repeat in self.heads:
            for row, config in self.sizes.replays().items():
                self.fill(row, [repeat], lambda one, config=config: self.measured(one, config))

    def rows(self) -> list[Row]:
        """Means over repeats, and what each part changes."""
        rows = [row for name, figures in self.done.items() for row in mean_rows(name, figures, UNITS)]
        for name, other in ((REPLAY, NAIVE), (REPLAY, LONGER), (DECAY, REPLAY), (CONSOLIDATION, REPLAY)):
            less = self.done.get(name, {}), self.done.get(other, {})
            rows += difference_rows(f"{name} less {other}", *less, UNITS)
        return rows

    def matrix(self, row: str) -> Tensor:
        """PSNR [heads, heads] of head i after visit j of the first round, of the first repeat; 0 before its own visit."""
        figures, count = self.done[row][self.heads[0].key], self.sizes.count
        cells = [[figures.get(f"{i} after {j}", 0.0) for j in range(count)] for i in range(count)]
        return torch.tensor(cells)

    def draw_matrix(self, path: Path) -> None:
        """Figure 2 as a picture: rows are heads, columns visits, naive above replay; the brighter, the nearer (white: 30 dB)."""
        squares = [
            (self.matrix(row) / BRIGHTEST)
            .clamp(0, 1)
            .repeat_interleave(SQUARE, 0)
            .repeat_interleave(SQUARE, 1)
            for row in (NAIVE, REPLAY)
            if row in self.done
        ]
        save(torch.cat(squares)[None].expand(3, -1, -1), path)
