"""`bench hpdm --robust`: drivers and targets off the main path, as in Portrait Diffusion's figure 5, on held-out heads of the factory.

Non-frontal driving views, targets from above and below, and people with strong expressions; depth and coarse renders as in `bench hpdm`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ...camera import orbit
from ...commands.report import Row
from ...commands.run import to_pil
from ...diffusion.hpdm import shipped_hpdm
from ...diffusion.new_views import NewViewConfig, coarse_views, embedded_model, new_view
from ...diffusion.view_priors import projected_view
from ...metrics.evaluate import evaluate, shipped_judges
from ...synthetic.head import PARAMETER_NAMES, sample_parameters
from ...synthetic.rendering import render_head
from ...synthetic.splits import SPLITS
from ..exact_heads import ExactHead, factory_head
from ..inverted_heads import InvertedHeads
from ..store import HeadBench, mean_row

SIZE = 256
POOL = 200  # heads of the split among which the strongest expressions are looked for
UNITS = {"PSNR": "dB", "SSIM": "", "perceptual": "", "identity": ""}
COARSE, TRIVIAL, OURS = "coarse render", "projection over the coarse render", "HPDM that ships, blended"


@dataclass(frozen=True)
class Case:
    """Attributes: driver, target: degrees of yaw and pitch. expressive: whether on people with strong expressions."""

    driver: tuple[float, float]
    target: tuple[float, float]
    expressive: bool = False


CASES = {
    "driver at 45 degrees, target at 80": Case((45, 0), (80, 0)),
    "target from 30 degrees above": Case((0, 0), (30, 30)),
    "target from 25 degrees below": Case((0, 0), (30, -25)),
    "strong expression, target at 30": Case((0, 0), (30, 0), expressive=True),
}


def expression(seed: int) -> float:
    """How strong a factory head's expression is."""
    values = dict(zip(PARAMETER_NAMES, sample_parameters(seed).tolist(), strict=True))
    return abs(values["smile"]) + max(0.0, values["mouth_open"]) + abs(values["brow_raise"])


def expressive_heads(split: str, count: int) -> list[ExactHead]:
    """Those of the first POOL heads of a split with the strongest expressions."""
    return [factory_head(seed) for seed in sorted(SPLITS[split][:POOL], key=expression, reverse=True)[:count]]


class RobustBench(HeadBench):
    """The rows of every case."""

    def __init__(
        self,
        heads: list[ExactHead],
        expressive: list[ExactHead],
        store: Path,
        minutes: float,
        config: NewViewConfig,
    ) -> None:
        super().__init__(heads, store, minutes)
        self.expressive, self.config = expressive, config
        self.inversions = InvertedHeads()
        self.model = embedded_model()
        self.network = shipped_hpdm()
        self.judges = shipped_judges()

    def pictures(self, head: ExactHead, case: Case) -> dict[str, Tensor]:
        """Driver, target, and every row's picture of the target, each [1, 3, S, S]."""
        angles = torch.tensor([case.driver, case.target], dtype=torch.float32).deg2rad()
        cameras = orbit(angles[:, 0], angles[:, 1])
        exact = render_head(sample_parameters(head.seed), cameras, SIZE).rgb
        coarse = coarse_views(self.inversions.head(head), cameras, SIZE)
        driver = coarse.driving(0, exact[0])
        projection = projected_view(driver, driver.to(cameras[1]))
        ours = new_view(
            self.model,
            self.network,
            driver,
            coarse,
            1,
            generator=torch.Generator().manual_seed(0),
            config=self.config,
        )
        trivial = torch.where(projection.known > 0, projection.image, coarse.rgb[1])
        return {
            "driver": exact[:1],
            COARSE: coarse.rgb[1:],
            TRIVIAL: trivial[None],
            OURS: ours.image[None],
            "target": exact[1:],
        }

    def run(self) -> None:
        """All cases."""
        for name, case in CASES.items():

            def figures(head: ExactHead, case: Case = case) -> dict[str, float]:
                with torch.no_grad():
                    pictures = self.pictures(head, case)
                values = {}
                for row in (COARSE, TRIVIAL, OURS):
                    metrics = {
                        figure.metric: figure.value
                        for figure in evaluate(pictures[row], pictures["target"], self.judges)
                    }
                    values |= {f"{row}|{metric}": metrics[metric] for metric in UNITS if metric in metrics}
                return values

            self.fill(name, self.expressive if case.expressive else self.heads, figures)

    def rows(self) -> list[Row]:
        """Every case's rows, and ours less the trivial answer."""
        rows = []
        for name, heads in self.done.items():
            keys = [
                key
                for key in next(iter(heads.values()), {})
                if all(key in figures for figures in heads.values())
            ]
            values = {key: torch.tensor([figures[key] for figures in heads.values()]) for key in keys}
            for key, value in values.items():
                row, _, metric = key.partition("|")
                rows.append(mean_row(f"{name}: {row}", metric, value, UNITS[metric]))
            for metric, unit in UNITS.items():
                ours, other = values.get(f"{OURS}|{metric}"), values.get(f"{TRIVIAL}|{metric}")
                if ours is not None and other is not None:
                    rows.append(mean_row(f"{name}: {OURS} less {TRIVIAL}", metric, ours - other, unit))
        return rows

    def draw_sheet(self, path: Path, tile: int = 160) -> None:
        """Two people a case: driver, coarse render, trivial answer, ours, exact."""
        rows = []
        for case in CASES.values():
            for head in (self.expressive if case.expressive else self.heads)[:2]:
                with torch.no_grad():
                    strip = torch.cat(list(self.pictures(head, case).values()))
                rows.append(torch.cat(list(F.interpolate(strip, (tile, tile), mode="area")), -1))
        to_pil(torch.cat(rows, -2)).save(path)
