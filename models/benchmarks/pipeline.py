"""`bench pipeline`: seconds and memory of every stage of the main path, without ComfyUI, on held-out heads."""

from __future__ import annotations

import time

import torch

from ..commands.report import Row, finish
from ..embedded import load_weights
from ..fitting.inversion_config import PRESETS, InversionConfig
from ..mesh.rasterize import render_mesh
from ..metrics.image import masked_psnr, psnr
from ..portrait import MeshConfig, Weights, portrait_to_3d
from ..synthetic.splits import SHIPPED
from .exact_heads import frontal_photo
from .memory import peak_bytes
from .options import bench_parser, called, positive


def head_rows(weights: Weights, seed: int, config: InversionConfig) -> list[Row]:
    """Of the whole path from one factory head's picture."""
    photo = frontal_photo(seed)
    marks: list[tuple[str, float]] = []
    result = portrait_to_3d(
        photo,
        weights,
        config,
        MeshConfig(),
        generator=torch.Generator().manual_seed(0),
        stage=lambda name: marks.append((name, time.perf_counter())),
    )
    ends = [*(moment for _, moment in marks[1:]), time.perf_counter()]
    head = f"seed {seed}"
    rows = [
        Row(f"{head}: {name}", "time", end - start, "s")
        for (name, start), end in zip(marks, ends, strict=True)
    ]
    camera = result.reference.camera
    photo = result.reference.on_white()
    mask = result.reference.mask
    view = result.head.render(camera[None], 256, normals=False).rgb
    field = result.head.render(
        camera[None], 256, raw=True, normals=False
    ).rgb  # the mesh's colours are the field's
    mesh = render_mesh(result.mesh, camera, 256).rgb[None]
    return [
        *rows,
        Row(f"{head}: all stages", "time", ends[-1] - marks[0][1], "s"),
        Row(
            f"{head}: portrait's own view",
            "PSNR in the mask",
            masked_psnr(view, photo[None], mask[None]),
            "dB",
        ),
        Row(f"{head}: mesh against field", "PSNR, front", psnr(mesh, field), "dB"),
        Row(f"{head}: mesh", "faces", len(result.mesh.faces), ""),
    ]


def run(arguments: list[str]) -> None:
    """Run the main path on `--count` heads and print its stages."""
    parser = bench_parser("pipeline", __doc__)
    parser.add_argument("--count", type=positive, default=1, help="heads (1)")
    parser.add_argument("--inversion", choices=list(PRESETS), default="quick")
    with called(parser, arguments) as options:
        weights = load_weights(torch.device("cpu"))
        config = PRESETS[options.inversion]
        rows = [row for i in range(options.count) for row in head_rows(weights, SHIPPED + i, config)]
        finish("pipeline", [*rows, Row("process", "peak memory", peak_bytes() / 2**30, "GiB")], options.json)
