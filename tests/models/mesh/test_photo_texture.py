"""models/mesh/photo_texture.py in closed forms: a plane that faces the photo, one turned away, one hidden, one of another gain."""

from dataclasses import replace

import pytest
import torch
from portrait_diffusion.models.camera import FOCAL, RADIUS, frontal, orbit, project, rays
from portrait_diffusion.models.mesh import photo_texture as p
from portrait_diffusion.models.mesh.mesh import Mesh
from torch.testing import assert_close

SIZE = 64
FRAME = RADIUS / FOCAL  # scene units that the frontal frame shows at the origin


def plane(side=FRAME, depth=0.0, colour=(0.5, 0.5, 0.5), texels=SIZE):
    """A square that faces the frontal camera, one colour all over: at depth 0 its texels are the frame's pixels."""
    corners = torch.tensor([[-1.0, 1, 0], [1, 1, 0], [1, -1, 0], [-1, -1, 0]])
    vertices = corners * side / 2 + torch.tensor([0.0, 0, depth])
    uvs = torch.stack([corners[:, 0] + 1, 1 - corners[:, 1]], -1) / 2
    texture = torch.tensor(colour)[:, None, None].expand(3, texels, texels).contiguous()
    return Mesh(vertices, torch.tensor([[0, 2, 1], [0, 3, 2]]), uvs=uvs, texture=texture)


def noise(size=SIZE):
    return 0.3 + 0.4 * torch.rand(3, size, size, generator=torch.Generator().manual_seed(0))


def portrait(image, mask=None):
    """A photo, its mask and its camera."""
    return image, torch.ones(1, SIZE, SIZE) if mask is None else mask, frontal()


def turned(mesh, yaw):
    """A mesh as the frontal camera sees it when the camera goes round it by yaw."""
    turn = orbit(yaw, 0.0).cam2world[:3, :3].T  # from world to the camera's axes
    back = frontal().cam2world[:3, :3]
    return replace(mesh, vertices=mesh.vertices @ turn.T @ back.T)


def stacked(front, behind):
    """Two planes in one mesh, their textures side by side."""
    half = torch.tensor([0.5, 1.0])
    return Mesh(
        torch.cat([front.vertices, behind.vertices]),
        torch.cat([front.faces, behind.faces + 4]),
        uvs=torch.cat([front.uvs * half, behind.uvs * half + torch.tensor([0.5, 0.0])]),
        texture=torch.full((3, SIZE, SIZE), 0.5),
    )


def test_a_plane_that_faces_the_camera_is_the_photo():
    photo = noise()
    assert_close(p.with_photo(plane(), *portrait(photo)).texture, photo, atol=2e-5, rtol=0)


def test_the_photo_is_taken_as_fine_as_the_texture_can_hold():
    fine = noise(2 * SIZE)
    texture = p.with_photo(plane(texels=2 * SIZE), *portrait(fine)).texture
    assert_close(texture, fine, atol=2e-5, rtol=0)
    coarse = p.with_photo(plane(), *portrait(fine)).texture
    smaller = torch.nn.functional.interpolate(fine[None], size=(SIZE, SIZE), mode="bilinear", antialias=True)
    assert_close(coarse, smaller[0], atol=2e-5, rtol=0)


@pytest.mark.parametrize("yaw", [1.3, -1.3])
def test_a_surface_that_is_turned_away_gets_nothing(yaw):
    mesh = turned(plane(side=0.4), yaw)
    assert_close(p.with_photo(mesh, *portrait(noise())).texture, mesh.texture)


def taken(yaw, depth):
    """How much of a photo's noise a plane takes at a depth before the frame's middle, turned by yaw."""
    mesh = turned(plane(side=0.2), yaw)
    mesh = replace(mesh, vertices=mesh.vertices + torch.tensor([0.0, *p.FACE_CENTRE[1:], depth]))
    return (p.with_photo(mesh, *portrait(noise())).texture - 0.5).std()


def test_in_the_face_only_what_faces_the_camera_takes_the_photo_and_elsewhere_steep_surfaces_too():
    in_face, elsewhere = 0.1, -0.1
    assert taken(0.2, in_face) > 2 * taken(0.8, in_face) > 0
    assert taken(0.2, elsewhere) < 1.3 * taken(0.8, elsewhere)


