"""models/field/triplane.py: which axes a plane takes, how a grid is read, what lies outside, what a decoder makes of it."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from portrait_diffusion.models.field.prepared import prepare
from portrait_diffusion.models.field.triplane import (
    EG3D,
    OURS,
    Decoder,
    FieldConfig,
    TriplaneField,
    sample_planes,
)
from torch.testing import assert_close

seeds = st.integers(0, 2**31)


def drawn(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("axes", [OURS, EG3D])
@pytest.mark.parametrize("depth", [0, 5])
def test_each_plane_reads_its_own_axes(depth, axes):
    config = FieldConfig(plane_axes=axes, channels=1, depth=depth, resolution=8, box_side=2.0)
    points = torch.tensor([[[0.3, -0.4, 0.6]]])
    for plane, pair in enumerate(config.plane_axes):
        column, row = "xyz".index(pair[0]), "xyz".index(pair[1])
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


def test_one_slice_is_not_a_plane_but_fades_with_its_distance():
    flat, sliced = (FieldConfig(channels=2, depth=depth, resolution=4, box_side=2.0) for depth in (0, 1))
    planes = torch.zeros(1, *flat.planes_shape)
    planes[:, 0] = drawn(2, 4, 4)  # xy
    points = torch.tensor([[[0.1, 0.2, z] for z in (-1.0, -0.5, 0.0, 0.8)]])
    fade = (1 - points[..., 2:].abs() / 2).expand(1, 4, 2)
    assert_close(
        sample_planes(planes[:, :, :, None], points, sliced), sample_planes(planes, points, flat) * fade
    )


def test_in_a_slab_the_front_tells_the_back_nothing_and_holds_on_beyond():
    config = FieldConfig(channels=1, depth=2, resolution=4, box_side=2.0, slab=0.4)
    points = torch.tensor([[[0.1, 0.2, z] for z in (-0.9, -0.2, -0.1, 0.0, 0.2, 0.9)]])
    planes = torch.zeros(1, *config.planes_shape)
    planes[0, 0, :, 1] = 3.0  # the front slice of xy
    wanted = torch.tensor([0.0, 0.0, 0.15625, 0.5, 1.0, 1.0])  # 3 u^2 - 2 u^3 at a quarter and at half
    assert_close(sample_planes(planes, points, config)[0, :, 0], wanted)
    for bad in (-1.0, 1e-30):
        with pytest.raises(ValueError, match="slab"):
            FieldConfig(slab=bad)


@given(seeds)
def test_features_outside_the_box_vanish_and_density_with_them(seed):
    config = FieldConfig(channels=4, depth=3, resolution=8, box_side=1.0)
    planes = drawn(1, *config.planes_shape, seed=seed)
    far = torch.tensor([[[0.7, 0.7, 0.7], [-0.9, 0.8, -0.7]]])
    field = TriplaneField(planes, Decoder(config), config)
    assert sample_planes(planes, far, config).abs().max() == 0
    assert field(far)[0].abs().max() == 0
    assert_close(
        field.raw(far)[0], field.decoder(torch.zeros(1, 2, 4))[0]
    )  # the family's renderer sees the decoder's constant


def test_what_is_cut_off_is_as_empty_as_what_lies_outside():
    config = FieldConfig(channels=4, depth=3, resolution=8, crop=0.1, density_shift=4.0)
    field = TriplaneField(drawn(1, *config.planes_shape), Decoder(config), config)
    points = torch.tensor([[0.45, 0.0, 0.0], [0.0, 0.0, -0.41], [0.0, 0.49, 0.0], [0.39, 0.0, 0.39]])
    assert config.inside(points).tolist() == [False, False, True, True]
    for density in (field.density(points), prepare(field).density(points)):
        assert (density > 0).tolist() == [False, False, True, True]


@given(seeds)
def test_the_box_and_the_points_may_be_scaled_together(seed):
    planes = drawn(1, 3, 4, 3, 8, 8, seed=seed)
    points = drawn(1, 20, 3, seed=seed) - 0.5
    small, large = (FieldConfig(channels=4, depth=3, resolution=8, box_side=side) for side in (1.0, 2.5))
    assert_close(
        sample_planes(planes, points, small), sample_planes(planes, points * 2.5, large), atol=1e-5, rtol=1e-4
    )


def test_colour_lies_in_the_widened_unit_range_and_gradients_reach_the_planes():
    config = FieldConfig(channels=4, depth=3, resolution=8)
    planes = drawn(1, *config.planes_shape).double().requires_grad_()
    decoder = Decoder(config).double()
    points = drawn(10, 3).double() - 0.5
    density, colour = TriplaneField(planes, decoder, config)(points)
    assert density.shape == (10,) and colour.shape == (10, 3)
    assert (density >= 0).all() and (colour > -0.0011).all() and (colour < 1.0011).all()
    torch.autograd.gradcheck(lambda p: TriplaneField(p, decoder, config)(points), planes, fast_mode=True)


@pytest.mark.parametrize("activation", ["sigmoid", "lrelu", "none"])
def test_a_decoders_activation_is_its_configs(activation):
    config = FieldConfig(channels=4, hidden=8, features=6, activation=activation)
    decoder, x = Decoder(config), drawn(5, 4)
    raw, features = decoder(x)
    plain = decoder.net(x)
    assert_close(raw, plain[:, 0])
    expected = {
        "sigmoid": plain.sigmoid() * 1.002 - 0.001,
        "lrelu": F.leaky_relu(plain, 0.2) * math.sqrt(2),
        "none": plain,
    }[activation]
    assert_close(features, expected[:, 1:])
    assert set(decoder.state_dict()) == {f"net.{i}.{part}" for i in (0, 2) for part in ("weight", "bias")}


def test_density_is_the_softplus_that_the_config_says():
    config = FieldConfig(density_shift=-4.0, density_scale=100.0)
    field = TriplaneField(torch.zeros(1, *config.planes_shape), Decoder(config), config)
    assert_close(field.activate(torch.tensor([4.0, -1000.0])), torch.tensor([100 * math.log(2), 0.0]))


@pytest.mark.parametrize("activation", ["sigmoid", "none"])
def test_a_colour_layer_reads_features_as_the_generator_does(activation):
    config = FieldConfig(features=5, activation=activation)
    matrix, bias = drawn(1, 3, 5), drawn(3, seed=1)
    field = TriplaneField(torch.zeros(1, *config.planes_shape), Decoder(config), config, (matrix, bias))
    features = drawn(1, 7, 5)
    signed = features * 2 - 1 if activation == "sigmoid" else features
    assert_close(field.rgb(features), (signed @ matrix.mT + bias + 1) / 2)
    # premultiplied features give premultiplied colours
    assert_close(field.rgb(0.3 * features, torch.full((1, 7, 1), 0.3)), 0.3 * field.rgb(features))
    plain = replace(field, to_rgb=None)
    assert_close(
        plain.rgb(features), features[..., :3] if activation == "sigmoid" else (features[..., :3] + 1) / 2
    )


def test_planes_in_half_precision_are_read_at_exact_points():
    config = FieldConfig(channels=4, resolution=64)
    planes, points = drawn(1, *config.planes_shape), drawn(1, 50, 3) - 0.5
    half = sample_planes(planes.half(), points, config)
    assert half.dtype == torch.float32
    assert_close(half, sample_planes(planes, points, config), atol=1e-3, rtol=0)


def test_a_config_that_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="three pairs of axes"):
        FieldConfig(plane_axes=("xy", "xz", "ww"))
    with pytest.raises(ValueError, match="positive"):
        FieldConfig(box_side=0)
    with pytest.raises(ValueError, match="activation"):
        FieldConfig(activation="tanh")
    with pytest.raises(ValueError, match="crop"):
        FieldConfig(crop=0.5)
