import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from portrait_diffusion.models.camera import FOCAL, RADIUS, orbit, yaw_pitch
from portrait_diffusion.models.mesh.mesh import Mesh
from torch.testing import assert_close

angles = st.floats(-179, 179), st.floats(-80, 80)


@pytest.fixture(scope="module")
def convert():
    from portrait_diffusion.nodes import convert

    return convert


@pytest.fixture
def mesh() -> Mesh:
    """A pyramid with everything."""
    vertices = torch.tensor([[0.1, 0, 0], [-0.1, 0, 0], [0, 0.2, 0], [0, 0, 0.3]])
    faces = torch.tensor([[0, 1, 2], [0, 2, 3], [1, 3, 2], [0, 3, 1]])
    uvs, texture = (
        torch.rand(4, 2, generator=torch.Generator().manual_seed(0)),
        torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(1)),
    )
    return Mesh(vertices=vertices, faces=faces, uvs=uvs, texture=texture, vertex_colors=vertices.abs())


def test_images_come_back(convert):
    image = torch.rand(2, 5, 7, 3, generator=torch.Generator().manual_seed(0))
    inside = convert.from_image(image)
    assert inside.shape == (2, 3, 5, 7)
    assert_close(convert.to_image(inside), image)


def test_grey_and_transparent_images_become_three_channels(convert):
    assert_close(convert.from_image(torch.full((1, 4, 4, 1), 0.5)), torch.full((1, 3, 4, 4), 0.5))
    assert convert.from_image(torch.rand(1, 4, 4, 4)).shape == (1, 3, 4, 4)
    assert convert.to_image(torch.zeros(1, 1, 4, 4)).shape == (1, 4, 4, 3)


@pytest.mark.parametrize("shape", [(0, 4, 4, 3), (1, 0, 4, 3), (1, 4, 4, 2), (4, 4, 3)])
def test_what_is_no_image_is_refused(convert, shape):
    with pytest.raises(ValueError, match=r"image: expected an IMAGE .* got .*; wire a photo"):
        convert.from_image(torch.zeros(shape))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_images_that_are_not_finite_are_refused(convert, value):
    image = torch.zeros(1, 4, 4, 3)
    image[0, 1, 1, 1] = value
    with pytest.raises(ValueError, match="expected finite numbers, got NaN or infinity; check the node"):
        convert.from_image(image)


def test_pictures_are_the_images_in_bytes(convert):
    picture = convert.to_pil(torch.tensor([1.0, 0.5, -1.0])[:, None, None].expand(3, 2, 4))
    assert picture.size == (4, 2) and picture.getpixel((0, 0)) == (255, 128, 0)


def test_colours(convert):
    assert convert.color("#ff8000") == (1.0, 128 / 255, 0.0) and convert.color("white") == (1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="expected a colour such as #ffffff"):
        convert.color("#ff")


def test_the_nearest_is_white_and_nothing_is_black(convert):
    depth = torch.tensor([2.2, 2.5, 3.1, 9.0]).view(1, 1, 2, 2)
    opacity = torch.tensor([1.0, 1.0, 1.0, 0.0]).view(1, 1, 2, 2)
    picture = convert.depth_picture(depth, opacity).flatten()
    assert picture[0] == 1 and picture[0] > picture[1] > picture[2] >= picture[3] == 0
    assert not convert.depth_picture(depth, torch.zeros_like(opacity)).any()
    torch.testing.assert_close(convert.from_depth_picture(picture[:3]), depth.flatten()[:3])


def test_meshes_come_back(convert, mesh):
    there = convert.to_mesh(mesh)
    assert_close(there.vertices, 0.7 * mesh.vertices[None])  # metres
    (back,) = convert.from_mesh(there)
    for name in ("vertices", "faces", "uvs", "texture", "vertex_colors"):
        assert_close(getattr(back, name), getattr(mesh, name))


