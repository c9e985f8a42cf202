"""`bench restoration`: geometry restoration on held-out heads, spoilt on purpose and honest, as in Portrait Diffusion's figure 6.

Rows: the prior's head; the same losses into the whole generator; into all of the planes, without the block; into a new block; a block
trained so over several other heads (the paper's sum over I in D), alone; the block that ships, alone; and with the losses, as the node
does it. Errors of depth and normals from 60 to 180 degrees, the face on the back, and the front's PSNR.

What is quick is measured with every fault on every head; what has to be optimised with one fault a head, in turns, and without any.
"spoilt" takes every head with its one.
"""

from __future__ import annotations

import time
from copy import deepcopy
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import torch

from ..checkpoint import load_into, read_tensors, save_tensors
from ..commands.report import Row
from ..diffusion.embedded_zero123 import shipped_zero123
from ..diffusion.new_views import embedded_model
from ..distillation.restoration import Guides, Patient, Restoration, RestorationConfig, restore_geometry
from ..head import Head
from ..metrics import back_face
from ..metrics.geometry import depth_error, normal_error
from ..metrics.image import masked_psnr
from ..presence import present
from ..prior.contract import HeadGenerator
from ..prior.detail_block import DetailBlock, new_block, shipped_detail_block
from ..training.spoilt import KINDS, spoil
from .exact_heads import ExactHead, factory_heads, views_at
from .inverted_heads import InvertedHeads
from .options import called, head_parser, heads_of
from .store import HeadBench, difference_rows, mean_row, mean_rows, store_path

AROUND = (60, -60, 90, -90, 120, -120, 180)  # degrees of yaw
UNITS = {
    "depth error": "units",
    "normal error": "degrees",
    "face on the back": "",
    "front": "dB",
    "time": "s",
}
PRIOR, GENERATOR = "prior", "distillation into the generator"
PLANES, BLOCK = "distillation into all planes", "distillation into a new block"
SEVERAL = "block distilled over several heads, alone"
LEARNT, BOTH = "learnt block alone", "distillation into the learnt block"
ROWS = (PRIOR, GENERATOR, PLANES, BLOCK, SEVERAL, LEARNT, BOTH)
QUICK = (PRIOR, SEVERAL, LEARNT)
SLOWER = 0.25  # rate of the generator's weights over the block's
FASTER = 5  # rate of planes over the block's
HONEST, SPOILT = "honest", "spoilt"
OTHERS, LONGER = 4, 4  # heads of the block over several, one with each fault, and its steps over one head's
COMPARED = tuple((row, PRIOR) for row in ROWS[1:]) + (
    (BOTH, LEARNT),
    (BOTH, BLOCK),
    (BLOCK, PLANES),
    (BLOCK, GENERATOR),
)


def figures(head: Head, exact: ExactHead) -> dict[str, float]:
    """Of all sides."""
    index = views_at(exact, AROUND)
    views = exact.exact.views
    size = views.rgb.shape[-1]
    render = head.render(exact.exact.camera[index], size, raw=True)
    both = views.mask[index] * (render.opacity > 0.5)
    front = exact.exact.frontal
    front_render = head.render(exact.exact.camera[[front]], size, normals=False).rgb
    print_views = head.render(back_face.cameras(), 128, normals=False, raw=True)
    face = back_face.back_face(print_views.rgb[None], print_views.opacity[None], print_views.depth[None])
    return {
        "depth error": depth_error(render.depth, views.ray_distance[index], both),
        "normal error": normal_error(
            present(render.normal, "normals of a render", "ask for them"), views.normal[index], both
        ),
        "face on the back": float(face.score.mean()),
        "front": masked_psnr(front_render, views.rgb[[front]], views.mask[[front]]),
    }


class IntoPlanes(Restoration):
    """The same losses into the planes themselves: what the paper says degrades a pretrained prior."""

    def __init__(
        self, head: Head, guides: Guides, config: RestorationConfig, generator: torch.Generator
    ) -> None:
        super().__init__([head], guides, config, generator)
        self.offset = torch.zeros_like(head.planes).requires_grad_()
        self.learn({"offset": self.offset})
        self.block = lambda planes: planes + self.offset


class IntoGenerator(Restoration):
    """The same losses into all weights that make the planes and read them; what an inversion put beside the generator stays."""

    def __init__(
        self, head: Head, guides: Guides, config: RestorationConfig, generator: torch.Generator
    ) -> None:
        super().__init__([head], guides, config, generator)
        if not isinstance(head.generator, torch.nn.Module) or head.latents is None:
            raise ValueError(
                "bench restoration: expected a head of the embedded prior with its styles, got another; invert one"
            )
        own = deepcopy(head.generator)
        own.requires_grad_(True)
        self.own: HeadGenerator = own
        self.styles = head.latents
        weights = {
            **dict(own.get_submodule("backbone.synthesis").named_parameters()),
            **dict(self.own.decoder.named_parameters(prefix="decoder")),
        }
        with torch.no_grad():
            self.residue = head.planes - self.own.planes(self.styles)
        gradients = torch.autograd.grad(
            self.made(head).planes.sum(), list(weights.values()), allow_unused=True
        )
        self.learn(
            {
                k: p
                for (k, p), g in zip(weights.items(), gradients, strict=True)
                if g is not None or k.startswith("decoder")
            }
        )

    def made(self, head: Head) -> Head:
        """Of the generator as it stands, with a graph."""
        return replace(head, planes=self.own.planes(self.styles) + self.residue, decoder=self.own.decoder)

    def field(self, patient: Patient):
        return self.made(patient.head).field()

    @torch.no_grad()
    def restored(self, patient: Patient) -> Head:
        return replace(self.made(patient.head), generator=self.own)


