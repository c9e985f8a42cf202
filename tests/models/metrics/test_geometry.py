"""models/metrics/geometry.py: closed forms."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from portrait_diffusion.models.camera import frontal, rays
from portrait_diffusion.models.metrics.geometry import depth_error, normal_error, silhouette_iou


def halves():
    """Two masks [1, 1, 4, 6] that share a third of what either covers."""
    a, b = torch.zeros(2, 1, 1, 4, 6).unbind(0)
    a[..., :4], b[..., 2:] = 1, 1
    return a, b


def test_iou_of_known_masks():
    a, b = halves()
    assert silhouette_iou(a, b) == pytest.approx(1 / 3)
    assert silhouette_iou(a, a) == 1 and silhouette_iou(a, 1 - a) == 0
    assert silhouette_iou(a * 0, b * 0) == 1
    assert silhouette_iou(0.6 * a, b) == silhouette_iou(b, 0.9 * a)


@given(st.floats(-0.1, 0.1))
def test_depth_error_of_a_moved_plane(by):
    a, b = halves()
    distance = torch.full((1, 1, 4, 6), 2.6, dtype=torch.float64)
    ours = torch.where(a * b > 0, distance + by, 9.0)  # what lies outside is not looked at
    assert depth_error(ours, distance, a * b) == pytest.approx(abs(by), abs=1e-9)


def test_depth_error_of_a_sphere_that_grew():
    """Straight ahead a sphere around the origin is nearer by as much as its radius grew."""
    origins, directions = rays(frontal(), 33, 33)

    def distance(radius):
        along = -(origins * directions).sum(-1)
        return along - (radius**2 - (origins.square().sum(-1) - along.square())).clamp_min(0).sqrt()

    middle = torch.zeros(1, 1, 33, 33)
    middle[..., 16, 16] = 1
    assert depth_error(distance(0.12)[None, None], distance(0.10)[None, None], middle) == pytest.approx(
        0.02, abs=1e-5
    )


@given(st.floats(0, math.pi), st.floats(0.1, 5))
def test_normal_error_is_the_angle_whatever_the_length(angle, length):
    exact = torch.tensor([0.0, 0.0, -1.0], dtype=torch.float64)[None, :, None, None].expand(1, 3, 2, 2)
    ours = length * torch.tensor([math.sin(angle), 0.0, -math.cos(angle)], dtype=torch.float64)[
        None, :, None, None
    ].expand(1, 3, 2, 2)
    assert normal_error(ours, exact, torch.ones(1, 1, 2, 2)) == pytest.approx(math.degrees(angle), abs=1e-6)


def test_views_that_share_no_pixel_have_no_error():
    empty, three = torch.zeros(1, 1, 4, 6), torch.ones(1, 3, 4, 6)
    with pytest.raises(ValueError, match="depth_error: expected silhouettes that overlap"):
        depth_error(empty, empty, empty)
    with pytest.raises(ValueError, match="normal_error: expected silhouettes that overlap"):
        normal_error(three, three, empty)
