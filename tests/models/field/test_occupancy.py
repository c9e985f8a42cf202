"""models/field/occupancy.py: the same images as its twins, for fewer look-ups."""

import math
from dataclasses import dataclass, replace

import pytest
import torch
from portrait_diffusion.models.camera import orbit, rays
from portrait_diffusion.models.field import casting, occupancy, readable, volume_rendering
from portrait_diffusion.models.field.readable import ReadableField
from portrait_diffusion.models.field.triplane import OURS, Decoder, FieldConfig, TriplaneField
from portrait_diffusion.models.field.volume_rendering import RenderConfig, draw
from torch.testing import assert_close

from .toy import Toy

CONFIG = RenderConfig(coarse=48, fine=48)
NAMES = ("features", "depth", "opacity")


SOFT = FieldConfig(density_shift=0.0, density_scale=30.0)


@dataclass(frozen=True)
class Ball(Toy):
    """A soft ball as a field, of the colours of its places."""

    centre: tuple[float, float, float] = (0.0, 0.0, 0.0)
    radius: float = 0.2
    blur: float = 0.01
    config: FieldConfig = SOFT

    def raw(self, points):
        distance = (points - torch.tensor(self.centre).to(points)).norm(dim=-1)
        return (self.radius - distance) / self.blur, (points + 0.5).clamp(0, 1)

    def activate(self, raw):
        return self.config.density_scale * torch.nn.functional.softplus(raw)

    def rgb(self, features, opacity=1.0):
        return features

    def density(self, points):
        return self.activate(self.raw(points)[0])


def ball_field(depth, dtype=torch.float32, centre=0.0):
    """Planes whose density is a soft ball's: the decoder's row for it adds three squares, one of each axis, up to what fits."""
    config = FieldConfig(
        plane_axes=OURS, channels=4, depth=depth, resolution=64, hidden=8, features=5, density_shift=-2.0, density_scale=40.0
    )
    axis = (torch.arange(64, dtype=dtype) + 0.5) / 64 - 0.5
    squares = (axis[:, None] - centre).square() + axis[None].square()
    generator = torch.Generator().manual_seed(1)
    planes = 0.3 * torch.randn(1, 3, 4, 64, 64, generator=generator, dtype=dtype)
    planes[:, :, 0] = 6 * (0.06 - squares) / 0.06
    if depth:
        planes = planes[:, :, :, None].expand(-1, -1, -1, depth, -1, -1).contiguous()
    decoder = Decoder(config).to(dtype).requires_grad_(False)
    for parameter in decoder.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=dtype))
    decoder.net[0].weight[0] = torch.tensor([6.0, 0, 0, 0])
    decoder.net[2].weight[0] = torch.tensor([9.0] + [0.3] * 7)
    decoder.net[2].bias[0] = -12.0
    return TriplaneField(planes, decoder, config)


def view(size=24, yaw=0.4):
    """Rays [1, size^2, 3]."""
    return tuple(x.reshape(1, -1, 3) for x in rays(orbit(torch.tensor([yaw]), torch.tensor([0.1])), size, size))


def decibels(a, b):
    return -10 * (a - b).square().mean().log10().item()


def over_white(seen):
    return seen.features[..., :3] + (1 - seen.opacity)[..., None]


@pytest.mark.parametrize("field", [Ball(), Ball(radius=0.03, centre=(0.1, -0.1, 0.2)), ball_field(0), ball_field(2)])
def test_the_image_is_the_readable_one(field):
    origins, directions = view(32)
    plain = ReadableField(field.planes, field.decoder, field.config) if isinstance(field, TriplaneField) else field
    wanted = readable.render_rays(plain, origins, directions, CONFIG)
    seen = occupancy.render_rays_fast(field, occupancy.build(field, 48), origins, directions, CONFIG)
    assert 0.001 < wanted.opacity.mean() < 0.9
    assert decibels(over_white(seen), over_white(wanted)) > 45
    solid = wanted.opacity > 0.5
    assert (seen.depth - wanted.depth)[solid].abs().max() < 1e-3


