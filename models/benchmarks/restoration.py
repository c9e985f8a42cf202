"""`bench restoration`: geometry restoration on heads spoilt on purpose and on honest inversions, held-out, as in Portrait Diffusion's figure 6.

Rows: the prior's head; the same losses into all of the planes, without the block; into the block. Errors of depth and normals from 60 to
180 degrees, the face on the back, and the front's PSNR.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import torch

from ..checkpoint import shipped
from ..diffusion.embedded_zero123 import shipped_zero123
from ..diffusion.new_views import embedded_model
from ..distillation.restoration import Guides, Restoration, RestorationConfig, restore_geometry
from ..head import Head
from ..metrics import back_face
from ..metrics.geometry import depth_error, normal_error
from ..metrics.image import masked_psnr
from ..training import spoilt
from ..training.local import parsed
from ..training.spoilt import KINDS, spoil
from .head_bench import HeadBench, head_parser, heads_of, mean_row, store_path
from .inverted_heads import InvertedHeads
from .prior_heads import ExactHead, views_at
from .report import Row, finish

AROUND = (60, -60, 90, -90, 120, -120, 180)  # degrees of yaw
UNITS = {"depth error": "units", "normal error": "degrees", "face on the back": "", "front": "dB", "time": "s"}
PRIOR, PLANES, BLOCK = "prior", "distillation into all planes", "distillation into the block"
HONEST = "honest"


def figures(head: Head, exact: ExactHead) -> dict[str, float]:
    """Of all sides."""
    index = views_at(exact, AROUND)
    views = exact.exact.views
    size = views.rgb.shape[-1]
    seen = head.render(exact.exact.camera[index], size, raw=True)
    both = views.mask[index] * (seen.opacity > 0.5)
    front = exact.exact.frontal
    shown = head.render(exact.exact.camera[[front]], size, normals=False).rgb
    print_views = head.render(back_face.cameras(), 128, normals=False, raw=True)
    face = back_face.back_face(print_views.rgb[None], print_views.opacity[None], print_views.depth[None])
    return {
        "depth error": depth_error(seen.depth, views.ray_distance[index], both),
        "normal error": normal_error(seen.normal, views.normal[index], both),
        "face on the back": float(face.score.mean()),
        "front": masked_psnr(shown, views.rgb[[front]], views.mask[[front]]),
    }


class IntoPlanes(Restoration):
    """The same losses into the planes themselves: what the paper says degrades a pretrained prior."""

    def __init__(self, head: Head, guides: Guides, config: RestorationConfig, generator: torch.Generator) -> None:
        super().__init__([head], guides, config, generator)
        self.offset = torch.zeros_like(head.planes).requires_grad_()
        self.learnt = {"offset": self.offset}
        self.moments = {"offset": (torch.zeros_like(self.offset), torch.zeros_like(self.offset))}
        self.block = lambda planes: planes + self.offset


def into_planes(head: Head, guides: Guides, config: RestorationConfig, generator: torch.Generator) -> Head:
    """A head restored without the block."""
    run = IntoPlanes(head, guides, config, generator)
    while run.step_count < config.steps:
        run.step()
    return run.restored(run.patients[0])


class RestorationBench(HeadBench):
    """Rows by fault."""

    def __init__(self, heads: list[ExactHead], store: Path, minutes: float, config: RestorationConfig) -> None:
        super().__init__(heads, store, minutes)
        self.config, self.inverted = config, InvertedHeads()
        self.guides = Guides(embedded_model(), shipped_zero123())

    def begun(self, exact: ExactHead, kind: str) -> Head:
        """The head that is to be restored."""
        head = self.inverted.head(exact)
        return head if kind == HONEST else spoil(head, kind)

    def measured(self, exact: ExactHead, kind: str, row: str) -> dict[str, float]:
        """One row of one head."""
        head, draws, started = self.begun(exact, kind), torch.Generator().manual_seed(0), time.perf_counter()
        if row == BLOCK:
            (head,), _ = restore_geometry([head], self.guides, self.config, generator=draws)
        elif row == PLANES:
            head = into_planes(head, self.guides, replace(self.config, rate=self.config.rate * 5), draws)
        seconds = time.perf_counter() - started
        return figures(head, exact) | {"time": seconds}

    def run(self) -> None:
        """Head by head."""
        for head in self.heads:
            for kind in (*KINDS, HONEST):
                for row in (PRIOR, BLOCK, PLANES):
                    self.fill(f"{kind}: {row}", [head], lambda head, kind=kind, row=row: self.measured(head, kind, row))

    def rows(self) -> list[Row]:
        """Means, and the block less the prior."""
        rows = [
            mean_row(name, metric, torch.tensor([found[metric] for found in heads.values()]), unit)
            for name, heads in self.done.items()
            for metric, unit in UNITS.items()
            if heads
        ]
        for kind in (*KINDS, HONEST):
            ours, before = (self.done.get(f"{kind}: {row}", {}) for row in (BLOCK, PRIOR))
            for metric, unit in UNITS.items():
                pairs = [ours[head][metric] - before[head][metric] for head in ours if head in before]
                if pairs and metric != "time":
                    rows.append(mean_row(f"{kind}: {BLOCK} less {PRIOR}", metric, torch.tensor(pairs), unit))
        return rows


def run(arguments: list[str]) -> None:
    """Print the table; what the clock cuts off, the next call goes on with."""
    parser = head_parser("restoration", __doc__)
    parser.add_argument("--steps", type=int, default=RestorationConfig.steps)
    options = parsed(parser, arguments)
    config, heads = RestorationConfig(steps=options.steps), heads_of(options)
    weights = sorted(shipped("prior").parent.glob("*.safetensors"))
    rooms = ["field", "prior", "metrics", "synthetic", "diffusion", "distillation"]
    code = [Path(__file__), Path(spoilt.__file__)]
    bench = RestorationBench(heads, store_path("restoration", options, repr(config), weights, rooms, code), options.minutes, config)
    bench.run()
    finish(f"restoration, {options.steps} steps", bench.rows(), options.json)
