"""`bench texture`: whether the photo as texture brings a mesh nearer to exact views, inside and outside the face, from the photo's side and from aside.

Two meshes of one head that differ in their texture alone, at the size that people get. The face is what of the exact surface lies in an
elliptic cylinder around it, in front of the ears, from wherever it is seen.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ...camera import rays
from ...commands.report import Row
from ...head import Head
from ...mesh.mesh import Mesh
from ...mesh.photo_texture import across_face, with_photo
from ...mesh.rasterize import render_mesh
from ...metrics.image import high_frequency, masked_psnr
from ...portrait import DELIVERED, head_to_mesh
from ...presence import present
from ...synthetic.multiview import MultiView
from ...synthetic.splits import SPLITS
from ..exact_heads import ExactHead
from ..heads import save
from ..options import add_factory, add_split, asked_factory, bench_parser, called
from ..store import HeadBench, difference_rows, mean_rows, store_path
from .photographed import YAWS, Photographed, photographed_head, shortened

FIELD, PHOTO = "the field's texture", "with the photo"
FACE_BACK = 0.02  # z; ears lie behind
UNITS = {f"PSNR {where} the face, {yaw} degrees": "dB" for where in ("inside", "outside") for yaw in YAWS}
DETAIL = "detail's correlation with the exact one, 0 degrees"


def face_masks(views: MultiView) -> Tensor:
    """Where exact views show the face: [V, 1, S, S], 0 or 1."""
    size = views.views.rgb.shape[-1]
    origins, directions = rays(views.camera, size, size)
    points = origins + directions * views.views.ray_distance.movedim(1, -1)
    face = (across_face(points) < 1) & (points[..., 2] > FACE_BACK)
    return face[:, None].to(views.views.mask) * views.views.mask


def pictures(mesh: Mesh, views: MultiView) -> Tensor:
    """A mesh from the cameras of exact views: [V, 3, S, S]."""
    cameras = (views.camera[i] for i in range(len(views.views.rgb)))
    size = views.views.rgb.shape[-1]
    return torch.stack([render_mesh(mesh, one, size).rgb for one in cameras])


def figures(shown: Tensor, views: MultiView) -> dict[str, float]:
    """How near pictures [V, 3, S, S] are to exact ones, inside the face and on the rest of the person."""
    masks, exact = face_masks(views), views.views.rgb
    values = (
        masked_psnr(shown[i, None], exact[i, None], where[i, None])
        for where in (masks, views.views.mask - masks)
        for i in range(len(shown))
    )
    _, correlation = high_frequency(shown[:1], exact[:1], masks[:1])
    return dict(zip(UNITS, values, strict=True)) | {DETAIL: correlation}


def meshes(head: Head) -> dict[str, Mesh]:
    """A head's mesh by row."""
    mesh = head_to_mesh(head, replace(DELIVERED, photo=False))
    portrait = present(head.reference, "a head with its photo", "invert one")
    return {FIELD: mesh, PHOTO: with_photo(mesh, portrait.finest(), portrait.told_mask(), portrait.camera)}


class TextureBench(HeadBench):
    """Two rows. Args: photographed: how heads are inverted."""

    def __init__(
        self, heads: list[ExactHead], store: Path, minutes: float, photographed: Photographed
    ) -> None:
        super().__init__(heads, store, minutes)
        self.photographed = photographed
        self.latest: tuple[ExactHead, dict[str, Mesh]] | None = None

    def meshes(self, exact: ExactHead) -> dict[str, Mesh]:
        """One head's, kept until another is asked for: both rows share an extraction."""
        if self.latest is None or self.latest[0] is not exact:
            self.latest = exact, meshes(self.photographed.head(exact.exact))
        return self.latest[1]

    def measured(self, exact: ExactHead, row: str) -> dict[str, float]:
        """One row of one head."""
        return figures(pictures(self.meshes(exact)[row], exact.exact), exact.exact)

    def run(self) -> None:
        """Head by head, so that a stopped bench has whole heads."""
        for exact in self.heads:
            for row in (FIELD, PHOTO):
                self.fill(row, [exact], lambda exact, row=row: self.measured(exact, row))

    def rows(self) -> list[Row]:
        """Means, and what the photo changes."""
        units = UNITS | {DETAIL: ""}
        rows = [row for name, heads in self.done.items() for row in mean_rows(name, heads, units)]
        with_it, without = self.done.get(PHOTO, {}), self.done.get(FIELD, {})
        return rows + difference_rows(f"{PHOTO} less without", with_it, without, units)

    def draw_sheet(self, path: Path) -> None:
        """A row of pictures for each: the first head's exact views, without the photo and with it."""
        exact = self.heads[0]
        shown = [
            exact.exact.views.rgb,
            *(pictures(mesh, exact.exact) for mesh in self.meshes(exact).values()),
        ]
        save(torch.cat([torch.cat(list(row), -1) for row in shown], -2), path)


def run(arguments: list[str]) -> None:
    """Print the table; what the clock cuts off, the next call goes on with."""
    parser = bench_parser("texture", __doc__)
    add_split(parser)
    add_factory(parser)
    parser.add_argument("--minutes", type=float, default=40, help="begin no head after so long (40)")
    parser.add_argument("--share", type=float, default=1.0, help="of the quick inversion's steps (1)")
    parser.add_argument(
        "--sheet", type=Path, metavar="FILE", help="PNG of the first head: exact, without, with the photo"
    )
    with called(parser, arguments) as options, torch.no_grad():
        config = shortened(options.share)
        photographed = Photographed(config)
        factory = asked_factory(options, photographed.weights.prior)
        heads = [photographed_head(seed, factory) for seed in SPLITS[options.split][: options.count]]
        store = store_path("texture", __file__, (options.share, config))
        bench = TextureBench(heads, store, options.minutes, photographed)
        share = "" if options.share == 1 else f", {options.share:g} of the inversion's steps"
        bench.tell(f"texture{share}", options)
        if options.sheet:
            bench.draw_sheet(options.sheet)
