import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from portrait_diffusion.models.mesh import isosurface as iso
from portrait_diffusion.models.mesh import mesh as m
from torch.testing import assert_close


def ball(centre=(0.0, 0.0, 0.0), radius=0.3):
    """Minus the distance to a sphere."""
    return lambda points: radius - (points - points.new_tensor(centre)).norm(dim=-1)


def fog(radius=0.3, sharpness=100.0, most=300.0):
    """A density like a field's: 0 outside, saturating inside, half its most on the sphere."""
    return lambda points: most * torch.sigmoid(sharpness * (radius - points.norm(dim=-1)))


def test_a_sphere_is_found_within_three_thousandths_of_a_voxel():
    sphere = iso.extract(ball(), resolution=40, level=0.0, floor=None)
    assert (sphere.vertices.norm(dim=-1) - 0.3).abs().max() < 3e-3 / 40
    assert_close(m.volume(sphere).item(), 4 / 3 * math.pi * 0.3**3, rtol=5e-3, atol=0)
    assert_close(m.area(sphere).item(), 4 * math.pi * 0.3**2, rtol=5e-3, atol=0)
    assert m.is_watertight(sphere)


@settings(deadline=None, max_examples=15)
@given(st.floats(0.1, 0.4), st.floats(-0.09, 0.09), st.integers(8, 30))
def test_spheres_are_closed_and_wound_outwards(radius, shift, resolution):
    sphere = iso.extract(
        ball((shift, -shift, shift / 2), radius), resolution=resolution, level=0.0, floor=None
    )
    assert m.is_watertight(sphere)
    assert m.volume(sphere) > 0
    outward = sphere.vertices - torch.tensor([shift, -shift, shift / 2])
    assert ((m.area_vectors(sphere) * outward[sphere.faces].mean(1)).sum(-1) > 0).all()


def test_normals_are_the_gradient_s():
    sphere = iso.extract(ball(), resolution=32, level=0.0, floor=None)
    assert_close(sphere.normals, torch.nn.functional.normalize(sphere.vertices, dim=-1), atol=6e-3, rtol=0)


def test_a_steep_density_is_found_where_it_crosses_the_level():
    level = 10.0
    radius = 0.3 - math.log(10 / 290) / 100  # where the fog is at the level
    sphere = iso.extract(fog(), resolution=48, level=level, floor=None)
    assert (sphere.vertices.norm(dim=-1) - radius).abs().max() < 0.01 / 48
    assert ((sphere.normals * torch.nn.functional.normalize(sphere.vertices, dim=-1)).sum(-1) > 0.998).all()


def test_the_cut_is_flat_and_closed():
    half = iso.extract(ball((0, -0.33, 0)), resolution=50, level=0.0, floor=-0.33)
    assert m.is_watertight(half)
    assert half.vertices[:, 1].min() == torch.tensor(-0.33)
    assert_close(m.volume(half).item(), 2 / 3 * math.pi * 0.3**3, rtol=5e-3, atol=0)
    below = (half.vertices[half.faces][..., 1] == half.vertices[:, 1].min()).all(1)
    cap = m.area_vectors(half)[below].sum(0)
    assert_close(cap, torch.tensor([0.0, -math.pi * 0.09, 0.0]), rtol=5e-3, atol=1e-5)
    inner = half.vertices[:, [0, 2]].norm(dim=-1) < 0.25
    flat = (half.vertices[:, 1] == half.vertices[:, 1].min()) & inner
    assert_close(half.normals[flat], torch.tensor([0.0, -1.0, 0.0]).expand(int(flat.sum()), 3))


def test_what_leaves_the_box_is_closed_at_its_sides():
    cylinder = iso.extract(lambda p: 0.2 - p[:, 1:].norm(dim=-1), resolution=33, level=0.0, floor=None)
    assert m.is_watertight(cylinder)
    assert_close(cylinder.vertices[:, 0].aminmax(), (torch.tensor(-0.5), torch.tensor(0.5)))
    everything = iso.extract(lambda p: p[:, 0] + 0.6 - 5 * (p[:, 1] > 0.4) * p[:, 1], resolution=9, level=0.0)
    assert m.is_watertight(everything)


