"""models/field/prepared.py: the same field, values and gradients."""

from dataclasses import replace

import pytest
import torch
from portrait_diffusion.models.field import prepared
from portrait_diffusion.models.field.prepared import PreparedField, prepare
from portrait_diffusion.models.field.readable import ReadableField
from portrait_diffusion.models.field.triplane import EG3D, OURS, Decoder, FieldConfig, TriplaneField
from torch.testing import assert_close

KINDS = [
    (0, "sigmoid", EG3D, 1),
    (1, "lrelu", OURS, 2),
    (2, "sigmoid", OURS, 1),
    (3, "none", OURS, 2),
    (2, "sigmoid", OURS, 1, 0.3),
    (3, "lrelu", OURS, 2, 0.5),
]


def random_field(
    depth=0, activation="sigmoid", axes=OURS, heads=1, slab=0.0, dtype=torch.float64, gain=1.0, resolution=9
):
    config = FieldConfig(
        depth=depth,
        activation=activation,
        plane_axes=axes,
        resolution=resolution,
        channels=4,
        hidden=6,
        features=5,
        slab=slab,
    )
    generator = torch.Generator().manual_seed(depth)
    decoder = Decoder(config).to(dtype)
    decoder.net[0].rate = 0.7
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.copy_(gain * torch.randn(parameter.shape, generator=generator, dtype=dtype))
    planes = torch.randn(heads, *config.planes_shape, generator=generator, dtype=dtype).requires_grad_()
    return TriplaneField(planes, decoder, config)


def some_points(field, count=3000):
    """[B, count, 3], some of them outside the box."""
    generator = torch.Generator().manual_seed(1)
    return (
        torch.rand(len(field.planes), count, 3, generator=generator, dtype=field.planes.dtype) - 0.5
    ) * 1.2


@pytest.mark.parametrize("kind", KINDS)
def test_values_and_gradients_are_the_readable_ones(kind, monkeypatch):
    monkeypatch.setattr(prepared, "BLOCK", 1000)
    field = random_field(*kind)
    points, learnt = some_points(field), [field.planes, *field.decoder.parameters()]
    found = []
    for same in (ReadableField(field.planes, field.decoder, field.config), prepare(field)):
        raw, features = same.raw(points)
        loss = raw.square().sum() + features.pow(3).sum()
        found.append((raw, features, same.density(points), *torch.autograd.grad(loss, learnt)))
    for wanted, seen in zip(*found, strict=True):
        assert_close(seen, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_density_alone_is_the_same(kind):
    field = random_field(*kind)
    ready, points = prepare(field), some_points(field)
    assert_close(ready.raw_density(points), field.raw(points)[0])
    with torch.no_grad():
        assert_close(ready.density(points), field.density(points))
        for seen, wanted in zip(ready(points), field(points), strict=True):
            assert_close(seen, wanted)


@pytest.mark.parametrize("depth", [0, 2])
def test_planes_of_one_texel(depth):
    field = random_field(depth, resolution=1)
    points = some_points(field)
    assert_close(prepare(field).raw(points), field.raw(points))


def test_large_hidden_values_do_not_overflow():
    field = random_field(dtype=torch.float32, gain=300.0)
    points = some_points(field)
    wanted, seen = field.raw(points), prepare(field).raw(points)
    assert torch.isfinite(seen[0]).all()
    assert_close(seen, wanted, rtol=1e-4, atol=1.0)


def test_points_still_get_gradients():
    field = random_field()
    points = some_points(field, 20).requires_grad_()
    wanted, seen = (torch.autograd.grad(f.raw(points)[0].sum(), points)[0] for f in (field, prepare(field)))
    assert_close(seen, wanted)


def test_lower_precision_around_it_changes_nothing():
    field = random_field(dtype=torch.float32, resolution=200)
    points, ready = some_points(field), prepare(field)
    with torch.autocast("cpu", torch.bfloat16):
        low, density = ready.raw(points), ready.raw_density(points)
    assert_close(low, ready.raw(points))
    assert_close(density, low[0])


def test_no_points_are_no_values():
    raw, features = prepare(random_field(2)).raw(torch.zeros(1, 0, 3, dtype=torch.float64))
    assert raw.shape == (1, 0) and features.shape == (1, 0, 5)


def test_half_planes_are_looked_up_in_single_precision():
    field = random_field(dtype=torch.float32)
    half = replace(field, planes=field.planes.half())
    raw, features = prepare(half).raw(some_points(field))
    assert raw.dtype == features.dtype == torch.float32


def test_what_is_prepared_stays_so_and_other_fields_are_left_alone():
    field = random_field()
    ready = prepare(field)
    assert isinstance(ready, PreparedField) and prepare(ready) is ready
    stranger = replace(field, decoder=torch.nn.Identity())
    assert prepare(stranger) is stranger
