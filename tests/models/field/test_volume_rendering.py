"""models/field/volume_rendering.py: closed forms of emission and absorption, and whole images of a ball."""

import math
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from portrait_diffusion.models.camera import orbit, rays
from portrait_diffusion.models.field.casting import MarchingCaster, render
from portrait_diffusion.models.field.triplane import FieldConfig
from portrait_diffusion.models.field.volume_rendering import (
    Draws,
    RenderConfig,
    box_range,
    coarse_samples,
    draw,
    importance_samples,
    middle_draws,
    ray_range,
    ray_weights,
    rays_per_chunk,
    render_rays,
)
from torch.testing import assert_close

from .toy import Toy

seeds = st.integers(0, 2**31)
RADIUS = 0.2
UNIT_BOX = FieldConfig()


@dataclass(frozen=True)
class Ball(Toy):
    """A ball as a field. Attributes: peak: density inside. blur: scene units over which it fades."""

    peak: float = 400.0
    blur: float = 0.003
    config: FieldConfig = UNIT_BOX

    def raw(self, points):
        return (RADIUS - points.norm(dim=-1)) / self.blur, points + 0.5

    def activate(self, raw):
        return self.peak * raw.sigmoid()

    def rgb(self, features, opacity):
        return features

    def density(self, points):
        return self.activate(self.raw(points)[0])


@dataclass(frozen=True)
class Fog(Toy):
    """The same density and features everywhere."""

    amount: float
    config: FieldConfig = UNIT_BOX

    def raw(self, points):
        return torch.full_like(points[..., 0], self.amount), torch.ones_like(points) * 0.5

    def activate(self, raw):
        return raw.clamp(min=0)

    def rgb(self, features, opacity):
        return features

    def density(self, points):
        return self.activate(self.raw(points)[0])


def ray_samples(seed):
    generator = torch.Generator().manual_seed(seed)
    t = torch.rand(6, 17, generator=generator, dtype=torch.float64).sort(-1).values + 1
    return torch.rand(6, 16, generator=generator, dtype=torch.float64) * 30, t


def image_rays(size=6, yaw=0.0, **options):
    return (x.flatten(1, 2) for x in rays(orbit(torch.tensor([yaw]), torch.tensor([0.0]), **options), size, size))


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


def test_rays_that_miss_take_the_range_of_the_others_entries():
    origins = torch.tensor([[[0.0, 0.0, 2.7], [0.0, 0.0, 3.0], [0.0, 3.0, 2.7]]])
    directions = torch.tensor([0.0, 0.0, -1.0]).expand(1, 3, 3)
    near, far = ray_range(origins, directions, RenderConfig(), 1.0)
    assert_close(near, torch.tensor([[2.2, 2.5, 2.2]]))
    assert_close(far, torch.tensor([[3.2, 3.5, 2.5]]))
    near, far = ray_range(origins[:, 2:], directions[:, 2:], RenderConfig(), 1.0)
    assert (near == far).all()
    near, far = ray_range(origins, directions, RenderConfig(near=1.0, far=2.0), 1.0)
    assert (near == 1).all() and (far == 2).all()


