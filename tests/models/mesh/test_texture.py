from dataclasses import replace

import pytest
import torch
from portrait_diffusion.models import camera as c
from portrait_diffusion.models.mesh import mesh as m
from portrait_diffusion.models.mesh import texture as t
from portrait_diffusion.models.mesh.rasterize import render_mesh
from torch.testing import assert_close


def waves(points, normals):
    """A colour of the place: smooth, every channel another."""
    return 0.5 + 0.4 * torch.sin(points * torch.tensor([17.0, 13.0, 11.0]))


def psnr(difference):
    return -10 * difference.square().mean().log10()


@pytest.fixture(scope="module")
def unwrapped(sphere):
    return t.unwrap(sphere, size=256)


def test_unwrapping_keeps_the_surface(sphere, unwrapped):
    assert_close(m.area(unwrapped), m.area(sphere))
    assert_close(m.volume(unwrapped), m.volume(sphere))
    assert m.is_watertight(unwrapped)
    assert len(unwrapped.vertices) < 1.3 * len(sphere.vertices)
    assert_close(
        unwrapped.normals, torch.nn.functional.normalize(unwrapped.vertices, dim=-1), atol=6e-3, rtol=0
    )


def test_every_texel_belongs_to_one_chart(unwrapped):
    size = 1024
    assert unwrapped.uvs.min() >= 0 and unwrapped.uvs.max() <= 1
    corners = unwrapped.uvs[unwrapped.faces] * size
    a, b, c_ = corners.unbind(1)
    ab, ac = b - a, c_ - a
    covered = (ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]).abs().sum() / 2
    flat = torch.cat([unwrapped.uvs * size, torch.ones(len(unwrapped.uvs), 1)], -1)
    index, _ = t.rasterize(flat, unwrapped.faces, size, size)
    seen = (index >= 0).sum()
    # overlapping charts would show fewer texels than their areas add up to
    assert_close(seen.double(), covered.double(), rtol=2e-3, atol=0)
    assert seen > 0.5 * size**2


def test_a_baked_colour_is_the_colour_of_the_place(unwrapped):
    baked = t.bake(unwrapped, waves, 256)
    camera = c.orbit(0.8, 0.3)
    view = render_mesh(baked, camera, 128)
    origins, directions = c.rays(camera, 128, 128)
    points = origins + view.ray_distance[0, ..., None] * directions
    seen = view.mask[0] > 0
    assert psnr(view.rgb.permute(1, 2, 0)[seen] - waves(points, None)[seen]) > 40


def test_seams_do_not_show(unwrapped):
    """One colour everywhere on the surface is one colour everywhere in the picture and in the texture."""
    orange = torch.tensor([1.0, 0.5, 0.1])
    baked = t.bake(unwrapped, lambda points, normals: orange.expand_as(points), 128)
    assert_close(baked.texture, orange[:, None, None].expand(3, 128, 128))


def test_normals_come_with_the_points_at_unit_length(unwrapped):
    def colour(points, normals):
        assert_close(normals.norm(dim=-1), torch.ones(len(points)))
        assert ((normals * torch.nn.functional.normalize(points, dim=-1)).sum(-1) > 0.999).all()
        return (normals + 1) / 2

    assert t.bake(unwrapped, colour, 64).texture.shape == (3, 64, 64)


def test_colours_are_asked_for_in_chunks(unwrapped):
    sizes, told = [], []

    def colour(points, normals):
        sizes.append(len(points))
        return waves(points, normals)

    whole = t.bake(unwrapped, waves, 64)
    parts = t.bake(unwrapped, colour, 64, chunk=500, callback=lambda done, total: told.append((done, total)))
    assert max(sizes) == 500 and told[-1][0] == told[-1][1] == sum(sizes)
    assert_close(parts.texture, whole.texture)


def test_dilation_takes_the_nearest():
    image = torch.zeros(5, 7, 1)
    image[2, 1], image[2, 5] = 1.0, 2.0
    valid = image[..., 0] > 0
    columns = t.dilate(image, valid)[..., 0]
    assert (columns[:, :3] == 1).all() and (columns[:, 4:] == 2).all()


def test_vertex_colours_are_the_colours_of_the_places(sphere):
    coloured = t.color_vertices(sphere, waves, chunk=999)
    assert_close(coloured.vertex_colors, waves(sphere.vertices, None))
    assert coloured.texture is None


def test_fairing_shrinks_steps_but_moves_nothing_far(sphere):
    faired = t.faired(sphere, 10)
    assert faired.norm(dim=-1).std() < 0.005
    assert (faired - sphere.vertices).norm(dim=-1).max() < 0.03


def test_what_cannot_be_baked_says_so(sphere, unwrapped, box):
    with pytest.raises(ValueError, match="unwrap it first"):
        t.bake(sphere, waves, 64)
    with pytest.raises(ValueError, match="positive texture size"):
        t.bake(unwrapped, waves, 0)
    with pytest.raises(ValueError, match="finite colours"):
        t.bake(unwrapped, lambda p, n: p * float("nan"), 64)
    with pytest.raises(ValueError, match="mesh with faces"):
        t.unwrap(replace(box, faces=box.faces[:0]))
    with pytest.raises(ValueError, match="no texel"):
        t.bake(replace(box, uvs=torch.zeros(8, 2)), waves, 8)
