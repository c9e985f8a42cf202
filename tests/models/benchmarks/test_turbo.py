"""models/benchmarks/turbo*.py: which views are novel, what filters do, what rows and goals say, a speed bench's two ways agree."""

import pytest
import torch
from portrait_diffusion.models.benchmarks.exact_heads import ExactHead
from portrait_diffusion.models.benchmarks.turbo import bench as bench
from portrait_diffusion.models.benchmarks.turbo.methods import Alone, novel
from portrait_diffusion.models.benchmarks.turbo.pictures import STYLES, filtered, styled
from portrait_diffusion.models.benchmarks.turbo.speed import view_by_view
from portrait_diffusion.models.camera import orbit
from portrait_diffusion.models.diffusion.turbo import refine
from portrait_diffusion.models.field.casting import Rendering
from portrait_diffusion.models.synthetic.multiview import MultiView

from ..diffusion import tiny

YAWS = (0, 30, -30, 60, -60, 90, -90, 180)


@pytest.fixture
def head():
    rgb = torch.rand(len(YAWS), 3, 16, 16, generator=torch.Generator().manual_seed(0))
    one = torch.ones(len(YAWS), 1, 16, 16)
    camera = orbit(torch.tensor(YAWS, dtype=torch.float32).deg2rad(), torch.zeros(len(YAWS)))
    return ExactHead("head", MultiView(views=Rendering(rgb, one, one, None), camera=camera, frontal=0), {})


def test_novel_views_are_those_beside_the_front(head):
    assert novel(head) == [1, 2, 3, 4]
    assert [YAWS[i] for i in novel(head, (-90, 60))] == [-90, 60]


@pytest.mark.parametrize("style", STYLES)
def test_artistic_inputs_are_pictures_and_differ(head, style):
    image = head.exact.views.rgb[:1]
    made = filtered(image, style)
    assert made.shape == image.shape and made.min() >= 0 and made.max() <= 1
    assert torch.equal(made, image) == (style == "plain")
    other = styled(head, style)
    assert torch.equal(other.exact.views.rgb[1:], head.exact.views.rgb[1:]) and torch.equal(other.exact.views.rgb[:1], made)


def test_an_unknown_style_is_refused():
    with pytest.raises(ValueError, match="expected one of plain"):
        filtered(torch.zeros(1, 3, 8, 8), "cubist")


def test_views_one_by_one_in_the_autoencoder_are_refined_alike():
    turbo, views, references = tiny.turbo(), tiny.images(3, 1), tiny.images(1, 2)
    with torch.no_grad():
        whole = refine(turbo, views, references, generator=tiny.draws())
        apart = view_by_view(turbo, views, references, tiny.draws())
    torch.testing.assert_close(apart, whole, rtol=1e-4, atol=1e-5)


def test_views_alone_do_not_see_each_other():
    turbo, references = tiny.turbo(), tiny.images(1, 2)
    alone = tiny.turbo()
    object.__setattr__(alone, "denoiser", Alone(turbo.denoiser))
    views = tiny.images(2, 1)
    changed = torch.cat([views[:1], 1 - views[1:]])
    with torch.no_grad():
        first, second = (refine(alone, x, references, generator=tiny.draws())[0] for x in (views, changed))
        mixed = [refine(turbo, x, references, generator=tiny.draws())[0] for x in (views, changed)]
    torch.testing.assert_close(first, second)
    assert (mixed[0] - mixed[1]).abs().max() > 1e-6


def figures(psnr: float, perceptual: float, embedding: float) -> dict:
    return {"PSNR": psnr, "perceptual": perceptual, "embedding": [[embedding, 0.0], [0.0, embedding]]}


def test_rows_are_means_and_goals_are_paired():
    made = bench.TurboBench.__new__(bench.TurboBench)
    made.done = {
        "exact views": {"a": figures(99.0, 0.0, 1.0), "b": figures(99.0, 0.0, 2.0)},
        bench.RENDERS: {"a": figures(20.0, 0.4, 9.0), "b": figures(24.0, 0.2, 8.0)},
        bench.CEILING: {"a": figures(30.0, 0.1, 1.0), "b": figures(22.0, 0.1, 2.0)},
        bench.REFINED: {"a": figures(21.0, 0.2, 1.0), "b": figures(25.0, 0.1, 2.0)},
    }
    rows = {(row.row, row.metric): row for row in made.rows()}
    assert rows[bench.RENDERS, "PSNR"].value == 22 and rows[bench.RENDERS, "PSNR"].n == 2
    assert rows[f"{bench.REFINED} less {bench.RENDERS}", "perceptual"].value == pytest.approx(-0.15)
    (goal,) = [row for (name, _), row in rows.items() if name == "goal"]
    assert goal.value == pytest.approx((1 + 3) / 2 + bench.PSNR_LOSS)
    assert rows[bench.RENDERS, "kernel distance"].value > rows[bench.REFINED, "kernel distance"].value
    assert not any(row.row == "exact views" for row in rows.values())