def without_block(run: Restoration) -> Head:
    """A head restored otherwise."""
    run.complete()
    return run.head()


class RestorationBench(HeadBench):
    """Rows by fault."""

    def __init__(
        self, heads: list[ExactHead], store: Path, minutes: float, config: RestorationConfig
    ) -> None:
        super().__init__(heads, store, minutes)
        self.config = config
        self.inversions = InvertedHeads()
        self.guides = Guides(embedded_model(), shipped_zero123())
        self.shipped_block = shipped_detail_block()
        self.own = {head.key: KINDS[i % len(KINDS)] for i, head in enumerate(heads)}

    @cached_property
    def several(self) -> DetailBlock:
        """Trained by the same losses on validation heads in turns; kept beside the figures."""
        others = factory_heads("validation", OTHERS)
        path = self.store.with_suffix(".block.safetensors")
        heads = [spoil(self.inversions.head(exact), kind) for exact, kind in zip(others, KINDS, strict=True)]
        if not path.is_file():
            longer = replace(self.config, steps=LONGER * self.config.steps)
            _, block = restore_geometry(
                heads, self.guides, longer, generator=torch.Generator().manual_seed(0)
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            save_tensors(path, block.state_dict(), {})
        block = new_block(heads[0].config)
        load_into(block, read_tensors(path, "block over several heads")[0], "block over several heads")
        return block.requires_grad_(False)

    def begun(self, exact: ExactHead, kind: str) -> Head:
        """The head that is to be restored."""
        head = self.inversions.head(exact)
        return head if kind == HONEST else spoil(head, kind)

    def measured(self, exact: ExactHead, kind: str, row: str) -> dict[str, float]:
        """One row of one head."""
        block = self.several if row == SEVERAL else self.shipped_block if row in (LEARNT, BOTH) else None
        head = self.begun(exact, kind)
        draws = torch.Generator().manual_seed(0)
        start = time.perf_counter()
        if row in (BLOCK, BOTH):
            (head,), _ = restore_geometry([head], self.guides, self.config, generator=draws, block=block)
        elif row == PLANES:
            head = without_block(
                IntoPlanes(head, self.guides, replace(self.config, rate=self.config.rate * FASTER), draws)
            )
        elif row == GENERATOR:
            head = without_block(
                IntoGenerator(head, self.guides, replace(self.config, rate=self.config.rate * SLOWER), draws)
            )
        elif block is not None:  # alone
            with torch.no_grad():
                head = replace(head, planes=block(head.planes))
        seconds = time.perf_counter() - start
        return figures(head, exact) | {"time": seconds}

    def run(self) -> None:
        """Head by head."""
        for head in self.heads:
            for kind in (*KINDS, HONEST):
                for row in ROWS if kind in (HONEST, self.own[head.key]) else QUICK:
                    self.fill(
                        f"{kind}: {row}",
                        [head],
                        lambda head, kind=kind, row=row: self.measured(head, kind, row),
                    )

    def found(self, kind: str, row: str) -> dict[str, dict[str, float]]:
        """Figures by head; of "spoilt", every head's with its own fault."""
        if kind != SPOILT:
            return self.done.get(f"{kind}: {row}", {})
        return {
            key: results[key]
            for key, own in self.own.items()
            if key in (results := self.done.get(f"{own}: {row}", {}))
        }

    def rows(self) -> list[Row]:
        """Means, and rows less or over others."""
        rows = [
            one
            for kind in (SPOILT, HONEST, *KINDS)
            for row in ROWS
            for one in mean_rows(f"{kind}: {row}", self.found(kind, row), UNITS)
        ]
        for kind in (SPOILT, HONEST):
            for ours, other in COMPARED:
                after, before = self.found(kind, ours), self.found(kind, other)
                units = {metric: unit for metric, unit in UNITS.items() if metric != "time"}
                rows += difference_rows(f"{kind}: {ours} less {other}", after, before, units)
                shares = [
                    after[head]["depth error"] / before[head]["depth error"]
                    for head in after
                    if head in before
                ]
                if shares:
                    rows.append(
                        mean_row(f"{kind}: {ours} over {other}", "depth error", torch.tensor(shares), "")
                    )
        return rows


def run(arguments: list[str]) -> None:
    """Print the table; what the clock cuts off, the next call goes on with."""
    parser = head_parser("restoration", __doc__)
    parser.add_argument("--steps", type=int, default=RestorationConfig.steps)
    with called(parser, arguments) as options:
        config = RestorationConfig(steps=options.steps)
        heads = heads_of(options)
        bench = RestorationBench(heads, store_path("restoration", __file__, config), options.minutes, config)
        bench.tell(f"restoration, {options.steps} steps", options)