@given(seeds)
def test_coarse_samples_are_sorted_and_even(seed):
    u = torch.rand(3, 12, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    near, far = torch.tensor([2.0, 2.2, 1.0]).double(), torch.tensor([3.0, 3.4, 4.0]).double()
    t = coarse_samples(near, far, u)
    assert (t >= near[:, None]).all() and (t.diff(dim=-1) >= 0).all()
    assert_close(coarse_samples(near, far, 0 * u)[:, -1], far)
    inverse = 1 / coarse_samples(near, far, 0 * u, disparity=True)
    assert_close(inverse.diff(dim=-1), (1 / far - 1 / near)[:, None].expand(3, 11) / 11)


@given(seeds)
def test_importance_samples_follow_the_blurred_weights(seed):
    generator = torch.Generator().manual_seed(seed)
    t, N = torch.linspace(0, 1, 13).expand(4, 13), 5000
    weights = torch.rand(4, 12, generator=generator)
    found = importance_samples(t, weights, ((torch.arange(N) + 0.5) / N).expand(4, N))
    assert (found.diff(dim=-1) >= -1e-6).all()
    padded = torch.nn.functional.pad(weights, (1, 1), value=-1)
    widest = torch.maximum(padded[:, 1:], padded[:, :-1])
    mass = ((widest[:, 1:] + widest[:, :-1]) / 2 + 0.01)[:, 1:-1]
    middle = (t[:, 1:] + t[:, :-1]) / 2
    share = torch.stack([((found >= middle[0, i]) & (found < middle[0, i + 1])).float().mean(-1) for i in range(10)], -1)
    assert_close(share, mass / mass.sum(-1, keepdim=True), atol=2e-3, rtol=0)


def test_importance_samples_take_quantiles_in_any_order_and_both_ends():
    t, weights = torch.linspace(0, 1, 8)[None], torch.ones(1, 7)
    u = torch.tensor([[0.9, 0.0, 0.5, 1 - 2**-24]])
    found, middle = importance_samples(t, weights, u), (t[:, 1:] + t[:, :-1]) / 2
    assert found[0, 1] == middle[0, 0] and found[0, 3] <= middle[0, 5] + 1e-6
    assert found[0, 1] < found[0, 2] < found[0, 0] < found[0, 3]


def test_fog_has_the_opacity_of_its_optical_depth():
    origins, directions = image_rays()
    config = RenderConfig(coarse=9, fine=7, near=2.0, far=3.0)
    draws = Draws(torch.zeros(1, 36, 9), middle_draws(origins, config).fine)
    seen = render_rays(Fog(1.5), origins, directions, config, draws=draws)
    opacity = torch.full((1, 36), 1 - math.exp(-1.5))
    assert_close(seen.opacity, opacity)
    assert_close(seen.features, 0.5 * opacity[..., None].expand(1, 36, 3))
    white = render_rays(Fog(1.5), origins, directions, replace(config, white_back=True), draws=draws)
    assert_close(white.features, seen.features + (1 - opacity)[..., None])
    assert ((seen.depth > 2) & (seen.depth < 2.5)).all()


def test_empty_rays_lie_at_the_farthest_sample_of_all_rays():
    origins, directions = image_rays()
    config = RenderConfig(coarse=8, fine=0, near=2.0, far=3.0)
    seen = render_rays(Fog(0.0), origins, directions, config)
    assert_close(seen.depth, torch.full((1, 36), 2 + 7.5 / 7))
    assert seen.opacity.max() == 0


def test_a_ball_has_the_depth_silhouette_colour_and_normals_of_a_ball():
    camera = orbit(torch.tensor([0.0, 0.8]), torch.tensor([0.0, 0.3]))
    picture = render(MarchingCaster(Ball()), camera, 48, 48, RenderConfig(coarse=96, fine=64))
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


@pytest.mark.parametrize("focal", [4.2647, 1.5])  # the wide one sees past the box
def test_neither_chunks_nor_other_views_change_an_image(focal):
    camera = orbit(torch.tensor([0.3, 2.0]), torch.tensor([0.0, 0.4]), focal=focal)
    ball, config = Ball(blur=0.05, peak=20.0), RenderConfig(chunk_bytes=2**30)
    whole, pieces = (render(MarchingCaster(ball), camera, 20, 20, replace(config, chunk_bytes=size)) for size in (2**30, 1))
    alone = render(MarchingCaster(ball), camera[1:], 20, 20, config)
    assert rays_per_chunk(RenderConfig(chunk_bytes=1), ball.config) == 64
    for name in ("rgb", "depth", "opacity", "normal"):
        assert_close(getattr(whole, name), getattr(pieces, name))
        assert_close(getattr(whole, name)[1:], getattr(alone, name))


def test_empty_rays_show_the_background_and_no_depth():
    camera = orbit(torch.zeros(1), torch.zeros(1))
    picture = render(MarchingCaster(Fog(0.0)), camera, 4, 4, RenderConfig(white_back=True), background=(0.2, 0.4, 0.6))
    assert_close(picture.rgb[0, :, 0, 0], torch.tensor([0.2, 0.4, 0.6]))
    assert picture.depth.max() == 0 and picture.opacity.max() == 0 and picture.normal.abs().max() == 0


def test_rays_past_the_box_see_nothing_of_it():
    camera = orbit(torch.zeros(1), torch.zeros(1), focal=1.0)
    picture = render(MarchingCaster(Fog(5.0)), camera, 9, 9, RenderConfig())
    assert picture.opacity[0, 0, 0, 0] == 0 and picture.depth[0, 0, 0, 0] == 0 and picture.opacity[0, 0, 4, 4] > 0.99


@pytest.mark.parametrize("fine", [0, 12])
def test_gradients_reach_the_field(fine):
    origins, directions = (x.double() for x in image_rays())
    config = RenderConfig(coarse=12, fine=fine)

    def image(peak, shift):
        ball = Ball(blur=0.05)
        raised = FieldOf(lambda p: (ball.raw(p)[0] + shift, p * shift), lambda raw: peak * raw.sigmoid())
        seen = render_rays(raised, origins, directions, config)
        return seen.features.sum(), seen.opacity.sum(), seen.depth.sum()

    peak, shift = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (30.0, 0.1))
    if not fine:  # with it, samples move with the weights, and no gradient follows
        assert torch.autograd.gradcheck(image, (peak, shift))
    gradients = torch.autograd.grad(sum(image(peak, shift)), (peak, shift))
    assert all(torch.isfinite(g) and g != 0 for g in gradients)


