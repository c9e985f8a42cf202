"""`bench turbo`: one-step refinement of feed-forward renders, as in TurboPortrait3D's tables, on held-out heads.

Table 1: views within 60 degrees, from the frontal picture alone: the feed-forward stage, an inversion, 20-step img2img of the same UNet,
the autoencoder's round trip of the exact views (the ceiling), refined views. Table 2: shares of noise. Figure 6: side views. Ablations:
those that `train turbo --ablation` has left in the cache. `--speed` and `--bake` are tables of their own.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ..checkpoint import shipped
from ..diffusion.turbo_weights import shipped_refiner
from ..metrics.bootstrap import interval
from ..metrics.distribution import kernel_distance
from ..metrics.evaluate import Judges, evaluate, shipped_judges
from ..metrics.perceptual import embedding
from ..training.renders import cache_folder
from ..training.turbo import ABLATIONS, ablation_path
from .prior_heads import ExactHead, factory_heads, folder_heads
from .report import ROOT, Row, finish
from .turbo_bake import bake_rows
from .turbo_flicker import flicker_rows
from .turbo_methods import STEPS, Alone, Made, Methods, novel
from .turbo_pictures import draw_sheet
from .turbo_speed import speed_rows

UNITS = {"L2": "", "PSNR": "dB", "SSIM": "", "perceptual": "", "identity": "", "registration": "s", "generation": "s"}
SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
SIDES = (-90, -60, -30, 30, 60, 90)  # degrees, figure 6
PSNR_LOSS = 0.2  # dB: what refinement may cost against the lower of renders and ceiling
SPREAD = 0.05  # of the perceptual distance over the shares of noise
RENDERS, CEILING, REFINED = "feed-forward renders", "autoencoder's round trip of the exact views", "refined"


def measure(made: Made, exact: Tensor, judges: Judges) -> dict[str, float | list[list[float]]]:
    """Means over a head's views, and their embeddings for the distance between sets."""
    figures = {figure.metric: figure.value for figure in evaluate(made.views, exact, judges)}
    kept = {key: figures[key] for key in UNITS if key in figures}
    return kept | {"registration": made.registration, "generation": made.generation, "embedding": embedded(made.views, judges)}


@torch.no_grad()
def embedded(views: Tensor, judges: Judges) -> list[list[float]]:
    """[V][D] of our perceptual network."""
    return torch.cat([embedding(judges.perceptual, x) for x in views.split(1)]).tolist()


