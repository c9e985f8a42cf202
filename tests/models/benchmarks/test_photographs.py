"""models/benchmarks/photographs: which photos, which regions of them, and the table."""

import json
import math
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from portrait_diffusion.models.benchmarks.photographs import bench as module
from portrait_diffusion.models.benchmarks.photographs.bench import PhotoBench, rows_before
from portrait_diffusion.models.benchmarks.photographs.figures import crop_at, inside_photo, photo_at
from portrait_diffusion.models.benchmarks.photographs.photos import (
    CROPS,
    Photo,
    bundled_photos,
    folder_photos,
)
from portrait_diffusion.models.benchmarks.photographs.regions import (
    FACE_HEIGHT,
    FACE_WIDTH,
    face_in_picture,
    in_face,
    in_hair,
    in_neck,
    points_of,
)
from portrait_diffusion.models.benchmarks.photographs.sheet import COLUMNS, TILE, draw_sheet, pair_sheets
from portrait_diffusion.models.camera import FOCAL, RADIUS, frontal, orbit, rays
from portrait_diffusion.models.commands.report import report, write_json
from portrait_diffusion.models.photo.alignment import uncropped
from torch.testing import assert_close


def picture(path, colour, size=(40, 30)):
    Image.new("RGB", size, colour).save(path)


def test_a_folder_s_photos_have_numbers_and_keys_of_their_content(tmp_path):
    picture(tmp_path / "b.png", "red")
    picture(tmp_path / "a.png", "blue")
    (tmp_path / "notes.txt").write_text("no picture")
    photos = folder_photos(tmp_path)
    assert [photo.name for photo in photos] == ["photo 1", "photo 2"]
    assert photos[0].read()[0][:, 0, 0].tolist() == [0, 0, 1]
    (tmp_path / "a.png").rename(tmp_path / "c.png")
    assert [photo.key for photo in folder_photos(tmp_path)] == [photos[1].key, photos[0].key]


def test_a_folder_without_photos_is_refused(tmp_path):
    with pytest.raises(ValueError, match="expected pictures"):
        folder_photos(tmp_path)


def test_without_a_folder_the_astronaut_whole_and_cropped():
    shapes = [list(photo.read()[0].shape) for photo in bundled_photos()]
    assert shapes == [[3, side, side] for _, _, side in CROPS.values()]
    assert len({photo.key for photo in bundled_photos()}) == len(CROPS)


def test_the_face_in_a_picture_is_an_ellipse_of_its_size():
    """At the face's plane a frame is (RADIUS - z) / FOCAL wide."""
    size = 256
    area = face_in_picture(frontal()[None], size).sum() / size**2 * ((RADIUS - 0.09) / FOCAL) ** 2
    assert area == pytest.approx(math.pi * FACE_WIDTH * FACE_HEIGHT, rel=0.01)
    behind = orbit(torch.tensor([math.pi]), torch.zeros(1))
    assert not face_in_picture(behind, size).any()


def test_regions_lie_where_their_names_say():
    nose, crown, nape_hair, neck, chest = torch.tensor(
        [[0, -0.05, 0.14], [0, 0.16, 0.0], [0, 0.0, -0.12], [0.05, -0.18, -0.03], [0, -0.3, 0.05]]
    )
    assert [bool(in_face(p)) for p in (nose, crown, nape_hair, neck, chest)] == [True] + [False] * 4
    assert [bool(in_hair(p)) for p in (nose, crown, nape_hair, neck, chest)] == [False, True, True] + [
        False
    ] * 2
    assert [bool(in_neck(p)) for p in (nose, crown, nape_hair, neck, chest)] == [False] * 3 + [True, False]


def test_points_are_where_the_rays_end():
    camera = orbit(torch.tensor([0.3, -1.0]), torch.tensor([0.1, 0.0]))
    origins, directions = rays(camera, 4, 4)
    points = points_of(camera, torch.full((2, 1, 4, 4), 2.5))
    assert_close(points, origins + 2.5 * directions)


