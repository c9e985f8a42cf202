"""models/field/geometry.py: density read from planes of its own, which move smoothly; every renderer agrees."""

from dataclasses import replace

import pytest
import torch
from portrait_diffusion.models.camera import orbit, rays
from portrait_diffusion.models.field import occupancy
from portrait_diffusion.models.field.geometry import coarse_offset, moved
from portrait_diffusion.models.field.prepared import prepare
from portrait_diffusion.models.field.readable import ReadableField
from portrait_diffusion.models.field.volume_rendering import RenderConfig, render_rays
from torch.testing import assert_close

from .test_prepared import KINDS, random_field, some_points


def apart(*kind, **options):
    """A field whose density has planes of its own, both leaves."""
    field = random_field(*kind, **options)
    draws = torch.Generator().manual_seed(9)
    shape = torch.randn(field.planes.shape, generator=draws, dtype=field.planes.dtype).requires_grad_()
    return replace(field, geometry=shape)


@pytest.mark.parametrize("kind", KINDS)
def test_density_is_the_geometry_s_and_colour_the_planes(kind):
    field, points = apart(*kind), some_points(random_field(*kind))
    raw, features = field.raw(points)
    assert_close(raw, replace(field, planes=field.geometry, geometry=None).raw(points)[0])
    assert_close(features, replace(field, geometry=None).raw(points)[1])


@pytest.mark.parametrize("kind", KINDS)
def test_values_and_gradients_are_the_readable_ones(kind):
    field, points = apart(*kind), some_points(random_field(*kind))
    leaves, outcomes = [field.planes, field.geometry, *field.decoder.parameters()], []
    readable = ReadableField(field.planes, field.decoder, field.config, geometry=field.geometry)
    for same in (readable, prepare(field)):
        raw, features = same.raw(points)
        loss = raw.square().sum() + features.pow(3).sum()
        outcomes.append((raw, features, same.density(points), *torch.autograd.grad(loss, leaves)))
    for truth, value in zip(*outcomes, strict=True):
        assert_close(value, truth, rtol=1e-9, atol=1e-9)
    with torch.no_grad():
        assert_close(prepare(field).raw_density(points), field.raw(points)[0])


def test_the_fast_renderer_sees_the_same_head():
    field = apart(2, dtype=torch.float32, gain=2.0, resolution=16)
    origins, directions = (
        x.reshape(1, -1, 3) for x in rays(orbit(torch.tensor([0.4]), torch.zeros(1)), 24, 24)
    )
    config = RenderConfig(coarse=24, fine=24)
    with torch.no_grad():
        slow = render_rays(field, origins, directions, config)
        fast = occupancy.render_rays_fast(field, occupancy.build(field, 64), origins, directions, config)
    assert (slow.features - fast.features).abs().mean() < 2e-3


@pytest.mark.parametrize("depth", [0, 3])
def test_a_constant_offset_moves_all_alike_and_detail_it_cannot_make(depth):
    planes = random_field(depth, resolution=16).planes.detach()
    offset = coarse_offset(planes)
    assert offset.shape[-2:] == (4, 4) and offset.shape[:-2] == planes.shape[:-2] and not offset.any()
    assert_close(moved(planes, offset + 0.5), planes + 0.5)
    stripes = torch.tensor([1.0, -1.0]).repeat(8).to(planes)  # columns of one texel
    offset.requires_grad_()
    target = (moved(torch.zeros_like(planes), offset) * stripes).sum()
    (gradient,) = torch.autograd.grad(target, offset)
    assert gradient[..., 1:-1].abs().max() < 1e-9  # but at the border, where half of a stripe is beyond


def test_an_offset_of_other_planes_is_refused():
    planes = random_field(3, resolution=16).planes
    with pytest.raises(ValueError, match=r"expected an offset .* got \[1, 3, 4, 2, 4, 4\]"):
        moved(planes, planes.new_zeros(1, 3, 4, 2, 4, 4))
