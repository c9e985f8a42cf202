import math

import pytest
import torch
from portrait_diffusion.models.camera import orbit, project, rays
from portrait_diffusion.models.synthetic.multiview import read_views, write_views
from portrait_diffusion.models.synthetic.people import renders
from portrait_diffusion.models.synthetic.people.backgrounds import draw_background
from portrait_diffusion.models.synthetic.people.person import draw_person
from portrait_diffusion.models.synthetic.people.rendering import render

SIZE = 96
YAW = torch.tensor([0.0, 0.12, 1.2, math.pi])


@pytest.fixture(scope="module")
def views(person):
    camera = orbit(YAW, 0.1 * YAW)
    return camera, render(person, camera, SIZE)


def test_shapes_and_ranges(views):
    _, picture = views
    assert picture.rgb.shape == picture.normal.shape == (4, 3, SIZE, SIZE)
    assert picture.mask.shape == picture.ray_distance.shape == (4, 1, SIZE, SIZE)
    assert (
        0 <= picture.mask.min()
        and picture.mask.max() <= 1
        and ((picture.mask > 0) & (picture.mask < 1)).any()
    )
    assert picture.rgb.isfinite().all() and picture.rgb.min() >= 0 and picture.rgb.max() <= 1
    empty = (picture.mask == 0).expand_as(picture.rgb)
    assert (picture.rgb[empty] == 1).all() and (picture.ray_distance[picture.mask == 0] == 0).all()


def test_a_background_shows_through_the_soft_mask(person, views):
    camera, picture = views
    red = torch.tensor([1.0, 0.0, 0.0])[:, None, None].expand(3, SIZE, SIZE)
    on_red = render(person, camera[:1], SIZE, background=red)
    expected = picture.rgb[:1] - (1 - picture.mask[:1]) * (1 - red)
    torch.testing.assert_close(on_red.rgb, expected)


def test_normals_are_unit_and_face_the_camera(views):
    camera, picture = views
    solid = picture.mask[:, 0] > 0.99
    normal = picture.normal.permute(0, 2, 3, 1)[solid]
    torch.testing.assert_close(normal.norm(dim=1), torch.ones(len(normal)), atol=1e-3, rtol=0)
    assert float((normal[:, 2] < 0.2).float().mean()) > 0.97


def test_views_agree_about_where_the_surface_is(views):
    """Points of one view, projected into the next, lie where that view has its surface, or behind it."""
    camera, picture = views
    origins, directions = rays(camera, SIZE, SIZE)
    points = origins[0] + picture.ray_distance[0, 0, ..., None] * directions[0]
    inside = picture.mask[0, 0] > 0.99
    image, _ = project(camera[1], points[inside])
    distance = (points[inside] - camera.position[1]).norm(dim=1)
    column, row = (image * SIZE).long().clamp(0, SIZE - 1).unbind(1)
    behind = distance - picture.ray_distance[1, 0, row, column]
    met = picture.mask[1, 0, row, column] > 0.99
    assert float(behind[met].median().abs()) < 0.002
    assert float((behind[met] > -0.012).float().mean()) > 0.97


def test_normals_agree_with_distances(views):
    camera, picture = views
    origins, directions = rays(camera, SIZE, SIZE)
    points = origins + picture.ray_distance[:, 0, ..., None] * directions
    right, down = points[0, 1:-1, 2:] - points[0, 1:-1, :-2], points[0, 2:, 1:-1] - points[0, :-2, 1:-1]
    slope = torch.nn.functional.normalize(torch.linalg.cross(down, right), dim=-1)
    slope = slope @ camera.cam2world[0, :3, :3]
    cosine = (slope * picture.normal[0].permute(1, 2, 0)[1:-1, 1:-1]).sum(-1)
    inside = (-torch.nn.functional.max_pool2d(-picture.mask[:1], 5, 1)[0, 0] > 0.99)[1:-1, 1:-1]
    face = cosine[2:-2, 2:-2][inside[: SIZE - 6, : SIZE - 6]]
    assert float(face.median()) > 0.9


def test_the_same_seed_is_the_same_picture(views, person):
    camera, picture = views
    again = render(draw_person(person.seed), camera[:1], SIZE)
    assert torch.equal(again.rgb, picture.rgb[:1]) and torch.equal(
        again.ray_distance, picture.ray_distance[:1]
    )
    with pytest.raises(ValueError, match="cameras \\[V\\]"):
        render(person, camera[0], SIZE)


def test_a_view_file_comes_back(views, person, tmp_path):
    camera, picture = views
    write_views(tmp_path / "one.safetensors", picture, camera, seed=person.seed)
    file = read_views(tmp_path / "one.safetensors")
    assert file.seed == person.seed and file.frontal == 0
    torch.testing.assert_close(file.views.rgb, picture.rgb, atol=0.003, rtol=0)


def test_rows_are_those_of_the_other_factory(model):
    row = renders.render_seed(90_003, 2, 32)
    assert row["rgb"].shape == (2, 3, 32, 32) and row["rgb"].dtype == torch.uint8
    assert set(row["mask"].unique().tolist()) == {0, 1} and row["parameters"][:209].abs().max() <= 1.5
    assert row["yaw"][0] == row["pitch"][0] == 0 and row["beyond"].dtype == torch.float16


@pytest.mark.parametrize("seed", range(12))
def test_backgrounds_are_pictures(seed, person):
    picture = draw_background(seed, person.light, 40)
    assert picture.shape == (3, 40, 40) and 0 <= picture.min() and picture.max() <= 1
    assert torch.equal(picture, draw_background(seed, person.light, 40))