@pytest.mark.parametrize("depth", [0, 2])
def test_gradients_are_the_readable_ones_with_the_same_draws(depth):
    field = ball_field(depth)
    planes, decoder = field.planes.requires_grad_(), field.decoder.requires_grad_(True)
    origins, directions = view()
    generator = torch.Generator().manual_seed(0)
    draws = draw(origins, CONFIG, generator)
    weigh = torch.randn(1, origins.shape[1], 5, generator=generator)
    found = []
    for kind in ("readable", "exact", "occupancy"):
        if kind == "readable":
            seen = readable.render_rays(ReadableField(planes, decoder, field.config), origins, directions, CONFIG, draws=draws)
        elif kind == "exact":
            seen = volume_rendering.render_rays(field, origins, directions, CONFIG, draws=draws)
        else:
            seen = occupancy.render_rays_fast(field, occupancy.build(field, 48), origins, directions, CONFIG, draws=draws)
        loss = (seen.features * weigh).sum() + (seen.opacity * (1 + seen.depth.clamp(max=4))).sum()
        found.append(torch.autograd.grad(loss, [planes, *decoder.parameters()]))
    for wanted, exact, fast in zip(*found, strict=True):
        assert (exact - wanted).norm() < 1e-3 * wanted.norm()
        assert (fast - wanted).norm() < 1e-2 * wanted.norm()


def test_rays_past_all_matter_cost_nothing_and_see_nothing():
    field, (origins, directions) = Ball(radius=0.1), view()
    grid = occupancy.build(field, 32)
    counted = replace(field, config=field.config)
    looked_up = []
    object.__setattr__(counted, "raw", lambda points: looked_up.append(points.shape[1]) or field.raw(points))
    seen = occupancy.render_rays_fast(counted, grid, origins, directions, CONFIG)
    assert 0 < sum(looked_up) < 0.4 * 96 * origins.shape[1]
    empty = ~occupancy.meets(grid, origins[0], directions[0])
    assert empty.any() and seen.opacity[0, empty].max() == 0 and seen.features[0, empty].abs().max() == 0
    away = occupancy.render_rays_fast(counted, grid, origins, -directions, CONFIG)
    assert away.opacity.max() == 0 and torch.isfinite(away.depth).all()


def test_an_empty_field_is_an_empty_image():
    field = Ball(radius=-1.0)
    grid, (origins, directions) = occupancy.build(field, 16), view(8)
    assert not grid.occupied.any()
    seen = occupancy.render_rays_fast(field, grid, origins, directions, replace(CONFIG, white_back=True))
    assert seen.opacity.max() == 0 and (seen.features == 1).all()
    picture = casting.render(occupancy.GridCaster(field, grid), orbit(torch.zeros(1), torch.zeros(1)), 8, 8, CONFIG, background=(0.2, 0.4, 0.6))
    assert_close(picture.rgb[0, :, 0, 0], torch.tensor([0.2, 0.4, 0.6]))
    assert picture.depth.max() == 0 and picture.normal.abs().max() == 0


def test_neither_chunks_nor_other_rays_change_a_ray(monkeypatch):
    field, (origins, directions) = ball_field(0), view()
    grid = occupancy.build(field, 32)
    whole = occupancy.render_rays_fast(field, grid, origins, directions, CONFIG)
    some = occupancy.render_rays_fast(field, grid, origins[:, 100:300], directions[:, 100:300], CONFIG)
    monkeypatch.setattr(occupancy, "CHUNK", 50)
    pieces = occupancy.render_rays_fast(field, grid, origins, directions, CONFIG)
    for name in NAMES:
        assert_close(getattr(pieces, name), getattr(whole, name))
        if name != "depth":
            assert_close(getattr(some, name), getattr(whole, name)[:, 100:300])