@dataclass(frozen=True)
class FieldOf(Toy):
    """A field of two functions."""

    raw: object
    activate: object
    config: FieldConfig = UNIT_BOX


def test_gradients_are_finite_on_empty_rays():
    origins, directions = image_rays()
    amount = torch.tensor(-1e3, requires_grad=True)
    empty = FieldOf(lambda p: (amount.expand(p.shape[:-1]), p), torch.nn.functional.softplus)
    seen = render_rays(empty, origins, directions, RenderConfig(coarse=8, fine=4))
    (seen.depth.sum() + seen.opacity.sum() + seen.features.sum()).backward()
    assert torch.isfinite(amount.grad)


def test_draws_repeat_with_their_generator_and_their_middle_is_the_default():
    origins, directions = image_rays()
    config = RenderConfig()
    a, b, c = (
        render_rays(Ball(), origins, directions, config, draws=draw(origins, config, torch.Generator().manual_seed(s))).features
        for s in (1, 1, 2)
    )
    assert torch.equal(a, b) and not torch.equal(a, c)
    middle = render_rays(Ball(), origins, directions, config, draws=middle_draws(origins, config))
    assert torch.equal(middle.features, render_rays(Ball(), origins, directions, config).features)


def test_a_crop_takes_the_upright_sides_and_leaves_top_and_bottom():
    cropped = replace(Fog(50.0), config=FieldConfig(crop=0.1))
    down, ahead = torch.tensor([0.0, -1.0, 0.0]), torch.tensor([0.0, 0.0, -1.0])
    origins = torch.tensor([[[0.45, 2.0, 0.0], [0.0, 2.0, 0.45], [0.35, 2.0, 0.35], [0.0, 0.45, 2.0]]])
    directions = torch.stack([down, down, down, ahead])[None]
    seen = render_rays(cropped, origins, directions, RenderConfig(coarse=64, fine=0))
    assert_close(seen.opacity, torch.tensor([[0.0, 0.0, 1.0, 1.0]]))
    assert seen.depth[0, 2] < 1.6 and 1.6 < seen.depth[0, 3] < 1.7


def test_clouds_are_culled_and_made_solid():
    origins, directions = image_rays(2)
    thin, thick = Fog(0.3), Fog(2.0)  # alphas over one unit: 0.26 and 0.86
    config = RenderConfig(coarse=16, fine=0, near=2.2, far=3.2)
    for clouds in ({"cull": 0.5}, {"binarise": 0.5}):
        assert render_rays(thin, origins, directions, replace(config, **clouds)).opacity.max() == 0
    assert_close(
        render_rays(thick, origins, directions, replace(config, cull=0.5)).opacity, render_rays(thick, origins, directions, config).opacity
    )
    assert render_rays(thick, origins, directions, replace(config, binarise=0.5)).opacity.min() > 0.999


def test_a_camera_inside_the_box_and_an_unbatched_one_are_named():
    with pytest.raises(ValueError, match="outside the head's box"):
        render(MarchingCaster(Ball()), orbit(torch.zeros(1), torch.zeros(1), radius=0.3), 4, 4, RenderConfig())
    with pytest.raises(ValueError, match=r"batch of cameras \[V\]"):
        render(MarchingCaster(Ball()), orbit(0.0, 0.0), 4, 4, RenderConfig())


@pytest.mark.parametrize(
    "wrong",
    [
        {"coarse": 3},
        {"coarse": 1, "fine": 0},
        {"fine": -1},
        {"near": 1.0},
        {"near": 2.0, "far": 1.0},
        {"near": 0.0, "far": 1.0, "disparity": True},
    ],
)
def test_a_config_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match="RenderConfig: expected"):
        RenderConfig(**wrong)