def test_a_crop_at_another_size_shows_the_same():
    """The middle of a smooth photo, half as fine and twice as fine."""
    place = (torch.arange(64) + 0.5) / 64
    rgb = torch.stack([place.expand(64, 64), place[:, None].expand(64, 64), torch.zeros(64, 64)])
    reference = uncropped(rgb, torch.ones(1, 64, 64), frontal())
    photo = Photo("photo 1", "key", lambda: (rgb, None))
    assert_close(crop_at(reference, 64), torch.eye(2, 3, dtype=torch.float64))
    for size in (32, 128):
        shown, mask = photo_at(reference, photo, size)
        there = (torch.arange(size) + 0.5) / size
        inner = slice(size // 8, -size // 8)
        assert_close(shown[0, 0, 0, inner], there[inner], atol=2e-3, rtol=0)
        assert mask.min() > 0.99 and inside_photo(reference, size).min() == 1


def test_beyond_the_photo_nothing_is_inside():
    reference = uncropped(torch.ones(3, 64, 64), torch.ones(1, 64, 64), frontal())
    shifted = reference.crop_to_photo + torch.tensor([[0, 0, 32], [0, 0, 0.0]])
    inside = inside_photo(type(reference)(**{**vars(reference), "crop_to_photo": shifted}), 64)
    assert inside.mean() == pytest.approx(0.5, abs=0.02) and inside[..., :30].all()


FIGURES = {
    "a": {"own view": 20.0, "seam": 1.2},
    "b": {"own view": 30.0, "seam": 2.0},
    "f": {"own view": 28.0},
    "a, drawn": {"own view": 15.0},
    "b, drawn": {"own view": 17.0},
}


def stub_bench(tmp_path, monkeypatch, refused=()):
    """Three photos with known figures, the two that are none of the factory's drawn as well; those named are refused."""

    def of(photo, way=""):
        if photo.key in refused:
            raise ValueError("align: expected a face, got none")
        return SimpleNamespace(head=photo.key + way, reference=None, mesh=None, seconds={"inversion": 3.0})

    monkeypatch.setattr(module, "shipped_perceptual", lambda: None)
    monkeypatch.setattr(module, "own_view_figures", lambda head, *_: FIGURES[head])
    for name in ("stray_figures", "glb_figures", "sides_of"):
        monkeypatch.setattr(module, name, lambda *_: {"GLB detail": math.nan})
    monkeypatch.setattr(module, "surface_figures", lambda _: {})
    monkeypatch.setattr(module, "exact_sides", lambda _: None)
    photos = [Photo(f"photo {i}", key, lambda: None) for i, key in enumerate("ab", 1)]
    factory = [Photo("seed 1", "f", lambda: None, exact=SimpleNamespace())]
    drawn = {"drawn": SimpleNamespace(of=partial(of, way=", drawn"))}
    bench = PhotoBench(photos, factory, SimpleNamespace(of=of), tmp_path / "store.json", 1, drawn)
    bench.run()
    return {(row.row, row.metric): row.value for row in bench.rows()}


def test_medians_worst_and_ratios(tmp_path, monkeypatch):
    rows = stub_bench(tmp_path, monkeypatch)
    assert rows["photo 1", "own view"] == 20 and rows["photos, median", "own view"] == 25
    assert rows["photos, worst", "own view"] == 20 and rows["photos, worst", "seam"] == 2
    assert rows["photos, median", "time"] == 3 and rows["photos", "refused"] == 0
    assert rows["goal: photos, worst", "own view"] == 22
    assert rows["photos, drawn, median", "own view"] == 16
    assert rows["photos, drawn, less the inversion", "own view"] == -9
    assert not any(metric == "GLB detail" and "goal" not in name for name, metric in rows)


def test_a_refused_photo_is_a_row(tmp_path, monkeypatch, capsys):
    rows = stub_bench(tmp_path, monkeypatch, refused={"b"})
    assert rows["photo 2", "refused"] == 1 and rows["photos", "refused"] == 1
    assert ("photo 2", "own view") not in rows and rows["photos, median", "own view"] == 20
    assert "photo 2 was refused: align: expected a face" in capsys.readouterr().out


def test_an_earlier_report_goes_into_the_same_table(tmp_path, monkeypatch):
    path = tmp_path / "before.json"
    write_json(report("photographs, quick", [module.Row("photos, median", "own view", 25.0, "dB")]), path)
    (row,) = rows_before(path)
    assert (row.row, row.value) == ("before: photos, median", 25.0)
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"name": "turbo"}))
    with pytest.raises(ValueError, match="report of its own"):
        rows_before(path)


def test_two_sheets_are_paired_strip_by_strip(tmp_path):
    before, after, both = (tmp_path / name for name in ("before.png", "after.png", "both.png"))
    for path, grey in ((before, 0.2), (after, 0.8)):
        draw_sheet([("", torch.full((3, 2 * TILE, COLUMNS * TILE), grey))] * 2, path)
    pair_sheets(before, after, both)
    greys = [Image.open(both, formats=["PNG"]).getpixel((99, y * 2 * TILE + TILE))[0] for y in range(4)]
    assert greys == [51, 204, 51, 204]
    draw_sheet([("", torch.zeros(3, 2 * TILE, COLUMNS * TILE))], after)
    with pytest.raises(ValueError, match="two sheets of one size"):
        pair_sheets(before, after, both)