def test_only_the_largest_piece_is_kept_and_cavities_are_filled():
    def two(points):
        shell = 0.05 - (points.norm(dim=-1) - 0.25).abs()
        return torch.maximum(shell, ball((0.4, 0.4, 0.4), 0.06)(points))

    kept = iso.extract(two, resolution=40, level=0.0, floor=None)
    assert kept.vertices.norm(dim=-1).max() < 0.31
    assert_close(m.volume(kept).item(), 4 / 3 * math.pi * 0.3**3, rtol=1e-2, atol=0)


@settings(deadline=None, max_examples=12)
@given(st.integers(600, 9000))
def test_the_target_is_met_from_below_and_nearly(target):
    mesh = iso.extract(fog(), resolution=56, level=20.0, target_faces=target)
    assert 0.95 * target < len(mesh.faces) <= target
    assert m.is_watertight(mesh)


def test_a_target_above_the_grid_changes_nothing():
    plain = iso.extract(ball(), resolution=20, level=0.0)
    assert_close(iso.extract(ball(), resolution=20, level=0.0, target_faces=10**6).vertices, plain.vertices)


def test_resampling_keeps_linear_functions():
    grid = iso.sample_grid(
        lambda p: p @ torch.tensor([1.0, 2.0, 3.0]), torch.tensor([-0.5, -0.3, -0.5]), 0.5, 0.05, chunk=1000
    )
    coarse = iso.resample(grid, 0.07)
    again = iso.sample_grid(lambda p: p @ torch.tensor([1.0, 2.0, 3.0]), grid.origin, 0.5, 0.07, chunk=77)
    assert coarse.values.shape == again.values.shape
    assert_close(coarse.values, again.values, atol=1e-5, rtol=0)


def test_points_come_in_chunks_and_progress_is_told():
    sizes, told = [], []

    def density(points):
        sizes.append(len(points))
        return ball()(points)

    whole = iso.extract(ball(), resolution=12, level=0.0)
    parts = iso.extract(
        density, resolution=12, level=0.0, chunk=100, callback=lambda done, total: told.append((done, total))
    )
    assert max(sizes) <= 100
    assert_close(parts.vertices, whole.vertices)
    assert told[-1][0] == told[-1][1] and [done for done, _ in told] == sorted(done for done, _ in told)


def test_a_callback_may_interrupt():
    def stop(done, total):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        iso.extract(ball(), resolution=12, level=0.0, callback=stop)


@pytest.mark.parametrize(
    ("density", "settings", "words"),
    [
        (ball(), {"resolution": 0}, "resolution of at least 8"),
        (ball(), {"resolution": 7}, "resolution of at least 8"),
        (ball(), {"level": 0.31}, "among the densities, .* no surface at level 0.31; lower it"),
        (ball(), {"level": -9.0}, "no surface at level -9; raise it"),
        (
            lambda p: torch.zeros(len(p)),
            {},
            "among the densities, 0 to 0, but there is no surface at level 0",
        ),
        (lambda p: p[:, 0] * math.nan, {}, "finite densities"),
        (lambda p: ball()(p).masked_fill(p[:, 0] > 0.4, math.inf), {}, "finite densities"),
        (ball(), {"floor": 0.6}, "lies above the box"),
        (ball(), {"target_faces": 0}, "target face"),
        (ball(), {"target_faces": 3}, "target_faces that a grid of 8 cells"),
        (ball(), {"box_side": 0.0}, "box_side"),
    ],
)
def test_what_cannot_work_says_so(density, settings, words):
    with pytest.raises(ValueError, match=words):
        iso.extract(density, **{"resolution": 16, "level": 0.0, **settings})
