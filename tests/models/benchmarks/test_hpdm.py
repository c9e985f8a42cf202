"""models/benchmarks/hpdm/bench.py: views beside the front, the trivial answer, and what the rows say."""

import torch
from portrait_diffusion.models.benchmarks.exact_heads import ExactHead
from portrait_diffusion.models.benchmarks.hpdm import bench as bench
from portrait_diffusion.models.camera import orbit
from portrait_diffusion.models.diffusion.new_views import Coarse
from portrait_diffusion.models.synthetic.multiview import MultiView
from portrait_diffusion.models.synthetic.rendering import Views

from ..test_projection import sphere

YAWS = (0, 45, -30, 30, -45)
SIZE = 64


def ball():
    """A ball in a head's place, blue in front."""
    cameras = orbit(torch.tensor(YAWS, dtype=torch.float32).deg2rad(), torch.zeros(len(YAWS)))
    distance, mask = (
        torch.stack(x)[:, None]
        for x in zip(*(sphere(cameras[i], SIZE, 0.22) for i in range(len(YAWS))), strict=True)
    )
    rgb = torch.where(mask > 0, torch.tensor([0.1, 0.2, 0.9])[:, None, None], 1.0)
    return ExactHead(
        "ball",
        MultiView(
            views=Views(rgb, mask, distance, torch.zeros(len(YAWS), 3, SIZE, SIZE)), camera=cameras, frontal=0
        ),
        {},
    )


def made():
    return bench.HpdmBench.__new__(bench.HpdmBench)


def test_views_to_both_sides():
    assert [[YAWS[i] for i in bench.beside(ball(), angle)] for angle in bench.ANGLES] == [
        [30, -30],
        [45, -45],
    ]


def test_the_trivial_answer_shows_the_driver_where_it_is_known():
    head = ball()
    views = head.exact.views
    every = [0, *bench.beside(head, 30)]
    red = torch.where(views.mask[every] > 0, torch.tensor([0.9, 0.1, 0.1])[:, None, None], 1.0)
    coarse = Coarse(
        red,
        torch.zeros_like(red),
        views.ray_distance[every, 0],
        views.mask[every, 0],
        head.exact.camera[every],
    )
    shown = made().trivial(head, coarse)
    solid = views.mask[every[1:]].expand(-1, 3, -1, -1) > 0
    blue = (shown[:, 2] > 0.8) & solid[:, 0]
    assert 0.5 < blue.float().sum() / solid[:, 0].sum() < 0.98
    assert (
        (shown[:, 0] > 0.8) & solid[:, 0] & ~blue
    ).any()  # what the front does not show comes from the render


def test_what_is_blended_is_not_what_is_drawn():
    ways = bench.ways_to_draw(bench.NewViewConfig(steps=3))
    assert bench.BLENDED in ways and ways[bench.BLENDED][1].blend > 0
    assert all(
        config.blend == 0 and config.steps == 3 for name, (_, config) in ways.items() if name != bench.BLENDED
    )


def test_rows_hold_means_and_every_step_over_the_one_before():
    run = made()
    run.ways = dict.fromkeys((bench.ALONE, *bench.STEPS.values(), bench.SHIPPED, bench.BLENDED))
    names = [bench.COARSE, bench.TRIVIAL, *run.ways]
    run.done = {
        f"{angle} degrees: {name}": {f"seed {i}": dict.fromkeys(bench.UNITS, 10.0 + j + i) for i in range(3)}
        for angle in bench.ANGLES
        for j, name in enumerate(names)
    }
    rows = {(row.row, row.metric): row for row in run.rows()}
    assert (
        rows[("30 degrees: coarse render", "PSNR")].value == 11
        and rows[("30 degrees: coarse render", "PSNR")].n == 3
    )
    step = rows[("45 degrees: + geo-block less explicit branch", "perceptual")]
    assert step.value == step.low == step.high == 1
    assert rows[(f"30 degrees: {bench.BLENDED} less {bench.TRIVIAL}", "identity")].value == 6