def test_whole_images_are_the_slow_ones():
    field, camera = ball_field(2), orbit(torch.tensor([0.0, 2.0]), torch.tensor([0.1, -0.1]))
    slow = casting.render(casting.MarchingCaster(field), camera, 24, 24, CONFIG)
    calls = []
    cast = occupancy.GridCaster(field, occupancy.build(field, 48))
    fast = casting.render(cast, camera, 24, 24, CONFIG, callback=lambda *x: calls.append(x))
    assert decibels(fast.rgb, slow.rgb) > 45 and calls[-1] == (2 * 24 * 24, 2 * 24 * 24)
    solid = slow.opacity > 0.5
    assert (fast.depth - slow.depth)[solid].abs().max() < 1e-3
    assert (fast.normal * slow.normal).sum(1, keepdim=True)[solid].min() > 0.99


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_planes_may_be_half(dtype):
    field, (origins, directions) = ball_field(0), view()
    half = replace(field, planes=field.planes.to(dtype))
    whole = replace(field, planes=half.planes.float())
    seen, wanted = (occupancy.render_rays_fast(f, occupancy.build(f, 32), origins, directions, CONFIG) for f in (half, whole))
    for name in NAMES:
        assert getattr(seen, name).dtype == torch.float32
        assert_close(getattr(seen, name), getattr(wanted, name))


def test_a_refreshed_grid_follows_a_field_that_moves():
    generator, (origins, directions) = torch.Generator().manual_seed(0), view()
    grid = occupancy.build(Ball(), 32)
    for step in range(1, 11):
        field = Ball(centre=(0.02 * step, 0.0, 0.0))  # by less than a cell of 1 / 32
        grid = occupancy.refresh(grid, field, generator=generator)
        wanted = volume_rendering.render_rays(field, origins, directions, CONFIG)
        seen = occupancy.render_rays_fast(field, grid, origins, directions, CONFIG)
        assert decibels(over_white(seen), over_white(wanted)) > 40
    for _ in range(30):
        grid = occupancy.refresh(grid, field, generator=generator)
    assert torch.equal(grid.occupied, occupancy.build(field, 32).occupied)


def test_matter_that_comes_up_in_the_dark_is_found():
    generator, there = torch.Generator().manual_seed(0), Ball(centre=(0.3, 0.3, 0.3), radius=0.05)
    grid = occupancy.build(Ball(radius=0.05), 32)
    for _ in range(60):
        grid = occupancy.refresh(grid, there, generator=generator)
    assert torch.equal(grid.occupied, occupancy.build(there, 32).occupied)


def test_what_is_not_to_be_seen_is_not_looked_into():
    field = Ball(radius=0.45)
    cropped = replace(field, config=replace(field.config, crop=0.2))
    assert occupancy.build(cropped, 32).occupied.sum() < occupancy.build(field, 32).occupied.sum()
    origins, directions = view()
    wanted = volume_rendering.render_rays(cropped, origins, directions, CONFIG)
    seen = occupancy.render_rays_fast(cropped, occupancy.build(cropped, 32), origins, directions, CONFIG)
    assert decibels(over_white(seen), over_white(wanted)) > 45


def test_a_given_range_of_distances_is_kept():
    field, (origins, directions) = ball_field(0), view()
    config = replace(CONFIG, near=2.25, far=3.3)
    wanted = volume_rendering.render_rays(field, origins, directions, config)
    seen = occupancy.render_rays_fast(field, occupancy.build(field, 48), origins, directions, config)
    assert decibels(over_white(seen), over_white(wanted)) > 45


@pytest.mark.parametrize("fine", [0, 48])
def test_haze_beyond_the_box_is_seen(fine):
    field, (origins, directions) = ball_field(0), view()
    beyond = field.raw(torch.full((1, 1, 3), 9.0))[0].item()
    shift = math.log(math.expm1(0.6 / 40)) - beyond  # a density of 0.6 wherever all planes are read as zero
    field = replace(field, config=replace(field.config, density_shift=shift))
    config = replace(CONFIG, fine=fine)
    for sampling in (config, replace(config, near=2.25, far=3.3)):
        wanted = volume_rendering.render_rays(field, origins, directions, sampling)
        seen = occupancy.render_rays_fast(field, occupancy.build(field), origins, directions, sampling)
        assert wanted.opacity.min() > 1e-3
        assert decibels(over_white(seen), over_white(wanted)) > 45


def test_two_heads_in_one_batch_are_refused():
    origins, directions = (x.expand(2, -1, -1) for x in view(4))
    with pytest.raises(ValueError, match=r"expected rays \[1, R, 3\]"):
        occupancy.render_rays_fast(Ball(), occupancy.build(Ball(), 16), origins, directions, CONFIG)
