"""`bench hpdm`: from the frontal picture to views beside it, as in Portrait Diffusion's table 2a, on held-out heads.

The driving view is the exact frontal picture; depth, coarse render and normals are an inversion's, never the truth's. Rows: the projection
with its voids filled from the coarse render (the trivial answer), the coarse render itself, the UNet alone, the branches one after the
other (those that `train hpdm --ablation` has left in the cache, of one budget), the branches that ship, as drawn and with what is known
laid over it, and the autoencoder's round trip of the exact view (the ceiling).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ...commands.report import Row
from ...commands.run import to_pil
from ...diffusion.autoencoder import decode, encode
from ...diffusion.hpdm import Hpdm, shipped_hpdm
from ...diffusion.new_views import Coarse, NewView, NewViewConfig, coarse_views, embedded_model, new_view
from ...diffusion.view_priors import projected_view
from ...metrics.evaluate import evaluate, shipped_judges
from ...presence import present
from ...training.hpdm import ABLATIONS, ablation_path
from ..exact_heads import ExactHead, angles_degrees
from ..inverted_heads import InvertedHeads
from ..options import called, factory_only, head_parser, heads_of
from ..store import HeadBench, difference_rows, mean_rows, store_path
from .robust import RobustBench, expressive_heads

ANGLES = (30, 45)  # degrees of yaw, to both sides
UNITS = {"PSNR": "dB", "SSIM": "", "perceptual": "", "identity": ""}
TRIVIAL, COARSE, ALONE, CEILING = (
    "projection over the coarse render",
    "coarse render",
    "no HPDM",
    "autoencoder's round trip",
)
SHIPPED, BLENDED = "HPDM that ships", "HPDM that ships, blended"
STEPS = {"explicit": "explicit branch", "geometry": "+ geo-block", "whole": "+ implicit branch"}
TILE = 160


def ways_to_draw(config: NewViewConfig) -> dict[str, tuple[Hpdm | None, NewViewConfig]]:
    """Row -> its branches and settings; only the last one blends."""
    plain = replace(config, blend=0.0)
    network = shipped_hpdm()
    ablations = {
        row: (shipped_hpdm(ablation_path(name)), plain)
        for name, row in STEPS.items()
        if ablation_path(name).is_file()
    }
    return {ALONE: (None, plain), **ablations, SHIPPED: (network, plain), BLENDED: (network, config)}


class HpdmBench(HeadBench):
    """The rows, made from one inversion a head."""

    def __init__(self, heads: list[ExactHead], store: Path, minutes: float, config: NewViewConfig) -> None:
        super().__init__(heads, store, minutes)
        self.inversions = InvertedHeads()
        self.model = embedded_model()
        self.judges = shipped_judges()
        self.coarse: dict[tuple, Coarse] = {}
        self.ways = ways_to_draw(config)

    def seen(self, head: ExactHead, index: list[int]) -> Coarse:
        """What the inversion shows of the frontal view and of some others; rendered once for all rows."""
        key = (head.name, *index)
        if key not in self.coarse:
            self.coarse[key] = self.render(head, index)
        return self.coarse[key]

    def render(self, head: ExactHead, index: list[int]) -> Coarse:
        """Of `seen`."""
        every = [head.exact.frontal, *index]
        return coarse_views(
            self.inversions.head(head), head.exact.camera[every], head.exact.views.rgb.shape[-1]
        )

    def drawn(self, way: str, head: ExactHead, coarse: Coarse) -> list[NewView]:
        """New views of all but the first coarse view."""
        network, config = self.ways[way]
        driver = coarse.driving(0, head.exact.views.rgb[head.exact.frontal])
        draws = torch.Generator().manual_seed(0)
        return [
            new_view(self.model, network, driver, coarse, i, generator=draws, config=config)
            for i in range(1, len(coarse.rgb))
        ]

    def images(self, way: str, head: ExactHead, coarse: Coarse) -> Tensor:
        """The same [V, 3, S, S]."""
        return torch.stack([view.image for view in self.drawn(way, head, coarse)])

    def row(self, name: str, angle: int, make: Callable[[ExactHead, Coarse], Tensor]) -> None:
        """Figures of one row at one angle, both sides.

        Args:
            make: a head and its coarse views [1 + V] -> the row's pictures [V, 3, S, S] in [0, 1].
        """

        def figures(head: ExactHead) -> dict[str, float] | None:
            index = beside(head, angle)
            if index is None:
                return None
            with torch.no_grad():
                views = make(head, self.seen(head, index))
            results = evaluate(views, head.exact.views.rgb[index], self.judges)
            return {figure.metric: figure.value for figure in results if figure.metric in UNITS}

        self.fill(f"{angle} degrees: {name}", self.heads, figures)

    def trivial(self, head: ExactHead, coarse: Coarse) -> Tensor:
        """The projection over the coarse render [V, 3, S, S]."""
        driver = coarse.driving(0, head.exact.views.rgb[head.exact.frontal])
        views = [projected_view(driver, driver.to(coarse.camera[i])) for i in range(1, len(coarse.rgb))]
        return torch.stack(
            [torch.where(view.known > 0, view.image, coarse.rgb[i]) for i, view in enumerate(views, 1)]
        )

    def ceiling(self, head: ExactHead, angle: int) -> Tensor:
        """What the autoencoder leaves of the exact views [V, 3, S, S] at this yaw to both sides.

        Raises:
            ValueError: the head has none.
        """
        index = present(beside(head, angle), f"views at {angle} degrees", "ask of heads that have them")
        return decode(self.model.vae, encode(self.model.vae, head.exact.views.rgb[index]))

    def run(self) -> None:
        """All rows, the cheap ones first."""
        for angle in ANGLES:
            self.row(CEILING, angle, lambda head, coarse, angle=angle: self.ceiling(head, angle))
            self.row(COARSE, angle, lambda head, coarse: coarse.rgb[1:])
            self.row(TRIVIAL, angle, self.trivial)
        for way in self.ways:
            for angle in ANGLES:
                self.row(way, angle, lambda head, coarse, way=way: self.images(way, head, coarse))

    def rows(self) -> list[Row]:
        """The table, and every step less the one before it, with 95 % intervals over heads."""
        rows = [row for name, heads in self.done.items() for row in mean_rows(name, heads, UNITS)]
        steps = [name for name in (ALONE, *STEPS.values()) if name in self.ways]
        pairs = [(b, a) for a, b in pairwise(steps)]
        for angle in ANGLES:
            for ours, other in [*pairs, (BLENDED, TRIVIAL), (BLENDED, COARSE)]:
                rows += self.differences(f"{angle} degrees: {ours}", f"{angle} degrees: {other}")
        return rows

    def differences(self, ours: str, other: str) -> list[Row]:
        """A row less another, over the heads that both have."""
        a, b = self.done.get(ours, {}), self.done.get(other, {})
        return difference_rows(f"{ours} less {other.partition(': ')[2]}", a, b, UNITS)


def beside(head: ExactHead, angle: int) -> list[int] | None:
    """The level views at this yaw to both sides; None where a head has none within 3 degrees."""
    yaw, pitch = angles_degrees(head.exact)
    away = [torch.maximum((yaw - side * angle).abs(), pitch.abs()) for side in (1, -1)]
    return [int(one.argmin()) for one in away] if all(one.min() < 3 for one in away) else None


def draw_sheet(bench: HpdmBench, heads: list[ExactHead], path: Path) -> None:
    """A row per head, as figure 8: driver, projection, coarse render, one picture a way, exact view; at the larger angle."""
    rows = []
    for head in heads:
        index = (beside(head, max(ANGLES)) or [])[:1]
        if not index:
            continue
        coarse = bench.seen(head, index)
        pictures = [bench.drawn(way, head, coarse)[0] for way in bench.ways]
        parts = [
            head.exact.views.rgb[[head.exact.frontal]],
            pictures[0].projected.image[None],
            coarse.rgb[1:],
            *(view.image[None] for view in pictures),
            head.exact.views.rgb[index],
        ]
        rows.append(torch.cat(list(F.interpolate(torch.cat(parts), (TILE, TILE), mode="area")), -1))
    to_pil(torch.cat(rows, -2)).save(path)


def run(arguments: list[str]) -> None:
    """Print the table; what the clock cuts off, the next call goes on with."""
    parser = head_parser("hpdm", __doc__)
    parser.add_argument("--steps", type=int, default=12, help="of DDIM")
    parser.add_argument("--guidance", type=float, default=NewViewConfig.guidance)
    parser.add_argument(
        "--strength", type=float, default=NewViewConfig.strength, help="share of the schedule that is walked"
    )
    parser.add_argument(
        "--sheet",
        type=Path,
        metavar="FILE",
        help="PNG: driver, projection, coarse render, every row and exact view of six heads",
    )
    parser.add_argument(
        "--robust",
        action="store_true",
        help="instead: non-frontal drivers, high and low targets, strong expressions",
    )
    with called(parser, arguments) as options:
        config = NewViewConfig(steps=options.steps, guidance=options.guidance, strength=options.strength)
        ablations = [path for path in map(ablation_path, ABLATIONS) if path.is_file()]
        if options.robust:
            factory_only(options, "hpdm --robust")
            heads = heads_of(options)
            expressive = expressive_heads(options.split, options.count)
            robust = RobustBench(
                heads, expressive, store_path("hpdm-robust", __file__, config), options.minutes, config
            )
            robust.tell("hpdm, robust", options)
            if options.sheet:
                robust.draw_sheet(options.sheet)
            return
        bench = HpdmBench(
            heads_of(options), store_path("hpdm", __file__, config, ablations), options.minutes, config
        )
        bench.tell("hpdm", options)
        if options.sheet:
            draw_sheet(bench, bench.heads[:6], options.sheet)
