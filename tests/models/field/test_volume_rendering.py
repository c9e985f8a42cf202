"""models/field/volume_rendering.py: closed forms of emission and absorption, and whole images of a ball."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from portrait_diffusion.models.camera import orbit, rays
from portrait_diffusion.models.field.volume_rendering import (
    RenderConfig,
    box_range,
    importance_edges,
    ray_weights,
    rays_per_chunk,
    render,
    render_rays,
)
from torch.testing import assert_close

seeds = st.integers(0, 2**31)
RADIUS = 0.2


def ray_samples(seed):
    generator = torch.Generator().manual_seed(seed)
    t = torch.rand(6, 17, generator=generator, dtype=torch.float64).sort(-1).values + 1
    return torch.rand(6, 16, generator=generator, dtype=torch.float64) * 30, t


def ball(points):
    density = 400 * ((RADIUS - points.norm(dim=-1)) / 0.003).sigmoid()
    return density, (points + 0.5).clamp(0, 1)


@given(seeds)
def test_weights_sum_to_the_opacity_of_the_whole_path(seed):
    density, t = ray_samples(seed)
    assert_close(ray_weights(density, t).sum(-1), 1 - torch.exp(-(density * t.diff(dim=-1)).sum(-1)))


@given(seeds, st.floats(1e-2, 1e2))
def test_the_scene_unit_does_not_matter(seed, scale):
    density, t = ray_samples(seed)
    assert_close(ray_weights(density / scale, t * scale), ray_weights(density, t))


@given(seeds)
def test_splitting_a_bin_changes_nothing(seed):
    density, t = ray_samples(seed)
    halves = torch.cat([t, (t[:, 1:] + t[:, :-1]) / 2], -1).sort(-1).values
    split = ray_weights(density.repeat_interleave(2, -1), halves).unflatten(-1, (-1, 2)).sum(-1)
    assert_close(split, ray_weights(density, t))


def test_weights_need_one_edge_more_than_samples():
    with pytest.raises(ValueError, match="17 bin edges in t, got 16"):
        ray_weights(torch.zeros(16), torch.zeros(16))


@given(seeds)
def test_weights_have_gradients_also_on_empty_and_solid_rays(seed):
    density, t = ray_samples(seed)
    density[0], density[1] = 0, 1e6
    density.requires_grad_()
    assert torch.autograd.gradcheck(ray_weights, (density[2:].detach().requires_grad_(), t[2:]))
    ray_weights(density, t).sum().backward()
    assert torch.isfinite(density.grad).all()


def test_the_box_is_entered_and_left_where_geometry_says():
    origins = torch.tensor([[0.0, 0.0, 2.7], [0.0, 3.0, 2.7]])
    directions = torch.tensor([[0.0, 0.0, -1.0], [0.0, 0.0, -1.0]])
    near, far = box_range(origins, directions, 1.0)
    assert_close(near[0], torch.tensor(2.2))
    assert_close(far[0], torch.tensor(3.2))
    assert far[1] == near[1]


@given(seeds)
def test_importance_edges_follow_the_weights(seed):
    generator = torch.Generator().manual_seed(seed)
    t = torch.linspace(0, 1, 11).expand(4, 11)
    weights = torch.rand(4, 10, generator=generator)
    edges = importance_edges(t, weights, 5000)
    assert (edges.diff(dim=-1) >= 0).all()
    share = torch.stack([((edges >= t[0, i]) & (edges < t[0, i + 1])).float().mean(-1) for i in range(10)], -1)
    assert_close(share, weights / weights.sum(-1, keepdim=True), atol=2e-3, rtol=0)


def test_a_ball_has_the_depth_silhouette_colour_and_normals_of_a_ball():
    camera = orbit(torch.tensor([0.0, 0.8]), torch.tensor([0.0, 0.3]))
    picture = render(ball, camera, 48, 48, RenderConfig(coarse=64, fine=64))
    origins, directions = rays(camera, 48, 48)
    along = -(origins * directions).sum(-1)
    miss = (origins + along[..., None] * directions).norm(dim=-1)
    inside, outside = miss < RADIUS - 0.03, miss > RADIUS + 0.05
    exact = along - (RADIUS**2 - miss.square()).clamp(min=0).sqrt()
    assert picture.opacity[:, 0][inside].min() > 0.999 and picture.opacity[:, 0][outside].max() < 0.01
    assert (picture.depth[:, 0] - exact)[inside].abs().max() < 0.015
    hit = origins + exact[..., None] * directions
    assert (picture.rgb.movedim(1, -1) - (hit + 0.5))[inside].abs().max() < 0.02
    in_camera = torch.einsum("vji,vhwj->vhwi", camera.cam2world[:, :3, :3], hit / RADIUS)
    cosine = (picture.normal.movedim(1, -1) * in_camera).sum(-1)
    assert cosine[inside].min() > math.cos(math.radians(5))


def test_chunks_change_nothing():
    camera = orbit(torch.tensor([0.3]), torch.tensor([0.0]))
    whole, pieces = (render(ball, camera, 20, 20, RenderConfig(chunk_bytes=size)) for size in (2**30, 1))
    assert rays_per_chunk(RenderConfig(chunk_bytes=1)) < 400
    assert_close(whole.rgb, pieces.rgb)
    assert_close(whole.normal, pieces.normal)


def test_empty_rays_show_the_background_and_no_depth():
    picture = render(
        lambda p: (torch.zeros(p.shape[:-1]), torch.ones_like(p)),
        orbit(torch.zeros(1), torch.zeros(1)),
        4,
        4,
        RenderConfig(),
        background=(0.2, 0.4, 0.6),
    )
    assert_close(picture.rgb[0, :, 0, 0], torch.tensor([0.2, 0.4, 0.6]))
    assert picture.depth.max() == 0 and picture.opacity.max() == 0 and picture.normal.abs().max() == 0


def test_gradients_reach_the_field():
    centre = torch.tensor(0.02, dtype=torch.float64, requires_grad=True)
    origins, directions = (x.double().flatten(0, 2) for x in rays(orbit(torch.tensor([0.0]), torch.tensor([0.0])), 6, 6))

    def image(x):
        field = lambda p: (300 * ((RADIUS - (p - x).norm(dim=-1)) / 0.05).sigmoid(), p * 0 + x)  # noqa: E731
        return render_rays(field, origins, directions, RenderConfig(coarse=24, fine=0))[0].sum()

    assert torch.autograd.gradcheck(image, centre)


def test_jitter_needs_a_generator_and_repeats_with_it():
    origins, directions = (x.flatten(0, 2) for x in rays(orbit(torch.tensor([0.0]), torch.tensor([0.0])), 6, 6))
    draws = [render_rays(ball, origins, directions, RenderConfig(), generator=torch.Generator().manual_seed(s))[0] for s in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])


def test_a_camera_inside_the_box_and_an_unbatched_one_are_named():
    with pytest.raises(ValueError, match="outside the head's box"):
        render(ball, orbit(torch.zeros(1), torch.zeros(1), radius=0.3), 4, 4, RenderConfig())
    with pytest.raises(ValueError, match=r"batch of cameras \[V\]"):
        render(ball, orbit(0.0, 0.0), 4, 4, RenderConfig())
