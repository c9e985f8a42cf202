"""models/benchmarks/prior*.py: views land in their bins, exact heads score perfectly, a stopped bench goes on, folders are read."""

import json
from dataclasses import replace

import pytest
import torch
from portrait_diffusion.models.benchmarks.exact_heads import ExactHead, bin_of, folder_heads, only, views_at
from portrait_diffusion.models.benchmarks.inverted_heads import as_photo
from portrait_diffusion.models.benchmarks.prior import bench as bench
from portrait_diffusion.models.camera import orbit
from portrait_diffusion.models.field.casting import Rendering
from portrait_diffusion.models.prior.discriminator import Discriminator, DiscriminatorConfig
from portrait_diffusion.models.synthetic.head import sample_parameters
from portrait_diffusion.models.synthetic.multiview import MultiView, write_views
from portrait_diffusion.models.synthetic.rendering import render_head

YAWS = (90.0, 0.0, -33.0, 175.0)
SIZE = 64


@pytest.fixture(scope="module")
def views():
    camera = orbit(torch.tensor(YAWS).deg2rad(), torch.zeros(4))
    return MultiView(views=render_head(sample_parameters(90_001), camera, SIZE), camera=camera, frontal=1)


class Known:
    """A head that shows what it is told to."""

    def __init__(self, views, change=0.0):
        self.views, self.change = views.views, change

    def render(self, camera, size, **options):
        rgb = (self.views.rgb + self.change).clamp(0, 1)
        return Rendering(rgb, self.views.ray_distance + self.change, self.views.mask, None)


def critic():
    return Discriminator(DiscriminatorConfig(resolution=128, raw_resolution=64, widths=(4, 4), embedding=4))


def test_views_land_in_the_nearest_bin(views):
    assert bin_of(views) == [90, 0, 30, 180]


def test_the_nearest_view_may_lie_beyond_the_back(views):
    assert views_at(ExactHead("one", views, {}), (0, -30, 180, -180, -90)) == [1, 2, 3, 3, 2]


def test_exact_views_score_perfectly_and_others_do_not(views):
    figures = bench.measure(Known(views), views, critic())
    assert set(figures) == {"0", "30", "90", "180"}
    front = figures["0"]
    assert (
        front["PSNR"] == float("inf")
        and front["SSIM"] == pytest.approx(1)
        and front["IoU"] == 1
        and front["depth error"] == 0
    )
    assert front["fine detail"] == pytest.approx(1) and front["detail correlation"] == pytest.approx(1)
    worse = bench.measure(Known(views, -0.1), views, critic())["0"]
    assert 19 < worse["PSNR"] < 21.5 and worse["depth error"] == pytest.approx(
        70, rel=1e-3
    )  # 0.1 units are 70 mm


def test_a_stopped_bench_goes_on_where_it_was(views, tmp_path):
    made, store = [], tmp_path / "figures.json"
    heads = [ExactHead(f"head {i}", views, {}) for i in range(3)]
    weights = type("Weights", (), {"critic": critic(), "prior": None, "encoder": None})()

    def make(head):
        made.append(head.name)
        return Known(views, 0.1)

    first = bench.Bench(weights, "quick", heads, store, minutes=1)
    first.row("a row", make, heads[:1])
    assert json.loads(store.read_text())["a row"].keys() == {heads[0].key}
    out_of_time = bench.Bench(weights, "quick", heads, store, minutes=0)
    out_of_time.row("a row", make, heads)
    second = bench.Bench(weights, "quick", heads, store, minutes=1)
    second.row("a row", make, heads)
    assert made == ["head 0", "head 1", "head 2"]
    rows = [row for row in second.rows() if row.metric == "PSNR"]
    assert {row.row for row in rows} == {f"a row, |yaw| {b}" for b in (0, 30, 90, 180)}
    assert all(row.n == 3 and row.low <= row.value <= row.high for row in rows)


def test_goals_are_what_is_left_to_reach():
    figures = {"0": {"PSNR": 27.0, "fine detail": 0.4}}
    done = {"inversion, quick": {"a": figures}, "mean head": {"a": {"0": {"PSNR": 20.0, "fine detail": 0.1}}}}
    left = {
        (row.row, row.metric): row.value for row in bench.against_goals(done, "inversion, quick", {0: 28.0})
    }
    assert left["goal, |yaw| 0", "PSNR less the goal"] == pytest.approx(-1)
    assert left["goal, |yaw| 0", "PSNR over the mean head's, less the goal"] == pytest.approx(2)
    assert left["goal, |yaw| 0", "fine detail less the goal"] == pytest.approx(-0.1)


def test_groups_are_told_and_how_far_they_lie_from_all(views):
    heads = [
        ExactHead(f"head {i}", replace(views, groups={"hair": hair}), {})
        for i, hair in enumerate(("long", "long", "bald"))
    ]
    heads = [replace(head, exact=replace(head.exact, seed=i)) for i, head in enumerate(heads)]
    done = {head.key: {"0": {"PSNR": 20.0 + i}} for i, head in enumerate(heads)}
    rows = {(row.row, row.metric): row for row in bench.group_rows("ours", done, heads)}
    long, bald = (f"ours, hair {group}, |yaw| 0" for group in ("long", "bald"))
    assert {name for name, _ in rows} == {long, bald}
    assert rows[long, "PSNR"].value == pytest.approx(20.5) and rows[long, "PSNR"].n == 2
    assert rows[bald, "PSNR less all heads'"].value == pytest.approx(1.0)
    assert bench.group_rows("ours", {}, heads) == []


def test_folders_are_read_and_empty_ones_refused(views, tmp_path):
    with pytest.raises(ValueError, match="found none"):
        folder_heads(tmp_path, 4)
    write_views(tmp_path / "someone.safetensors", views.views, views.camera)
    (head,) = folder_heads(tmp_path, 4)
    assert head.name == "someone" and head.inputs == {} and bin_of(head.exact) == [90, 0, 30, 180]
    photo = as_photo(only(head.exact, 1), 0)
    assert photo.image.shape == (3, SIZE, SIZE) and photo.mask.max() == 1
