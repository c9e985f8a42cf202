"""`bench prior`: from one frontal picture to all sides: how near is the inverted head to the exact one, at every yaw?

Beside it, in the same run: the mean head, the feed-forward encoder alone, the same field fitted to all views (the oracle), and photos
that are not frontal. With `--backs`: is there a face on the back of the prior's heads?
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from ...camera import label_from_camera
from ...commands.report import Row, finish
from ...embedded import load_weights
from ...fitting.inversion_config import PRESETS
from ...head import Head, head_of
from ...metrics.discriminator import discriminator_scores
from ...metrics.geometry import depth_error, silhouette_iou
from ...metrics.image import high_frequency, masked_psnr, psnr, ssim
from ...portrait import Weights
from ...presence import present
from ...prior.contract import average_styles, styles
from ...synthetic.multiview import MultiView
from ..exact_heads import BINS, ExactHead, bin_of
from ..inverted_heads import as_photo, inverted
from ..options import add_factory, asked_factory, called, head_parser, heads_of
from ..store import HeadBench, mean_row, mean_rows, store_path
from .back_faces import back_rows
from .oracle import ORACLE_STEPS, fit_oracle

UNITS = {
    "PSNR": "dB",
    "PSNR in the masks": "dB",
    "SSIM": "",
    "IoU": "",
    "depth error": "mm",
    "fine detail": "",
    "detail correlation": "",
    "critic": "",
    "critic on the exact view": "",
}
GOALS = {  # of a factory's heads, None for others': |yaw| -> dB, PSNR of whole images
    2: {0: 28.0, 45: 24.0, 180: 23.0},
    3: {0: 30.0, 45: 25.0, 180: 25.0},
    None: {0: 26.0, 45: 21.0, 90: 19.0, 180: 20.0},
}
OVER_MEAN = 5.0  # dB, in every bin
DETAIL_IN_FRONT = 0.5
MM_PER_UNIT = 700
GROUP_BINS = ("0", "45", "90", "180")
FEW = 8  # heads of the costly rows
Figures = dict[str, dict[str, float]]  # bin -> metric -> mean over its views


def measure(head: Head, views: MultiView, critic) -> Figures:
    """One head against exact views at their size, averaged within each bin of |yaw|."""
    size = views.views.rgb.shape[-1]
    render = head.render(views.camera, size, normals=False)
    exact_rgb = views.views.rgb
    scores = []
    if size == critic.config.resolution:
        labels = label_from_camera(views.camera)
        scores = [discriminator_scores(critic, rgb, labels) for rgb in (render.rgb, exact_rgb)]
    bins: dict[str, list[dict[str, float]]] = {}
    for i, bin_degrees in enumerate(bin_of(views)):
        rgb, opacity, depth = (x[i : i + 1] for x in (render.rgb, render.opacity, render.depth))
        exact, mask, distance = (
            x[i : i + 1] for x in (exact_rgb, views.views.mask, views.views.ray_distance)
        )
        union, both = torch.maximum(mask, (opacity > 0.5).float()), mask * (opacity > 0.5)
        figures = {
            "PSNR": psnr(rgb, exact),
            "PSNR in the masks": masked_psnr(rgb, exact, union),
            "SSIM": ssim(rgb, exact),
            "IoU": silhouette_iou(opacity, mask),
        }
        if both.any():  # an empty head has neither depth nor detail
            share, correlation = high_frequency(rgb, exact, both)
            error = MM_PER_UNIT * depth_error(depth, distance, both)
            figures |= {"depth error": error, "fine detail": share, "detail correlation": correlation}
        if scores:
            figures |= {"critic": scores[0][i].item(), "critic on the exact view": scores[1][i].item()}
        bins.setdefault(str(bin_degrees), []).append(figures)
    return {b: averaged(many) for b, many in bins.items()}


def averaged(many: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each figure over those that have it."""
    keys = {key: None for one in many for key in one}
    return {
        key: sum(one[key] for one in many if key in one) / sum(key in one for one in many) for key in keys
    }


