"""models/mesh/placing.py: meshes of any size and place fill the frame from every side; a turn is a camera's."""

import math
from dataclasses import replace

import pytest
import torch
from portrait_diffusion.models.camera import orbit, project
from portrait_diffusion.models.mesh.mesh import Mesh
from portrait_diffusion.models.mesh.placing import into_frame, turned
from portrait_diffusion.models.mesh.rasterize import render_mesh
from torch.testing import assert_close


def box(scale=1.0, shift=(0.0, 0.0, 0.0)) -> Mesh:
    """A box of 2 x 3 x 1."""
    sides = [(x, y, z) for x in (-1.0, 1.0) for y in (-1.5, 1.5) for z in (-0.5, 0.5)]
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = [triangle for a, b, c, d in quads for triangle in ((a, b, c), (a, c, d))]
    colours = (torch.tensor(sides) + 1.5) / 3
    return Mesh(torch.tensor(sides) * scale + torch.tensor(shift), torch.tensor(faces), vertex_colors=colours)


@pytest.mark.parametrize(("scale", "shift"), [(1.0, (0.0, 0.0, 0.0)), (50.0, (3.0, -7.0, 90.0))])
def test_a_mesh_is_seen_whole_from_every_side_and_is_large(scale, shift):
    mesh = into_frame(box(scale, shift))
    for yaw in torch.linspace(0, 2 * math.pi, 9):
        places = project(orbit(float(yaw), 0.5), mesh.vertices)[0]
        assert (places > 0).all() and (places < 1).all()
        assert (places[:, 1].amax() - places[:, 1].amin()) > 0.6
    assert_close(mesh.vertices.mean(0), torch.zeros(3), atol=1e-5, rtol=0)


def test_a_mesh_without_extent_is_refused():
    with pytest.raises(ValueError, match="expected one with an extent"):
        into_frame(replace(box(), vertices=torch.ones(8, 3)))


def test_a_turned_mesh_shows_a_turned_camera_what_the_front_saw():
    mesh = into_frame(box())
    before = render_mesh(mesh, orbit(0.0, 0.0), 32)
    after = render_mesh(turned(mesh, 0.7), orbit(0.7, 0.0), 32)
    assert_close(after.rgb, before.rgb, atol=2e-2, rtol=0)
    normals = torch.nn.functional.normalize(mesh.vertices, dim=-1)
    lit = turned(replace(mesh, normals=normals), 0.7)
    assert_close(lit.normals, torch.nn.functional.normalize(lit.vertices, dim=-1))
