import math
from dataclasses import replace

import pytest
import torch
from portrait_diffusion.models.mesh import mesh as m
from torch.testing import assert_close


def test_area_and_volume_of_a_box(box):
    assert_close(m.area(box), torch.tensor(22.0))
    assert_close(m.volume(box), torch.tensor(6.0))


def test_turning_the_faces_turns_the_volume(box):
    assert_close(m.volume(replace(box, faces=box.faces.flip(1))), torch.tensor(-6.0))


def test_volume_does_not_depend_on_where_the_mesh_is(box):
    assert_close(m.volume(replace(box, vertices=box.vertices + 5)), torch.tensor(6.0), atol=1e-3, rtol=0)


def test_normals_of_a_sphere_point_away_from_its_centre(sphere):
    outward = torch.nn.functional.normalize(sphere.vertices, dim=-1)
    assert ((m.vertex_normals(sphere) * outward).sum(-1) > math.cos(math.radians(6))).all()


def test_vertices_at_one_position_share_their_normal(sphere):
    apart = m.Mesh(m.corners(sphere).flatten(0, 1), torch.arange(sphere.faces.numel()).view(-1, 3))
    assert_close(m.vertex_normals(apart), m.vertex_normals(sphere)[sphere.faces.flatten()])


def test_a_vertex_without_faces_has_a_unit_normal(box):
    lonely = replace(box, vertices=torch.cat([box.vertices, torch.full((1, 3), 9.0)]))
    assert_close(m.vertex_normals(lonely).norm(dim=-1), torch.ones(9))


def test_watertight_means_every_edge_has_both_sides(box):
    assert m.is_watertight(box)
    assert not m.is_watertight(replace(box, faces=box.faces[1:]))
    turned = box.faces.clone()
    turned[0] = turned[0].flip(0)
    assert not m.is_watertight(replace(box, faces=turned))
    assert not m.is_watertight(replace(box, faces=box.faces[:0]))


def test_doubled_vertices_keep_a_mesh_watertight(box):
    apart = m.Mesh(m.corners(box).flatten(0, 1), torch.arange(36).view(12, 3))
    assert m.is_watertight(apart)
    assert m.merge_coincident(apart).vertices.shape == (8, 3)


@pytest.mark.parametrize(
    "change",
    [
        {"vertices": torch.zeros(8, 2)},
        {"faces": torch.zeros(4, 4, dtype=torch.int64)},
        {"faces": torch.zeros(4, 3)},
        {"faces": torch.full((1, 3), 8)},
        {"faces": torch.full((1, 3), -1)},
        {"normals": torch.zeros(7, 3)},
        {"uvs": torch.zeros(8, 3)},
        {"vertex_colors": torch.zeros(8, 4)},
        {"texture": torch.zeros(3, 4, 4)},
    ],
)
def test_what_does_not_fit_together_is_refused(box, change):
    with pytest.raises(ValueError, match="Mesh: .*expected.* got"):
        replace(box, **change)


def test_to_moves_numbers_and_keeps_faces_whole(sphere):
    double = sphere.to(torch.float64)
    assert double.vertices.dtype == double.normals.dtype == torch.float64
    assert double.faces.dtype == torch.int64
