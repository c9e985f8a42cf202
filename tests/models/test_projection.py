"""models/projection.py: the same camera sees the same, exact heads are seen rightly from aside, noise stays noise, bad input is named."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from portrait_diffusion.models.camera import orbit, rays
from portrait_diffusion.models.metrics.flicker import warp
from portrait_diffusion.models.metrics.image import masked_psnr
from portrait_diffusion.models.projection import ProjectionConfig, nearest, projector
from portrait_diffusion.models.synthetic.head import sample_parameters
from portrait_diffusion.models.synthetic.rendering import render_head
from torch.testing import assert_close

SIZE = 128
YAWS = torch.tensor([0.0, 30.0]).deg2rad()


def sphere(camera, size=64, radius=0.2):
    """Distances [size, size] along unit rays to a ball around the origin, and its mask."""
    origins, directions = rays(camera, size, size)
    half = (origins * directions).sum(-1)
    inside = half.square() - origins.square().sum(-1) + radius**2
    return torch.where(inside > 0, -half - inside.clamp_min(0).sqrt(), 0), (inside > 0).float()


@pytest.fixture(scope="module")
def head():
    cameras = orbit(YAWS, torch.zeros(2))
    return cameras, render_head(sample_parameters(90_001), cameras, SIZE)


def of_head(head, **options):
    cameras, views = head
    return projector(views.ray_distance[0, 0], views.mask[0, 0], cameras[0], cameras[1], **options)


def test_the_same_camera_sees_the_same():
    camera = orbit(0.3, 0.1)
    distance, mask = sphere(camera)
    made, image = (
        projector(distance, mask, camera, camera),
        torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0)),
    )
    splat = made.splat((64, 64))
    assert torch.equal(splat.own, made.mask) and made.mask.sum() > 0.8 * mask.sum()
    shown, (soft, cover) = splat.carry(image), made.soft(image)
    assert torch.equal(shown[:, made.mask], image[:, made.mask])
    assert_close(
        soft[:, made.mask], image[:, made.mask], atol=2e-3, rtol=0
    )  # a cell's middle is met but for rounding
    assert_close(splat.distance[made.mask], distance[made.mask]) and cover.max() <= 1


def test_an_exact_head_is_seen_rightly_from_aside(head):
    cameras, views = head
    made = of_head(head)
    splat, (soft, cover) = made.splat((SIZE, SIZE)), made.soft(views.rgb[0])
    _, visible = warp(views.rgb[:1], views.ray_distance[:1], cameras[:1], views.ray_distance[1:], cameras[1:])
    known = splat.index >= 0
    assert (known & visible[0, 0]).sum() > 0.9 * visible.sum() and (
        known & visible[0, 0]
    ).sum() > 0.93 * known.sum()
    for image, where in ((splat.carry(views.rgb[0]), known), (soft, cover[0] > 0.5)):
        assert masked_psnr(image[None], views.rgb[1:], (where & visible[0, 0]).float()[None, None]) > 26
    error = (splat.distance - views.ray_distance[1, 0]).abs()[splat.own & (views.mask[1, 0] > 0)]
    assert (error > 0.02).float().mean() < 0.01  # flying pixels


def test_a_picture_has_no_cracks(head):
    """Its colours are the soft splats', and those of the first view where a stretched surface leaves cells between."""
    cameras, views = head
    made = of_head(head)
    image, known = made.picture(views.rgb[0])
    soft, cover = made.soft(views.rgb[0])
    told = cover > made.config.covered
    crack = (known > 0) & ~told
    assert ((known > 0) | ~told).all() and 0 < crack.sum() < 0.05 * told.sum()
    assert torch.equal(image[:, told[0]], soft[:, told[0]]) and not image[:, known[0] == 0].any()
    assert set(known.unique().tolist()) == {0.0, 1.0}
    assert masked_psnr(image[None], views.rgb[1:], (crack & (views.mask[1:, 0] > 0)).float()[None]) > 24


def test_given_normals_and_the_depth_s_own_slope_agree(head):
    _, views = head
    own, given_normals = of_head(head).mask, of_head(head, normal=views.normal[0]).mask
    assert (own ^ given_normals).sum() < 0.03 * own.sum()


def test_the_nearer_surface_hides_the_farther():
    """A small ball in front of a wall, seen from aside: where both fall, the ball is shown."""
    front, aside = orbit(0.0, 0.0), orbit(0.12, 0.0)
    origins, directions = rays(front, 64, 64)
    wall = -(origins[..., 2] + 0.3) / directions[..., 2]
    ball, mask = sphere(front, radius=0.06)
    made = projector(torch.where(mask > 0, ball, wall), torch.ones(64, 64), front, aside)
    values = mask[None]
    shown = made.splat((64, 64)).carry(values, 0.5)[0]
    within, around = (
        sphere(aside, radius=radius)[1] > 0 for radius in (0.045, 0.065)
    )  # without its rim, which is seen slantingly
    assert not (shown[within] == 0).any()  # no wall shines through
    assert not (shown[~around] == 1).any()
    assert (shown == 0.5).any()  # and behind the ball nothing is known


