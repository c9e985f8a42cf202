"""`bench pipeline`: seconds and memory of every stage of the main path, without ComfyUI, on held-out heads."""

from __future__ import annotations

import argparse
import resource
import sys
import time

import torch

from ..camera import frontal
from ..commands.report import Row, finish
from ..embedded import load_weights
from ..fitting.inversion import PRESETS
from ..mesh.rasterize import render_mesh
from ..metrics.image import masked_psnr, psnr
from ..portrait import MeshConfig, portrait_to_3d
from ..synthetic.head import sample_parameters
from ..synthetic.rendering import render_head
from ..synthetic.splits import SHIPPED


def peak_gib() -> float:
    """Highest resident memory of this process so far, GiB."""
    scale = 2**30 if sys.platform == "darwin" else 2**20  # bytes there, KiB here
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def run(arguments: list[str]) -> None:
    """Run the main path on `--count` heads and print its stages."""
    parser = argparse.ArgumentParser(prog="portrait-diffusion bench pipeline", description=__doc__)
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--inversion", choices=list(PRESETS), default="quick")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--json")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    weights, rows = load_weights(torch.device("cpu")), []
    for i in range(options.count):
        photo = render_head(sample_parameters(SHIPPED + i), frontal()[None], 512).rgb[0]
        marks: list[tuple[str, float]] = []
        result = portrait_to_3d(
            photo,
            weights,
            PRESETS[options.inversion],
            MeshConfig(),
            generator=torch.Generator().manual_seed(0),
            stage=lambda name, marks=marks: marks.append((name, time.perf_counter())),
        )
        ends = [moment for _, moment in marks[1:]] + [time.perf_counter()]
        head = f"seed {SHIPPED + i}"
        rows += [
            Row(f"{head}: {name}", "time", end - start, "s")
            for (name, start), end in zip(marks, ends, strict=True)
        ]
        rows.append(Row(f"{head}: all stages", "time", ends[-1] - marks[0][1], "s"))
        reference = result.reference
        view = result.head.render(reference.camera[None], 256, normals=False).rgb
        rows.append(
            Row(
                f"{head}: portrait's own view",
                "PSNR in the mask",
                masked_psnr(view, reference.on_white()[None], reference.mask[None]),
                "dB",
            )
        )
        field = result.head.render(
            reference.camera[None], 256, raw=True, normals=False
        ).rgb  # the mesh's colours are the field's
        rows.append(
            Row(
                f"{head}: mesh against field",
                "PSNR, front",
                psnr(render_mesh(result.mesh, reference.camera, 256).rgb[None], field),
                "dB",
            )
        )
        rows.append(Row(f"{head}: mesh", "faces", len(result.mesh.faces), ""))
    rows.append(Row("process", "peak memory", peak_gib(), "GiB"))
    finish("pipeline", rows, options.json)