def test_look_alikes_of_other_packs_are_read(convert, mesh):
    """Only vertices and faces, the latter as floats; colours with alpha."""
    (bare,) = convert.from_mesh(SimpleNamespace(vertices=mesh.vertices[None], faces=mesh.faces[None].float()))
    assert torch.equal(bare.faces, mesh.faces) and bare.uvs is bare.texture is bare.vertex_colors is None
    rgba = torch.cat([mesh.vertex_colors, torch.ones(4, 1)], -1)[None]
    (coloured,) = convert.from_mesh(
        SimpleNamespace(vertices=mesh.vertices[None], faces=mesh.faces[None], vertex_colors=rgba)
    )
    assert_close(coloured.vertex_colors, mesh.vertex_colors)


def test_items_of_a_batch_are_cut_to_their_counts(convert, mesh):
    pack = SimpleNamespace(
        vertices=torch.stack([mesh.vertices, mesh.vertices * 2]),
        faces=torch.stack([mesh.faces, mesh.faces]),
        vertex_counts=torch.tensor([4, 3]),
        face_counts=torch.tensor([4, 1]),
    )
    first, second = convert.from_mesh(pack)
    assert (len(first.vertices), len(first.faces), len(second.vertices), len(second.faces)) == (4, 4, 3, 1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"vertices": torch.zeros(1, 0, 3)}, "expected a MESH with vertices and faces"),
        ({"faces": None}, "expected a MESH with vertices and faces"),
        ({"faces": torch.tensor([[[0, 1, 4]]])}, "indices from 0 to 3, got up to 4"),
        ({"faces": torch.tensor([[[0, 1, -1]]])}, "indices from 0 to 3"),
        ({"vertices": torch.full((1, 4, 3), float("nan"))}, "finite vertices"),
    ],
)
def test_broken_meshes_are_refused(convert, mesh, change, words):
    parts = {"vertices": mesh.vertices[None], "faces": mesh.faces[None]} | change
    with pytest.raises(ValueError, match=words):
        convert.from_mesh(SimpleNamespace(**parts))


@given(*angles)
def test_a_camera_goes_to_the_viewer_and_back(yaw, pitch):
    from portrait_diffusion.nodes import convert

    camera = orbit(math.radians(yaw), math.radians(pitch))
    info = convert.to_load3d(camera)
    assert math.dist(info["position"].values(), info["target"].values()) == pytest.approx(
        0.7 * RADIUS, rel=1e-4
    )
    back = convert.from_load3d(info, portrait=False)
    assert_close(back[0].cam2world, camera.cam2world, atol=2e-4, rtol=0)
    assert_close(back[0].intrinsics, camera.intrinsics, atol=1e-3, rtol=0)


@given(*angles, st.floats(0.1, 50))
def test_of_a_viewer_s_camera_only_the_direction_is_taken(yaw, pitch, distance):
    from portrait_diffusion.nodes import convert

    info = convert.to_load3d(orbit(math.radians(yaw), math.radians(pitch), radius=distance))
    camera = convert.from_load3d(info | {"fov": 80}, portrait=True)
    found = [float(angle[0]) for angle in yaw_pitch(camera)]
    assert found == pytest.approx([math.radians(yaw), math.radians(pitch)], abs=2e-3)
    assert float(camera.position.norm()) == pytest.approx(RADIUS, rel=1e-4) and float(
        camera.intrinsics[0, 0, 0]
    ) == pytest.approx(FOCAL, rel=1e-4)


@pytest.mark.parametrize(
    "info",
    [
        {},
        {"position": {"x": 0}},
        {"position": None, "target": None},
        {"position": [1, 2, 3], "target": [0, 0, 0]},
    ],
)
def test_what_is_no_camera_is_refused(convert, info):
    with pytest.raises(ValueError, match="expected a LOAD3D_CAMERA"):
        convert.from_load3d(info, portrait=True)


def test_orbits_speak_degrees(convert):
    on_wire = convert.orbit_cameras([0.0, 90.0], [30.0, 30.0], 64)
    yaw, pitch = yaw_pitch(on_wire.cameras)
    assert_close(yaw.rad2deg(), torch.tensor([0.0, 90.0]), atol=1e-3, rtol=0)
    assert_close(pitch.rad2deg(), torch.tensor([30.0, 30.0]), atol=1e-3, rtol=0)
    assert on_wire.size == 64
