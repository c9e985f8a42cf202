import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from portrait_diffusion.models.synthetic import sdf

seeds = st.integers(0, 2**31)


def cloud(seed: int, count: int = 256) -> torch.Tensor:
    return torch.rand(count, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


@given(seeds)
def test_a_round_ellipsoid_and_a_capsule_without_length_are_spheres(seed):
    p = cloud(seed).unbind(1)
    exact = sdf.sphere(p, (0.1, -0.2, 0.3), 0.4)
    torch.testing.assert_close(sdf.ellipsoid(p, (0.1, -0.2, 0.3), (0.4, 0.4, 0.4)), exact)
    torch.testing.assert_close(sdf.capsule(p, (0.1, -0.2, 0.3), (0.1, -0.2 + 1e-9, 0.3), 0.4, 0.4), exact)


@given(seeds)
def test_an_ellipsoid_is_zero_exactly_on_its_surface_with_unit_slope(seed):
    radii = torch.tensor([0.5, 0.3, 0.7], dtype=torch.float64)
    on = torch.nn.functional.normalize(cloud(seed), dim=-1) * radii
    p = tuple(a.requires_grad_() for a in on.unbind(1))
    d = sdf.ellipsoid(p, (0, 0, 0), tuple(radii.tolist()))
    slope = torch.stack(torch.autograd.grad(d.sum(), p), -1).norm(dim=-1)
    assert d.abs().max() < 1e-12
    torch.testing.assert_close(slope, torch.ones_like(slope))


def test_a_capsule_between_two_balls():
    p = tuple(torch.tensor([v], dtype=torch.float64) for v in (0.5, 0.4, 0.0))
    assert sdf.capsule(p, (0, 0, 0), (1, 0, 0), 0.1, 0.3).item() == pytest.approx(0.4 - 0.2)


@given(seeds, st.floats(0.01, 0.5))
def test_smooth_operations_are_sharp_far_away_symmetric_and_bounded(seed, width):
    a, b, _ = cloud(seed).unbind(1)
    union, intersection = sdf.union(a, b, width), sdf.intersection(a, b, width)
    far = (a - b).abs() >= width
    assert torch.equal(union[far], torch.minimum(a, b)[far])
    assert torch.equal(union, sdf.union(b, a, width))
    assert (union <= torch.minimum(a, b)).all() and (union >= torch.minimum(a, b) - width / 4).all()
    torch.testing.assert_close(intersection, -sdf.union(-a, -b, width))
    torch.testing.assert_close(sdf.subtraction(a, b, width), sdf.intersection(a, -b, width))


def test_step_in_both_directions():
    x = torch.tensor([-1.0, 0.0, 0.5, 1.0, 2.0])
    torch.testing.assert_close(sdf.step(0.0, 1.0, x), torch.tensor([0.0, 0.0, 0.5, 1.0, 1.0]))
    torch.testing.assert_close(sdf.step(1.0, 0.0, x), 1 - sdf.step(0.0, 1.0, x))


def test_an_elliptic_cylinder_is_zero_on_its_outline():
    angle = torch.linspace(0, 2 * math.pi, 50, dtype=torch.float64)
    assert sdf.ellipse(0.3 * angle.cos(), 0.6 * angle.sin(), 0.3, 0.6).abs().max() < 1e-12
