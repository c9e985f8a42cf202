"""models/metrics/surface.py: closed forms."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from portrait_diffusion.models.metrics.surface import roughness, stray_matter


def cylinder(turn, height=5, width=7):
    """[1, 3, H, W]: normals that turn by an angle from column to column."""
    angle = turn * torch.arange(width, dtype=torch.float64)
    normal = torch.stack([angle.sin(), torch.zeros_like(angle), -angle.cos()])
    return normal[None, :, None].expand(1, 3, height, width)


@given(st.floats(0, 1.5), st.floats(0.1, 4))
def test_a_cylinder_turns_along_its_rows_alone(turn, length):
    H, W = 5, 7
    pairs, turning = H * (W - 1) + W * (H - 1), H * (W - 1)
    measured = roughness(length * cylinder(turn, H, W), torch.ones(1, 1, H, W))
    assert measured == pytest.approx(math.degrees(turn) * turning / pairs, abs=1e-6)


def test_only_neighbours_that_are_both_inside_count():
    normals, mask = cylinder(0.1).clone(), torch.zeros(1, 1, 5, 7)
    mask[..., 2, 1:4] = 1  # one row of three
    normals[..., 4:] = 0  # beyond it
    assert roughness(normals, mask) == pytest.approx(math.degrees(0.1))
    assert math.isnan(roughness(normals, torch.zeros(1, 1, 5, 7)))


def test_dimples_raise_it():
    """A wave of slope A over k pixels: the mean angle of a step is about 2 A / k times 2."""
    place = torch.arange(400, dtype=torch.float64)
    slope = 0.1 * torch.sin(2 * math.pi * place / 40)
    normal = torch.stack([slope.sin(), torch.zeros_like(slope), -slope.cos()])[None, :, None]
    flat = torch.tensor([0.0, 0.0, -1.0], dtype=torch.float64)[None, :, None, None].expand_as(normal)
    mask = torch.ones(1, 1, 1, 400)
    assert roughness(flat, mask) == pytest.approx(0, abs=1e-9)
    assert roughness(normal, mask) == pytest.approx(math.degrees(4 * 0.1 / 40), rel=0.01)


def block(grid, corner, side):
    """A cube of matter in a grid."""
    x, y, z = corner
    grid[x : x + side, y : y + side, z : z + side] = True


def test_pieces_beside_the_largest_are_counted_with_their_share():
    solid = torch.zeros(20, 20, 20, dtype=torch.bool)
    assert stray_matter(solid) == (0, 0.0)
    block(solid, (2, 2, 2), 6)
    assert stray_matter(solid) == (0, 0.0)
    block(solid, (12, 12, 12), 2)
    block(solid, (17, 2, 2), 1)
    assert stray_matter(solid) == (2, pytest.approx(9 / (216 + 9)))


def test_cells_that_share_a_corner_are_one_piece():
    solid = torch.zeros(8, 8, 8, dtype=torch.bool)
    block(solid, (1, 1, 1), 3)
    block(solid, (4, 4, 4), 1)
    assert stray_matter(solid) == (0, 0.0)


def test_what_the_hollow_hides_is_not_stray():
    solid = torch.zeros(12, 12, 12, dtype=torch.bool)
    block(solid, (1, 1, 1), 9)
    solid[3:8, 3:8, 3:8] = False
    block(solid, (5, 5, 5), 1)
    assert stray_matter(solid) == (0, 0.0)
    solid[5, 5, :3] = False  # a shaft to it: what lies open is seen
    assert stray_matter(solid)[0] == 1
