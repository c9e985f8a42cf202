"""models/field/spheres.py: the reference's look-ups, the paper's formulas, slopes on the axes, and whoever renders them."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from portrait_diffusion.models.camera import orbit
from portrait_diffusion.models.field import occupancy
from portrait_diffusion.models.field.casting import MarchingCaster, render
from portrait_diffusion.models.field.prepared import prepare
from portrait_diffusion.models.field.readable import ReadableField
from portrait_diffusion.models.field.readable import render_rays as readable_rays
from portrait_diffusion.models.field.spheres import on_sphere, sphere_features, texels_last
from portrait_diffusion.models.field.triplane import Decoder, FieldConfig, TriplaneField, plane_features
from portrait_diffusion.models.field.volume_rendering import RenderConfig, render_rays
from torch.testing import assert_close

from ...golden_fixtures import assert_near, each

CONFIG = FieldConfig(
    channels=4,
    depth=2,
    resolution=16,
    hidden=8,
    features=4,
    crop=0.1,
    density_shift=-3.0,
    density_scale=60.0,
    spheres=True,
)


def field(seed=0):
    """Random planes, of which a third is matter."""
    draws = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        decoder = Decoder(CONFIG).requires_grad_(False)
    plain = TriplaneField(torch.randn(1, *CONFIG.planes_shape, generator=draws), decoder, CONFIG)
    points = torch.rand(1, 4000, 3, generator=draws) * 0.6 - 0.3
    scale = 6 / plain.raw_density(points).std()
    decoder.net[2].weight[0] *= scale
    decoder.net[2].bias[0] *= scale
    decoder.net[2].bias[0] += 3 - plain.raw_density(points).quantile(0.7)
    return plain


@each("*spherehead_sampling*")
def test_the_reference_s_look_ups(golden):
    planes, wanted = golden.given("planes").movedim(1, 3), golden.wanted("features")
    config = FieldConfig(
        channels=planes.shape[2],
        depth=2,
        resolution=planes.shape[-1],
        box_side=golden.config["box_warp"],
        spheres=True,
    )
    ours = torch.stack(plane_features(planes, golden.given("points"), config), 1).mT
    assert_near(ours, wanted, golden.config["tolerance"], "features")


@given(st.integers(0, 2**31))
def test_angles_and_weights_are_the_paper_s(seed):
    a, b, c = torch.rand(3, 500, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    (theta, phi, radius), weight = on_sphere((a, b, c))
    assert_close(radius, 2 * torch.stack([a, b, c]).norm(dim=0) / math.sqrt(3) - 1)
    assert_close(theta, 2 * torch.atan2(a.hypot(b), c) / math.pi - 1)
    assert_close(phi, torch.atan2(b, a) / math.pi)
    assert_close(weight, (1 + torch.cos(math.pi * theta)) * (1 + torch.cos(math.pi * phi)) / 4)


def test_constant_planes_are_that_constant_everywhere_but_in_the_middle():
    points = torch.rand(1, 2000, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    on_axes = torch.eye(3)[None] * torch.tensor([0.4, -0.4, 0.2])[:, None, None]
    planes = torch.ones(1, *CONFIG.planes_shape)
    inner = FieldConfig(
        channels=4, depth=2, resolution=1, spheres=True
    )  # a single texel, that fades to its sides
    assert all(x.max() <= 1 + 1e-5 for x in plane_features(planes[..., :1, :1], points, inner))
    points = torch.cat([points * 0.9, on_axes.reshape(1, -1, 3)], 1)
    theta_and_radius = sphere_features(planes, points, 1.0)[1]
    (theta, _, radius), weight = on_sphere((points[..., 2], points[..., 1], -points[..., 0]))
    inside = (theta.abs() < 0.9) & (radius.abs() < 0.9) & (weight > 0.99)
    assert inside.any() and (theta_and_radius.amax(1)[inside] > 0.999).all()


def test_slopes_are_finite_on_axes_seams_and_in_the_middle():
    points = torch.cat([torch.eye(3), -torch.eye(3), torch.zeros(1, 3)])[None] * 0.3
    points = points.requires_grad_()
    planes = torch.randn(1, *CONFIG.planes_shape, generator=torch.Generator().manual_seed(0))
    sum(x.square().sum() for x in sphere_features(planes, points, 1.0)).backward()
    assert points.grad.isfinite().all()


def test_a_prepared_field_is_the_same_and_copies_nothing_twice():
    plain = field()
    ready = prepare(replace(plain, geometry=plain.planes + 1))
    points = torch.rand(1, 300, 3, generator=torch.Generator().manual_seed(1)) - 0.5
    assert_close(ready.raw(points)[1], plain.raw(points)[1])
    assert prepare(ready).planes.data_ptr() == ready.planes.data_ptr()
    assert texels_last(plain.planes)[:, 0, :, 0].is_contiguous(memory_format=torch.channels_last)
    planes = plain.planes.clone().requires_grad_()
    prepare(replace(plain, planes=planes)).raw(points)[1].square().sum().backward()
    assert planes.grad.abs().amax((0, 2, 4, 5)).min() > 0  # of every plane of both spheres


@torch.no_grad()
def test_rays_are_those_of_the_readable_twin():
    plain, config = field(), RenderConfig(coarse=12, fine=12, near=2.25, far=3.3)
    origins = torch.tensor([[[0.0, 0.0, 2.7], [0.1, 0.2, 2.7], [2.7, 0.0, 0.1]]])
    directions = torch.nn.functional.normalize(
        -origins + torch.tensor([[[0.02, 0.03, 0.0], [0.0, 0.1, 0.0], [0.0, 0.05, 0.1]]]), dim=-1
    )
    ours = render_rays(plain, origins, directions, config)
    theirs = readable_rays(ReadableField(plain.planes, plain.decoder, CONFIG), origins, directions, config)
    assert theirs.opacity.max() > 0.1
    for name in ("features", "depth", "opacity"):
        assert_close(getattr(ours, name), getattr(theirs, name), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_grid_of_its_matter_shows_the_same_picture():
    plain, config, camera = field(), RenderConfig(coarse=24, fine=12), orbit(torch.tensor([0.0, 2.0]), 0.1)
    grid = occupancy.build(plain, 32, config=config)
    fast = render(occupancy.GridCaster(plain, grid), camera, 24, 24, config)
    slow = render(MarchingCaster(plain), camera, 24, 24, config)
    assert slow.opacity.max() > 0.5 and 0.01 < grid.occupied.float().mean() < 0.9
    assert (fast.rgb - slow.rgb).square().mean() < 1e-4


def test_other_slices_and_slabs_are_refused():
    for changes in ({"depth": 3}, {"slab": 0.1}):
        with pytest.raises(ValueError, match="expected 2 slices and no slab of planes on spheres"):
            replace(CONFIG, **changes)
    with pytest.raises(ValueError, match="expected spheres to be true or false, got 1"):
        replace(CONFIG, spheres=1)
