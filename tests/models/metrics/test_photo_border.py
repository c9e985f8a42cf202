"""models/metrics/photo_border.py: closed forms."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from portrait_diffusion.models.camera import orbit, rays
from portrait_diffusion.models.metrics.photo_border import colour_drift, colour_of, lab_of, seam, seen_by

WIDTH, REACH = 40, 3


def ramp(slope, height, step=0.0):
    """[1, 3, height, WIDTH]: grey that rises from column to column, and once by a step, in the middle."""
    column = torch.arange(WIDTH, dtype=torch.float64)
    grey = 0.1 + slope * column + step * (column >= WIDTH // 2)
    return grey.expand(1, 3, height, WIDTH)


def left(height):
    """[1, 1, height, WIDTH]: what a photo sees that ends in the middle."""
    return (torch.arange(WIDTH) < WIDTH // 2).expand(1, 1, height, WIDTH)


@given(st.floats(2e-3, 8e-3), st.floats(0, 0.3), st.booleans())
def test_a_seam_is_the_step_over_those_beside_it(slope, step, upright):
    rgb, seen, distance = ramp(slope, 12, step), left(12), torch.full((1, 1, 12, WIDTH), 2.6)
    if upright:
        rgb, seen, distance = rgb.mT, seen.mT, distance.mT
    expected = (REACH * slope + step) / (REACH * slope)
    assert seam(rgb, seen, distance, REACH) == pytest.approx(expected, rel=1e-6)


def test_a_step_elsewhere_is_no_seam():
    rgb, distance = ramp(5e-3, 12, 0.2), torch.full((1, 1, 12, WIDTH), 2.6)
    seen = left(12).roll(10, -1)
    seen[..., :10] = True
    assert seam(rgb, seen, distance, REACH) == pytest.approx(1)


def test_what_is_flat_on_both_sides_has_no_seam():
    flat = torch.full((1, 3, 12, WIDTH), 0.5)
    assert seam(flat, left(12), torch.full((1, 1, 12, WIDTH), 2.6), REACH) == pytest.approx(1)


def test_another_surface_is_no_border():
    distance = torch.full((1, 1, 12, WIDTH), 2.6)
    assert math.isnan(seam(ramp(5e-3, 12), torch.ones(1, 1, 12, WIDTH, dtype=torch.bool), distance, REACH))
    distance[..., WIDTH // 2 :] = 2.7
    assert math.isnan(seam(ramp(5e-3, 12, 0.2), left(12), distance, REACH))
    distance[..., WIDTH // 2 :] = 0
    assert math.isnan(seam(ramp(5e-3, 12, 0.2), left(12), distance, REACH))


def sphere(camera, size, radius=0.2):
    """[V, 1, size, size] distances to a sphere around the origin, 0 where empty."""
    origins, directions = rays(camera, size, size)
    along = -(origins * directions).sum(-1)
    inside = radius**2 - (origins.square().sum(-1) - along.square())
    return torch.where(inside > 0, along - inside.clamp_min(0).sqrt(), 0.0)[:, None]


@pytest.mark.parametrize("yaw, share", [(0, 1.0), (60, 0.75), (90, 0.5), (180, 0.0)])
def test_a_photo_sees_the_half_of_a_sphere_that_faces_it(yaw, share):
    """Seen from the side, (1 + cos yaw) / 2 of the diameter; a little less, for a pixel along the photo's outline is not told."""
    photo = orbit(torch.zeros(1), torch.zeros(1))
    camera = orbit(torch.tensor([yaw]).deg2rad(), torch.zeros(1))
    distance = sphere(camera, 257)
    seen = seen_by(sphere(photo, 257), photo, distance, camera)
    row, there = seen[0, 0, 128], distance[0, 0, 128] > 0
    assert share - 0.12 < (row & there).sum() / there.sum() <= share + 0.02
    assert not (seen & (distance == 0)).any()


def test_grey_has_no_hue_and_its_drift_is_its_lightness():
    pale, dark = (torch.full((1, 3, 10, 10), value) for value in (1.0, 0.0))
    everywhere = torch.ones(1, 1, 10, 10, dtype=torch.bool)
    assert lab_of(pale)[0, :, 0, 0].tolist() == pytest.approx([100, 0, 0], abs=0.02)
    assert colour_drift(colour_of(pale, everywhere), colour_of(dark, everywhere)) == pytest.approx(
        100, abs=0.05
    )
    assert colour_drift(colour_of(pale, everywhere), colour_of(pale, everywhere)) == 0


def test_a_few_pixels_tell_no_colour():
    region = torch.zeros(1, 1, 10, 10, dtype=torch.bool)
    region[..., 0, :3] = True
    unknown = colour_of(torch.rand(1, 3, 10, 10, generator=torch.Generator().manual_seed(0)), region)
    assert unknown.isnan().all() and math.isnan(colour_drift(unknown, unknown))


def test_a_colour_is_the_median_of_its_region():
    rgb, region = torch.full((1, 3, 10, 10), 0.5), torch.zeros(1, 1, 10, 10, dtype=torch.bool)
    region[..., :6, :] = True
    rgb[..., 6:, :] = 1.0  # outside
    rgb[..., 0, :] = 0.0  # a sixth of it
    assert colour_of(rgb, region).tolist() == pytest.approx(lab_of(rgb)[0, :, 3, 0].tolist())