class TurboBench:
    """Heads and a store of figures that a stopped bench goes on from."""

    def __init__(self, heads: list[ExactHead], store: Path, minutes: float) -> None:
        self.heads, self.store, self.methods, self.judges = heads, store, Methods(), shipped_judges()
        self.done: dict[str, dict[str, dict]] = json.loads(store.read_text()) if store.is_file() else {}
        self.until = time.monotonic() + 60 * minutes

    def row(self, name: str, make: Callable[[ExactHead, list[int]], Made], angles: tuple[int, ...] | None = None) -> None:
        """Figures of one row for the heads that have none yet; stops at the clock."""
        kept = self.done.setdefault(name, {})
        for head in self.heads:
            if head.name in kept or time.monotonic() > self.until:
                continue
            index = novel(head, angles)
            kept[head.name] = measure(make(head, index), head.exact.views.rgb[index], self.judges)
            self.store.parent.mkdir(parents=True, exist_ok=True)
            self.store.write_text(json.dumps(self.done))
        print(f"{name}: {len(kept)} heads", flush=True)

    def run(self) -> None:
        """All rows, the cheap ones first."""
        methods = self.methods
        self.row("exact views", lambda head, index: Made(head.exact.views.rgb[index], 0.0, 0.0))
        self.row(RENDERS, methods.renders)
        self.row(CEILING, methods.ceiling)
        self.row(REFINED, methods.refined)
        for r in SHARES:
            self.row(f"table 2: refined, r = {r:g}", lambda head, index, r=r: methods.refined(head, index, r=r))
        for angle in SIDES:
            self.row(f"figure 6: renders at {angle} degrees", methods.renders, (angle,))
        self.row("figure 6: refined, all of these views at once", methods.refined, SIDES)
        for name in ABLATIONS:
            path = ablation_path(name)
            if path.is_file():
                turbo = shipped_refiner(path)
                if name == "no-mixing":
                    turbo = replace(turbo, denoiser=Alone(turbo.denoiser))
                self.row(f"ablation: {name}", lambda head, index, turbo=turbo: methods.refined(head, index, turbo))
        self.row(f"img2img, {STEPS} steps", methods.img2img)
        self.row("inversion, quick", methods.inverted)

    def rows(self) -> list[Row]:
        """The tables, with 95 % intervals over heads."""
        rows = []
        for name, heads in self.done.items():
            for metric, unit in UNITS.items():
                values = torch.tensor([figures[metric] for figures in heads.values() if metric in figures])
                if len(values) and name != "exact views":
                    mean, low, high = interval(values, torch.Generator().manual_seed(0))
                    rows.append(Row(name, metric, mean, unit, low, high, len(values)))
            if name != "exact views":
                rows += self.kernel_row(name)
        return rows + self.against_goals()

    def kernel_row(self, name: str) -> list[Row]:
        """Kernel distance between a row's views and the exact ones of the same heads.

        Its interval is that of halves of the heads, drawn without repeats (as wide as a bootstrap's; repeats would bias the estimator).
        """
        ours, exact = self.done[name], self.done.get("exact views", {})
        both = [head for head in ours if head in exact and len(ours[head]["embedding"]) == len(exact[head]["embedding"])]
        if len(both) < 2:
            return []
        a, b = (torch.tensor([rows[head]["embedding"] for head in both]) for rows in (ours, exact))
        draws, half = torch.Generator().manual_seed(0), max(1, len(both) // 2)
        picks = [torch.randperm(len(both), generator=draws)[:half] for _ in range(200)]
        samples = [kernel_distance(a[pick].flatten(0, 1), b[pick].flatten(0, 1)) for pick in picks]
        low, high = torch.tensor(samples, dtype=torch.float64).quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
        return [Row(name, "kernel distance", kernel_distance(a.flatten(0, 1), b.flatten(0, 1)), "", low, high, len(both))]

    def paired(self, metric: str, ours: str, other: str) -> Row | None:
        """A row's figure less another's, over the heads that both have."""
        a, b = self.done.get(ours, {}), self.done.get(other, {})
        values = torch.tensor([a[head][metric] - b[head][metric] for head in a if head in b and metric in a[head] and metric in b[head]])
        if not len(values):
            return None
        mean, low, high = interval(values, torch.Generator().manual_seed(0))
        return Row(f"{ours} less {other}", metric, mean, UNITS[metric], low, high, len(values))

    def against_goals(self) -> list[Row]:
        """Refined views against every other row, PSNR against the lower of renders and ceiling, and table 2's spread."""
        others = [name for name in self.done if name not in (REFINED, "exact views") and ":" not in name]
        rows = [self.paired(metric, REFINED, other) for metric in ("PSNR", "perceptual", "identity") for other in others]
        refined, renders, ceiling = (self.done.get(name, {}) for name in (REFINED, RENDERS, CEILING))
        both = [head for head in refined if head in renders and head in ceiling]
        if both:
            over = [refined[h]["PSNR"] - min(renders[h]["PSNR"], ceiling[h]["PSNR"]) + PSNR_LOSS for h in both]
            mean, low, high = interval(torch.tensor(over), torch.Generator().manual_seed(0))
            rows.append(
                Row("goal", "PSNR over the lower of renders and ceiling, less 0.2 dB of allowance", mean, "dB", low, high, len(both))
            )
        distances = [
            torch.tensor([f["perceptual"] for f in heads.values()]).mean() for n, heads in self.done.items() if n.startswith("table 2")
        ]
        if len(distances) == len(SHARES):
            spread = (max(distances) / min(distances) - 1).item()
            rows.append(Row("goal, table 2", f"spread of the perceptual distance over r, goal {SPREAD}", spread, ""))
        return [row for row in rows if row is not None]


def state_key(where: str) -> str:
    """What figures depend on: weights, code and settings."""
    digest = hashlib.sha256(where.encode())
    for path in sorted(shipped("prior").parent.glob("*.safetensors")):
        digest.update(path.read_bytes())
    for room in ("field", "prior", "metrics", "synthetic", "diffusion"):
        for path in sorted((ROOT / "models" / room).glob("*.py")):
            digest.update(path.read_bytes())
    for path in (ROOT / "models" / "head.py", Path(__file__), Path(__file__).with_name("turbo_methods.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def parser() -> argparse.ArgumentParser:
    """The bench's options."""
    made = argparse.ArgumentParser(prog="portrait-diffusion bench turbo", description=__doc__)
    made.add_argument("--heads", type=Path, metavar="DIR", help="multi-view head files in place of the factory's heads")
    made.add_argument("--count", type=int, default=24)
    made.add_argument("--split", choices=["held_out", "validation"], default="held_out")
    made.add_argument("--speed", action="store_true", help="instead: seconds of every part, beside the same mixing run view by view")
    made.add_argument("--flicker", action="store_true", help="instead: flicker of a turntable, rendered, refined, and steadied")
    made.add_argument("--bake", action="store_true", help="instead: views never refined, and the mesh, before and after baking")
    made.add_argument("--minutes", type=float, default=40)
    made.add_argument("--threads", type=int, default=0)
    made.add_argument("--json", metavar="FILE")
    made.add_argument("--sheet", type=Path, metavar="FILE", help="PNG: input, renders, refined and exact views of eight heads")
    return made


def run(arguments: list[str]) -> None:
    """Print the table; what the clock cuts off, the next call goes on with."""
    options = parser().parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.speed:
        finish("turbo, speed", speed_rows(), options.json)
        return
    heads = folder_heads(options.heads, options.count) if options.heads else factory_heads(options.split, options.count)
    where = str(options.heads.resolve()) if options.heads else options.split
    if options.flicker:
        finish("turbo, flicker", flicker_rows(Methods(), heads, options.minutes, options.sheet), options.json)
        return
    if options.bake:
        finish("turbo, baked", bake_rows(Methods(), heads, options.minutes), options.json)
        return
    bench = TurboBench(heads, cache_folder() / "bench" / f"turbo-{state_key(where)}.json", options.minutes)
    bench.run()
    finish("turbo", bench.rows(), options.json)
    if options.sheet:
        draw_sheet(bench.methods, heads[:8], options.sheet)
