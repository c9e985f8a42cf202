"""models/field/triplane.py: which axes a plane takes, how a grid is read, what lies outside."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from portrait_diffusion.models.field.triplane import Decoder, FieldConfig, TriplaneField, sample_planes
from torch.testing import assert_close

seeds = st.integers(0, 2**31)


def drawn(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("depth", [0, 5])
def test_each_plane_reads_its_own_axes(depth):
    config = FieldConfig(channels=1, depth=depth, resolution=8, box_side=2.0)
    points = torch.tensor([[[0.3, -0.4, 0.6]]])
    for plane, axes in enumerate(config.plane_axes):
        column, row = "xyz".index(axes[0]), "xyz".index(axes[1])
        ramp = (torch.arange(8) + 0.5) / 4 - 1  # the coordinate at each pixel centre
        planes = torch.zeros(1, *config.planes_shape)
        planes[0, plane] = ramp.expand(planes.shape[2:])
        assert_close(sample_planes(planes, points, config)[0, 0, 0] * 3, points[0, 0, column])
        planes[0, plane] = ramp[:, None].expand(planes.shape[2:])
        assert_close(sample_planes(planes, points, config)[0, 0, 0] * 3, points[0, 0, row])


def test_a_tri_grids_slices_run_along_the_axis_left_over():
    config = FieldConfig(channels=1, depth=4, resolution=4, box_side=2.0)
    points = torch.tensor([[[0.1, 0.2, 0.5]]])
    planes = torch.zeros(1, *config.planes_shape)
    planes[0, 0] = ((torch.arange(4) + 0.5) / 2 - 1)[None, :, None, None]  # the xy plane's slices hold z
    assert_close(sample_planes(planes, points, config)[0, 0, 0] * 3, points[0, 0, 2])


@given(seeds)
def test_features_outside_the_box_vanish_and_density_with_them(seed):
    config = FieldConfig(channels=4, depth=3, resolution=8, box_side=1.0)
    planes = drawn(1, *config.planes_shape, seed=seed)
    far = torch.tensor([[[0.7, 0.7, 0.7], [-0.9, 0.8, -0.7]]])
    assert sample_planes(planes, far, config).abs().max() == 0
    assert TriplaneField(planes, Decoder(config), config)(far)[0].abs().max() == 0


@given(seeds)
def test_the_box_and_the_points_may_be_scaled_together(seed):
    planes = drawn(1, 3, 4, 3, 8, 8, seed=seed)
    points = drawn(1, 20, 3, seed=seed) - 0.5
    small, large = (FieldConfig(channels=4, depth=3, resolution=8, box_side=side) for side in (1.0, 2.5))
    assert_close(sample_planes(planes, points, small), sample_planes(planes, points * 2.5, large), atol=1e-5, rtol=1e-4)


def test_colour_lies_in_the_widened_unit_range_and_gradients_reach_the_planes():
    config = FieldConfig(channels=4, depth=3, resolution=8)
    planes = drawn(1, *config.planes_shape).double().requires_grad_()
    decoder = Decoder(config).double()
    points = drawn(10, 3).double() - 0.5
    density, colour = TriplaneField(planes, decoder, config)(points)
    assert density.shape == (10,) and colour.shape == (10, 3)
    assert (density >= 0).all() and (colour > -0.0011).all() and (colour < 1.0011).all()
    torch.autograd.gradcheck(lambda p: TriplaneField(p, decoder, config)(points), planes, fast_mode=True)


def test_a_config_that_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="three pairs of axes"):
        FieldConfig(plane_axes=("xy", "xz", "ww"))
    with pytest.raises(ValueError, match="positive"):
        FieldConfig(box_side=0)
