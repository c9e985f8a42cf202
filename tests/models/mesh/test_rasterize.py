import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from portrait_diffusion.models import camera as c
from portrait_diffusion.models.mesh import rasterize as r
from portrait_diffusion.models.mesh.mesh import Mesh
from torch.testing import assert_close

seeds = st.integers(0, 2**31)


def rasterize_slowly(positions, faces, height, width):
    """The readable twin: every face at every pixel, one after the other."""
    index = torch.full((height, width), -1, dtype=torch.int64)
    weights = torch.zeros(height, width, 3, dtype=positions.dtype)
    for y in range(height):
        for x in range(width):
            nearest = math.inf
            for i, face in enumerate(faces.tolist()):
                (ax, ay, az), (bx, by, bz), (cx, cy, cz) = positions[face].tolist()
                px, py = x + 0.5, y + 0.5
                area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
                wa = ((bx - px) * (cy - py) - (by - py) * (cx - px)) / area
                wb = ((cx - px) * (ay - py) - (cy - py) * (ax - px)) / area
                wc = 1 - wa - wb
                if min(wa, wb, wc) < 0 or min(az, bz, cz) <= 0:
                    continue
                depth = 1 / (wa / az + wb / bz + wc / cz)
                if depth < nearest:
                    nearest = depth
                    index[y, x] = i
                    weights[y, x] = torch.tensor([wa / az, wb / bz, wc / cz]) * depth
    return index, weights


@settings(deadline=None, max_examples=15)
@given(seeds)
def test_the_fast_path_agrees_with_its_twin(seed):
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(60, 3, generator=generator, dtype=torch.float64)
    positions = corners * torch.tensor([26.0, 20.0, 4.0]) + torch.tensor([-4.0, -4.0, -0.1])
    faces = torch.arange(60).view(20, 3)
    index, weights = r.rasterize(positions, faces, 12, 18)
    slow_index, slow_weights = rasterize_slowly(positions, faces, 12, 18)
    inside = [
        (own < 0) | (share.amin(-1) > 1e-9)  # on an edge rounding decides (seed 155)
        for own, share in ((index, weights), (slow_index, slow_weights))
    ]
    sure = inside[0] & inside[1]
    assert (~sure).sum() <= 2
    assert torch.equal(index[sure], slow_index[sure])
    assert_close(weights[sure], slow_weights[sure], atol=1e-6, rtol=0)


@settings(deadline=None, max_examples=10)
@given(seeds)
def test_neither_the_order_of_faces_nor_the_block_size_matters(seed):
    generator = torch.Generator().manual_seed(seed)
    positions = torch.rand(90, 3, generator=generator) * torch.tensor([20.0, 20.0, 1.0]) + torch.tensor(
        [0.0, 0.0, 0.5]
    )
    faces, order = torch.arange(90).view(30, 3), torch.randperm(30, generator=generator)
    index, weights = r.rasterize(positions, faces, 20, 20)
    before, r.CANDIDATES = r.CANDIDATES, 50
    try:
        shuffled, shuffled_weights = r.rasterize(positions, faces[order], 20, 20)
    finally:
        r.CANDIDATES = before
    assert torch.equal(torch.where(shuffled < 0, shuffled, order[shuffled]), index)
    assert_close(shuffled_weights, weights)


def test_two_faces_leave_no_gap_and_no_bleed():
    square = torch.tensor([[2.0, 2.0, 1.0], [8.0, 2.0, 1.0], [8.0, 8.0, 1.0], [2.0, 8.0, 1.0]])
    index, weights = r.rasterize(square, torch.tensor([[0, 1, 2], [0, 2, 3]]), 10, 10)
    expected = torch.zeros(10, 10, dtype=torch.bool)
    expected[2:8, 2:8] = True
    assert torch.equal(index >= 0, expected)
    assert_close(weights.sum(-1), expected.float())


def test_weights_are_perspective_correct():
    positions = torch.tensor([[0.0, 0.0, 1.0], [40.0, 0.0, 3.0], [0.0, 40.0, 9.0]], dtype=torch.float64)
    index, weights = r.rasterize(positions, torch.tensor([[0, 1, 2]]), 40, 40)
    # a corner of the pinhole's plane: X = x z, Y = y z, Z = z is linear on the face, and has to come out at its pixel
    space = torch.cat([positions[:, :2] * positions[:, 2:], positions[:, 2:]], -1)
    seen = index >= 0
    points = r.interpolate(space, torch.tensor([[0, 1, 2]]), index[seen], weights[seen])
    y, x = seen.nonzero().unbind(-1)
    assert_close(points[:, 0] / points[:, 2], x + 0.5, check_dtype=False)
    assert_close(points[:, 1] / points[:, 2], y + 0.5, check_dtype=False)


def test_faces_behind_the_camera_without_area_or_not_finite_are_left_out():
    positions = torch.tensor(
        [[0.0, 0, 1], [9, 0, 1], [0, 9, -1], [4, 4, 1], [5, 5, 1], [6, 6, 1], [math.nan, 0, 1], [0, 9, 1]]
    )
    index, _ = r.rasterize(positions, torch.tensor([[0, 1, 2], [3, 4, 5], [0, 1, 6]]), 8, 8)
    assert (index == -1).all()
    assert (r.rasterize(positions, torch.zeros(0, 3, dtype=torch.int64), 8, 8)[0] == -1).all()