def test_the_face_is_told_by_where_a_surface_lies():
    camera, size = frontal(), 65
    for depth, expected in ((0.1, 1.0), (-0.1, 0.0)):
        flat = rays(camera, size, size)[1][..., 2].abs()  # a plane's distance along unit rays
        share = p.face_share(camera, ((RADIUS - depth) / flat)[None])
        _, _, middle = share.shape
        assert share[0, middle // 2 + 8, middle // 2] == expected and not share[0, :, 0].any()
    assert not p.face_share(camera, torch.zeros(1, size, size)).any()


def test_what_lies_behind_a_surface_gets_nothing():
    mesh = stacked(plane(side=0.5, depth=0.05), plane(side=0.3, depth=-0.05))
    texture = p.with_photo(mesh, *portrait(noise())).texture
    before, behind = texture.chunk(2, dim=-1)
    gain = behind[:, SIZE // 2, SIZE // 4]
    assert_close(behind, gain[:, None, None].expand_as(behind))  # one colour, as it was but for the gain
    assert (before - 0.5).abs().max() > 0.1


def test_the_side_that_looks_away_gets_nothing():
    mesh = replace(plane(), faces=plane().faces.flip(1))
    assert_close(p.with_photo(mesh, *portrait(noise())).texture, mesh.texture)


@pytest.mark.parametrize("gain", [0.85, 1.2])
def test_a_constant_gain_leaves_no_seam(gain):
    """Half of the frame is masked out: over the mask's edge the texture is one colour, the photo's."""
    photo = torch.full((3, SIZE, SIZE), 0.5 * gain)
    mask = torch.zeros(1, SIZE, SIZE)
    mask[..., : SIZE // 2] = 1
    assert_close(p.with_photo(plane(), *portrait(photo, mask)).texture, photo)


def test_no_gain_is_larger_than_the_limit():
    photo = torch.full((3, SIZE, SIZE), 0.9)
    assert_close(p.matched_gain(photo, photo / 3, torch.ones(1, SIZE, SIZE), 1.25), torch.full((3,), 1.25))
    assert_close(p.matched_gain(photo, photo / 3, torch.zeros(1, SIZE, SIZE), 1.25), torch.ones(3))


def test_what_the_mask_excludes_gets_nothing_and_its_edge_little():
    mask = torch.zeros(1, SIZE, SIZE)
    mask[..., : SIZE // 2] = 1
    mesh = plane()
    layer = p.photo_layer(mesh, *portrait(noise(), mask), p.PhotoConfig())
    assert not layer.addition[..., SIZE // 2 - 1 :].any()
    assert layer.addition[..., : SIZE // 2 - 8].abs().mean() > 0.05


def test_points_outside_the_frame_keep_their_colour():
    layer = p.photo_layer(plane(), *portrait(noise()), p.PhotoConfig())
    points = torch.tensor([[0.5, 0.0, 0.0], [0.0, 0.0, 5.0]])
    grey = torch.full((2, 3), 0.5)
    assert_close(p.added(layer, frontal(), points, grey, 0.01), grey * layer.gain)


def test_a_surface_faces_its_camera_with_the_cosine_of_its_turn():
    camera = frontal()
    image, _ = project(camera, torch.zeros(1, 3))
    assert_close(image, torch.full((1, 2), 0.5))
    normal = torch.tensor([0.6, 0.0, -0.8])[:, None, None].expand(
        3, 3, 3
    )  # OpenCV axes: -z looks at the camera
    assert_close(p.facing(camera, normal)[0, 1, 1].item(), 0.8, atol=1e-6, rtol=0)


def test_a_blur_leaves_a_constant_and_keeps_to_its_weights():
    image = torch.full((3, 32, 32), 0.7)
    assert_close(p.blurred(image, 0.05), image)
    half = torch.zeros(1, 32, 32)
    half[..., :16] = 1
    image = torch.where(half > 0, image, 0.1)
    assert_close(p.weighted_blur(image, half, 0.05)[..., :16], image[..., :16])
    assert (p.softened(half, 0.05) <= half).all()


def test_what_cannot_be_painted_says_so():
    with pytest.raises(ValueError, match="bake the field's first"):
        p.with_photo(replace(plane(), texture=None), *portrait(noise()))
    with pytest.raises(ValueError, match="the first of a pair the lower"):
        p.PhotoConfig(detail_from=0.9, detail_to=0.5)
    with pytest.raises(ValueError, match="the first of a pair the lower"):
        p.PhotoConfig(other_from=0.9)
    with pytest.raises(ValueError, match="positive lengths"):
        p.PhotoConfig(coarse=0)
