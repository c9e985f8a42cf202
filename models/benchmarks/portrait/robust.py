"""`bench portrait --robust`: the whole path from photos that are hard, as in Portrait Diffusion's figure 5, on held-out heads.

Photos from the side and from above, people with strong expressions, and painted photos: strong colours in few steps, which the exact views
get as well. Every head is one case's, in turns. All heads are also seen from high and low, where no photo was taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ...camera import orbit
from ...checkpoint import read_tensors, save_tensors
from ...commands.report import Row
from ...commands.run import to_pil
from ...head import Head
from ...synthetic.head import sample_parameters
from ...synthetic.multiview import MultiView
from ...synthetic.rendering import render_head
from ..exact_heads import SIZE, ExactHead, views_at
from ..hpdm.robust import expressive_heads
from ..store import HeadBench, difference_rows, mean_rows
from .stages import EXACT_UNITS, FAST, PRIOR, PortraitStages, units_of

SIDE, ABOVE, EXPRESSION, PAINTED = (
    "photo from 20 degrees aside",
    "photo from 20 degrees above",
    "strong expression",
    "painted",
)
CASES = (SIDE, ABOVE, EXPRESSION, PAINTED)
STEEP = ((30, 30), (-30, 30), (30, -25), (-30, -25))  # degrees of yaw and pitch
HIGH_AND_LOW = "from high and low"
LEVELS = 6  # of each channel
STRONGER = 1.7  # saturation over the photo's
SHOWN = (0, 45, 90, 180)  # degrees of yaw, on the sheet


def painted(image: Tensor) -> Tensor:
    """[..., 3, H, W] both: a change of every pixel by itself, so that views which agree still do."""
    grey = image.mean(-3, keepdim=True)
    return ((grey + STRONGER * (image - grey)).clamp(0, 1) * (LEVELS - 1)).round() / (LEVELS - 1)


def painted_views(views: MultiView) -> MultiView:
    """All views."""
    return replace(views, views=replace(views.views, rgb=painted(views.views.rgb)))


def cases(heads: Sequence[ExactHead], split: str) -> list[tuple[str, ExactHead, ExactHead]]:
    """Case, the photo as a head of one view, and the exact views; heads take the cases in turns."""
    expressive = iter(expressive_heads(split, -(-len(heads) // len(CASES))))
    triples = []
    for i, head in enumerate(heads):
        case = CASES[i % len(CASES)]
        if case == EXPRESSION:
            head = next(expressive)
        elif case == PAINTED:
            head = replace(head, exact=painted_views(head.exact))
        photo = {SIDE: "yaw 20", ABOVE: "pitch 20"}.get(case)
        triples.append((case, head if photo is None else replace(head, exact=head.inputs[photo]), head))
    return triples


class RobustPortraitBench(HeadBench):
    """The prior and `fast`, by case."""

    def __init__(
        self, heads: list[ExactHead], store: Path, minutes: float, stages: PortraitStages, split: str
    ) -> None:
        super().__init__(heads, store, minutes)
        self.stages, self.split = stages, split

    @torch.no_grad()
    def steep(self, head: Head, case: str, seed: int) -> dict[str, float]:
        """Of views from high and low."""
        yaw, pitch = torch.tensor(STEEP).float().deg2rad().unbind(1)
        cameras = orbit(yaw, pitch)
        exact = render_head(sample_parameters(seed), cameras, SIZE)
        truth = painted(exact.rgb) if case == PAINTED else exact.rgb
        renders = head.render(cameras, SIZE, normals=False).rgb
        return self.stages.judged(
            f"against the exact views {HIGH_AND_LOW}", renders, truth, EXACT_UNITS, reference_masks=exact.mask
        )

    def measured(self, case: str, photo: ExactHead, exact: ExactHead, row: str) -> dict[str, float]:
        """One row of one head; its views are kept for the sheet."""
        result, seconds = self.stages.made(photo, row)
        with torch.no_grad():
            views = exact.exact.camera[views_at(exact, SHOWN)]
            save_tensors(
                self.kept(case, exact, row),
                {"rgb": result.render(views, SIZE, normals=False).rgb.contiguous()},
                {},
            )
        picture = photo.exact.views.rgb[photo.exact.frontal]
        return (
            self.stages.figures(result, exact, picture)
            | self.steep(result, case, exact.seed)
            | {"time": seconds}
        )

    def kept(self, case: str, exact: ExactHead, row: str) -> Path:
        """Where a row's views of one head are."""
        return self.store.with_suffix("") / f"{case} {exact.key} {row}.safetensors".replace(" ", "-")

    def run(self) -> None:
        """Head by head."""
        for case, photo, exact in cases(self.heads, self.split):
            for row in (PRIOR, FAST):
                self.fill(
                    f"{case}: {row}",
                    [exact],
                    lambda head, case=case, photo=photo, row=row: self.measured(case, photo, head, row),
                )

    def of_case(self, case: str | None, row: str) -> dict[tuple[str, str], dict[str, float]]:
        """Figures by case and head; of all cases where `case` is None."""
        names = CASES if case is None else (case,)
        return {
            (name, head): figures
            for name in names
            for head, figures in self.done.get(f"{name}: {row}", {}).items()
        }

    def rows(self) -> list[Row]:
        """Of all cases together and of each; `fast` less the prior."""
        rows = []
        for case in (None, *CASES):
            before, after = (self.of_case(case, row) for row in (PRIOR, FAST))
            units = units_of(after)
            name = case or "all"
            rows += mean_rows(f"{name}: {PRIOR}", {key: before[key] for key in after if key in before}, units)
            rows += mean_rows(f"{name}: {FAST}", {key: after[key] for key in after if key in before}, units)
            quality_units = {metric: unit for metric, unit in units.items() if metric != "time"}
            rows += difference_rows(f"{name}: {FAST} less {PRIOR}", after, before, quality_units)
        return rows

    def draw_sheet(self, path: Path, tile: int = 160) -> None:
        """One person a case, as far as the bench has come: photo, then the prior's, `fast`'s and the exact views."""
        lines = []
        for case, photo, exact in cases(self.heads, self.split)[: len(CASES)]:
            paths = [self.kept(case, exact, row) for row in (PRIOR, FAST)]
            if not all(path.is_file() for path in paths):
                continue
            columns = [read_tensors(path, "views")[0]["rgb"] for path in paths]
            truth = exact.exact.views.rgb[views_at(exact, SHOWN)]
            pictures = torch.cat([photo.exact.views.rgb[[photo.exact.frontal]], *columns, truth])
            lines.append(torch.cat(list(F.interpolate(pictures, (tile, tile), mode="area")), -1))
        if lines:
            to_pil(torch.cat(lines, -2)).save(path)