@pytest.mark.parametrize("size", [8, 16, 33])
def test_maps_of_any_size_are_carried_at_their_own_resolution(head, size):
    made = of_head(head)
    features = torch.rand(5, size, size, generator=torch.Generator().manual_seed(0))
    splat = made.splat((size, size))
    carried = splat.carry(features, -1.0)
    assert carried.shape == features.shape and set(carried[0].unique().tolist()) <= {
        *features[0].unique().tolist(),
        -1.0,
    }
    assert torch.equal((carried[0] >= 0)[None].float(), splat.known)
    assert made.splat((size, size), (2 * size, 2 * size)).index.shape == (2 * size, 2 * size)


def test_depth_is_sampled_never_averaged():
    values = torch.arange(64.0).view(8, 8)
    small = nearest(values, (3, 4))
    assert torch.equal(small, values[[1, 4, 6]][:, [1, 3, 5, 7]])


def test_nobody_is_seen_through_from_behind():
    front, behind = orbit(0.0, 0.0), orbit(math.pi, 0.0)
    made = projector(*sphere(front), front, behind)
    assert not made.splat((64, 64)).known.any() and not made.soft(torch.rand(3, 64, 64))[1].any()


def test_soft_splats_have_gradients():
    camera, aside = orbit(0.0, 0.0), orbit(0.2, 0.0)
    distance, mask = sphere(camera, 32)
    distance.requires_grad_()
    image = torch.rand(3, 32, 32, requires_grad=True)
    projector(distance, mask, camera, aside).soft(image)[0].square().sum().backward()
    assert image.grad.abs().sum() > 0 and distance.grad.isfinite().all() and distance.grad.abs().sum() > 0


@pytest.mark.parametrize("outside", [0.0, float("nan"), float("inf")])
@pytest.mark.parametrize("yaw", [0.0, 0.2])
def test_what_lies_outside_the_mask_reaches_no_gradient(outside, yaw):
    camera, turn = orbit(0.0, 0.0), torch.tensor(yaw, requires_grad=True)
    distance, mask = sphere(camera, 32)
    distance = torch.where(mask > 0, distance, outside).requires_grad_()
    image, cover = projector(distance, mask, camera, orbit(turn, torch.tensor(0.0))).soft(
        torch.rand(3, 32, 32)
    )
    (image.square().sum() + cover.sum()).backward()
    assert distance.grad.isfinite().all() and not distance.grad[mask == 0].any()
    assert turn.grad.isfinite() and (yaw == 0 or turn.grad.abs() > 0)


def correlation(noise, known, shift):
    """Of neighbouring cells that both show the other view's draws."""
    both = known & known.roll(shift, (0, 1))
    a, b = noise[:, both], noise.roll(shift, (-2, -1))[:, both]
    return ((a * b).mean() / (a.square().mean() * b.square().mean()).sqrt()).item()


@settings(max_examples=6, deadline=None)
@given(yaw=st.floats(-0.8, 0.8), pitch=st.floats(-0.4, 0.4), seed=st.integers(0, 2**31))
def test_projected_noise_stays_noise(yaw, pitch, seed):
    camera, target = orbit(0.0, 0.0), orbit(yaw, pitch)
    distance, mask = sphere(camera, 64, 0.25)
    splat = projector(distance, mask, camera, target).splat((32, 32))
    draws = torch.Generator().manual_seed(seed)
    noise, fresh = (torch.randn(64, 32, 32, generator=draws) for _ in range(2))
    shown = splat.carry_noise(noise, fresh)
    n = shown.numel()
    assert shown.mean().abs() < 5 / math.sqrt(n) and abs(shown.var().item() - 1) < 5 * math.sqrt(2 / n)
    known = splat.index >= 0
    carried = shown[:, known]  # the void is white by itself
    count = carried.numel()
    assert carried.mean().abs() < 5 / math.sqrt(count) and abs(carried.var().item() - 1) < max(
        0.02, 5 * math.sqrt(2 / count)
    )
    pairs = 64 * known.sum().item()
    assert all(abs(correlation(shown, known, shift)) < 5 / math.sqrt(pairs) for shift in ((0, 1), (1, 0)))
    assert torch.equal(shown[:, ~known], fresh[:, ~known])
    times = splat.index[known].bincount(minlength=32 * 32)[splat.index.clamp_min(0)]
    once, likeness = known & (times == 1), (shown * splat.carry(noise)).mean(0)
    assert_close(
        shown[:, once], noise.flatten(1)[:, splat.index[once]], atol=1e-6, rtol=0
    )  # whole where one cell shows it
    if (known & (times == 2)).any():
        assert (
            abs(likeness[known & (times == 2)].mean().item() - math.sqrt(0.5)) < 0.2
        )  # half of its variance in each of two


def test_bad_input_is_named(head):
    cameras, views = head
    distance, mask = views.ray_distance[0, 0], views.mask[0, 0]
    with pytest.raises(ValueError, match="empty"):
        projector(distance, mask * 0, cameras[0], cameras[1])
    with pytest.raises(ValueError, match="finite distances"):
        projector(distance * float("nan"), mask, cameras[0], cameras[1])
    with pytest.raises(ValueError, match="single cameras"):
        projector(distance, mask, cameras, cameras[1])
    with pytest.raises(ValueError, match="ProjectionConfig"):
        ProjectionConfig(radius=9)