def test_back_faces_are_those_that_turn_clockwise_on_screen():
    positions = torch.tensor(
        [[0.0, 0.0, 1.0], [0.0, 8.0, 1.0], [8.0, 0.0, 1.0]]
    )  # counter-clockwise as one looks at it
    front = torch.tensor([[0, 1, 2]])
    assert (r.rasterize(positions, front, 8, 8, back_faces=False)[0] == 0).any()
    assert (r.rasterize(positions, front.flip(1), 8, 8, back_faces=False)[0] == -1).all()
    assert (r.rasterize(positions, front.flip(1), 8, 8)[0] == 0).any()


def sphere_along_rays(camera, size, radius):
    """Distance [S, S] to a sphere around the origin, NaN beside it."""
    origins, directions = c.rays(camera, size, size)
    half = -(origins * directions).sum(-1)
    return half - (half**2 - (origins**2).sum(-1) + radius**2).sqrt()


@pytest.mark.parametrize(("yaw", "pitch"), [(0.0, 0.0), (2.0, 0.5), (-1.0, -1.2)])
def test_a_sphere_s_distance_and_normals_are_those_of_the_rays(sphere, yaw, pitch):
    camera = c.orbit(yaw, pitch, radius=2.0, focal=2.0)
    view = r.render_mesh(sphere, camera, 64)
    exact = sphere_along_rays(camera, 64, 0.3)
    inner = (exact.isfinite() & (exact < 1.85)) & (view.mask[0] > 0)
    assert (view.mask[0] > 0)[exact < 1.85].all()
    assert_close(view.ray_distance[0][inner], exact[inner], atol=2e-3, rtol=0)
    origins, directions = c.rays(camera, 64, 64)
    normal = (
        torch.nn.functional.normalize(origins + exact[..., None] * directions, dim=-1)
        @ camera.cam2world[:3, :3]
    )
    assert ((view.normal.permute(1, 2, 0) * normal).sum(-1)[inner] > 0.999).all()
    assert (view.ray_distance[view.mask == 0] == 0).all() and (view.rgb.amin(0)[view.mask[0] == 0] == 1).all()


def test_a_closed_mesh_looks_the_same_without_back_faces(sphere):
    both, front = (r.render_mesh(sphere, c.orbit(0.3, 0.2), 48, back_faces=back) for back in (True, False))
    assert_close(front.ray_distance, both.ray_distance)


def test_supersampling_averages_coverage_and_keeps_distances(sphere):
    plain, fine = (
        r.render_mesh(sphere, c.frontal(), 32, supersampling=k, background=(0.0, 0.0, 1.0)) for k in (1, 3)
    )
    assert ((fine.mask > 0) & (fine.mask < 1)).any()
    assert_close(fine.mask.mean(), plain.mask.mean(), atol=0.01, rtol=0)
    assert_close(fine.rgb[2], fine.rgb[0] + 1 - fine.mask[0])
    whole = (fine.mask == 1) & (plain.mask == 1)
    assert_close(fine.ray_distance[whole], plain.ray_distance[whole], atol=0.01, rtol=0)
    assert_close(fine.normal.norm(dim=0)[fine.mask[0] > 0], torch.ones(int((fine.mask > 0).sum())))


def test_a_texture_is_seen_the_right_way_up():
    corners = torch.tensor([[-0.3, 0.3, 0.0], [0.3, 0.3, 0.0], [0.3, -0.3, 0.0], [-0.3, -0.3, 0.0]])
    uvs = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    texture = torch.zeros(3, 2, 2)
    texture[0, 0, 0] = texture[1, 0, 1] = texture[2, 1, 0] = 1
    card = Mesh(corners, torch.tensor([[0, 3, 2], [0, 2, 1]]), uvs=uvs, texture=texture)
    rgb = r.render_mesh(card, c.frontal(), 64).rgb
    assert_close(rgb[:, 6, 6], torch.tensor([1.0, 0, 0]), atol=0.05, rtol=0)
    assert_close(rgb[:, 6, 57], torch.tensor([0, 1.0, 0]), atol=0.05, rtol=0)
    assert_close(rgb[:, 57, 6], torch.tensor([0, 0, 1.0]), atol=0.05, rtol=0)


def test_vertex_colours_are_interpolated(sphere):
    coloured = replace(sphere, vertex_colors=sphere.vertices + 0.5)
    camera = c.orbit(0.7, 0.1)
    view = r.render_mesh(coloured, camera, 48)
    origins, directions = c.rays(camera, 48, 48)
    points = origins + view.ray_distance[0, ..., None] * directions
    seen = view.mask[0] > 0
    assert_close(view.rgb.permute(1, 2, 0)[seen], points[seen] + 0.5, atol=1e-5, rtol=0)


def test_what_cannot_be_drawn_says_so(sphere):
    with pytest.raises(ValueError, match="one camera, got a batch"):
        r.render_mesh(sphere, c.orbit(torch.zeros(2), 0.0), 16)
    with pytest.raises(ValueError, match="positive size"):
        r.render_mesh(sphere, c.frontal(), 0)
    with pytest.raises(ValueError, match="1x1 pixels"):
        r.rasterize(torch.zeros(3, 3), torch.zeros(1, 3, dtype=torch.int64), 0, 4)