class Bench(HeadBench):
    """Weights, and how a head is made from a picture. Args: few: heads of the costly rows. goals: of `GOALS`."""

    def __init__(
        self,
        weights: Weights,
        preset: str,
        heads: list[ExactHead],
        store: Path,
        minutes: float,
        few: int = FEW,
        goals: Mapping[int, float] = GOALS[2],
    ) -> None:
        super().__init__(heads, store, minutes)
        self.goals = goals
        self.weights, self.preset, self.few = weights, preset, heads[:few]

    def row(self, name: str, make: Callable[[ExactHead], Head | None], heads: list[ExactHead]) -> None:
        """Figures of one row for the heads that have none yet; stops at the clock."""

        def figures(head: ExactHead) -> Figures | None:
            result = make(head)
            return None if result is None else measure(result, head.exact, self.weights.critic)

        self.fill(name, heads, figures)

    def inverted(self, views: MultiView, index: int) -> Head:
        """The main path's head from one view."""
        return inverted(self.weights, views, index, self.preset)

    @torch.no_grad()
    def of_styles(self, ws: Tensor) -> Head:
        """The prior's head of styles [1, num_ws, w_dim]."""
        return head_of(self.weights.prior, ws)

    @torch.no_grad()
    def encoded(self, views: MultiView) -> Head:
        """The feed-forward head of the frontal view."""
        encoder = present(self.weights.encoder, "an encoder beside the prior", "bench the prior that ships")
        code, _ = encoder(as_photo(views, views.frontal).on_white()[None])
        return self.of_styles(styles(self.weights.prior, code))

    def mean_head(self) -> Head:
        """The head of the mean style."""
        return self.of_styles(average_styles(self.weights.prior))

    def run(self) -> None:
        """All rows, the cheap ones first."""
        self.row("mean head", lambda head: self.mean_head(), self.heads)
        self.row("encoder alone", lambda head: self.encoded(head.exact), self.heads)
        self.row(
            f"inversion, {self.preset}",
            lambda head: self.inverted(head.exact, head.exact.frontal),
            self.heads,
        )
        oracle = f"oracle, {ORACLE_STEPS} steps on all views"
        self.row(oracle, lambda head: fit_oracle(self.encoded(head.exact), head.exact), self.few)
        for name in sorted({key for head in self.heads for key in head.inputs}):
            self.row(
                f"from {name}",
                lambda head, name=name: self.inverted(head.inputs[name], 0) if name in head.inputs else None,
                self.few,
            )

    def rows(self) -> list[Row]:
        """The table, with 95 % intervals over heads."""
        rows = []
        for name, heads in self.done.items():
            for b in map(str, BINS):
                having = {key: figures[b] for key, figures in heads.items() if b in figures}
                rows += mean_rows(f"{name}, |yaw| {b}", having, UNITS)
        inversion = f"inversion, {self.preset}"
        by_group = group_rows(inversion, self.done.get(inversion, {}), self.heads)
        return rows + by_group + against_goals(self.done, inversion, self.goals)


def group_rows(name: str, figures: dict[str, Figures], heads: list[ExactHead]) -> list[Row]:
    """PSNR of every group of heads, and how far it lies from the mean of all, at the bins that goals are about."""
    groups: dict[str, list[str]] = {}
    for head in heads:
        if head.key in figures:
            for kind, group in head.groups.items():
                groups.setdefault(f"{kind} {group}", []).append(head.key)
    rows = []
    for b in GROUP_BINS:
        values = {key: bins[b]["PSNR"] for key, bins in figures.items() if b in bins}
        for group, keys in sorted(groups.items()):
            of_group = torch.tensor([values[key] for key in keys if key in values])
            if len(of_group):
                mean = torch.tensor(list(values.values())).mean()
                title = f"{name}, {group}, |yaw| {b}"
                rows.append(mean_row(title, "PSNR", of_group, "dB"))
                rows.append(mean_row(title, "PSNR less all heads'", of_group - mean, "dB"))
    return rows


def against_goals(table: dict[str, dict[str, Figures]], row: str, goals: Mapping[int, float]) -> list[Row]:
    """The inversion's figures less what they should reach at least, over the heads that both rows have."""
    ours, mean = table.get(row, {}), table.get("mean head", {})
    rows = []
    for b in BINS:
        key = str(b)
        both = [name for name in ours if key in ours[name] and key in mean.get(name, {})]
        if not both:
            continue
        psnr_of = torch.tensor([ours[name][key]["PSNR"] for name in both])
        over = psnr_of - torch.tensor([mean[name][key]["PSNR"] for name in both])
        checks = [("PSNR over the mean head's, less the goal", over - OVER_MEAN)]
        if b in goals:
            checks.append(("PSNR less the goal", psnr_of - goals[b]))
        rows += [mean_row(f"goal, |yaw| {b}", metric, values, "dB") for metric, values in checks]
        if b == 0:
            detail = torch.tensor([ours[name][key]["fine detail"] for name in both]) - DETAIL_IN_FRONT
            rows.append(mean_row("goal, |yaw| 0", "fine detail less the goal", detail, ""))
    return rows


def run(arguments: list[str]) -> None:
    """Print the table; what the clock cuts off, the next call goes on with."""
    parser = head_parser("prior", __doc__)
    parser.add_argument(
        "--few", type=int, default=FEW, help="heads of the oracle and of photos that are not frontal"
    )
    parser.add_argument("--preset", choices=list(PRESETS), default="quick")
    parser.add_argument(
        "--backs",
        type=int,
        default=0,
        metavar="N",
        help="instead: the face-on-the-back metric on N samples of the prior",
    )
    parser.add_argument(
        "--sheet", type=Path, metavar="FILE", help="PNG: eight heads beside their truth at seven yaws"
    )
    add_factory(parser)
    with called(parser, arguments) as options:
        weights = load_weights(torch.device("cpu"))
        if options.backs:
            finish("prior, backs", back_rows(weights.prior, options.backs), options.json)
            return
        store = store_path("prior", __file__, (options.preset, PRESETS[options.preset]))
        factory = None if options.heads else asked_factory(options, weights.prior)
        heads = heads_of(options, factory or 2)
        goals = GOALS[factory]
        bench = Bench(weights, options.preset, heads, store, options.minutes, options.few, goals)
        bench.tell("prior", options)
        if options.sheet:
            from .sheet import draw_sheet  # inverts eight heads again

            pairs = [(head, bench.inverted(head.exact, head.exact.frontal)) for head in bench.heads[:8]]
            draw_sheet(pairs, options.sheet)
