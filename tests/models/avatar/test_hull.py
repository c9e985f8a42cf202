"""models/avatar/hull.py: what masks leave of the box, where rays look in it, and how it follows the field."""

import torch
from portrait_diffusion.models.avatar.hull import FIRST_DENSITY, carve, propose, refresh
from portrait_diffusion.models.camera import orbit, rays
from torch.testing import assert_close

from ..field.test_occupancy import ball_field

SIDE, CELLS, SIZE = 0.6, 24, 32  # the frame shows all of this box from everywhere


def around(count=6):
    return orbit(torch.arange(count) * (2 * torch.pi / count), torch.zeros(count))


def ball_masks(cameras, radius):
    """Silhouettes [V, 1, S, S] of a ball about the origin."""
    origins, directions = rays(cameras, SIZE, SIZE)
    along = (origins * directions).sum(-1, keepdim=True)
    return ((origins - along * directions).norm(dim=-1) < radius).float()[:, None]


def ball_points(cameras, radius):
    """Where rays [V, S, S, 3] meet the ball, or come nearest to it."""
    origins, directions = rays(cameras, SIZE, SIZE)
    along = -(origins * directions).sum(-1, keepdim=True)
    aside = (origins + along * directions).norm(dim=-1, keepdim=True)
    return origins + (along - (radius**2 - aside**2).clamp(min=0).sqrt()) * directions


def ball_hull(radius=0.2):
    cameras = around()
    return carve(cameras, ball_masks(cameras, radius), SIDE, CELLS)


def cell_centres():
    axis = (torch.arange(CELLS) + 0.5 - CELLS / 2) * SIDE / CELLS
    return torch.cartesian_prod(axis, axis, axis)


def test_all_of_the_ball_is_allowed_and_little_else():
    allowed, distance = ball_hull().allowed, cell_centres().norm(dim=-1)
    assert allowed[distance < 0.2].all()
    assert not allowed[distance > 0.38].any() and allowed.float().mean() < 0.35


def test_what_no_view_shows_is_allowed():
    cameras = orbit(torch.zeros(1), torch.zeros(1), focal=20.0)
    hull = carve(cameras, torch.zeros(1, 1, SIZE, SIZE), SIDE, CELLS)
    assert hull.outside(torch.zeros(3)) and not hull.outside(torch.tensor([0.25, 0.25, 0.0]))


def test_rays_look_where_matter_may_be():
    cameras = around(1)
    origins, directions = (x.reshape(-1, 3) for x in rays(cameras, 5, 5))
    R, N = len(origins), 12
    t, ends = propose(ball_hull(), origins, directions, torch.full((R, 1), 0.5), torch.full((R, N), 0.25))
    assert (ends.diff(dim=-1) >= 0).all()
    assert_close(t, 0.75 * ends[:, :-1] + 0.25 * ends[:, 1:])
    middle = R // 2
    depth = (origins + directions * 2.7).norm(dim=-1)[middle]
    assert depth < 1e-3
    reach = (t[middle] - 2.7).abs()
    assert reach.max() < 0.29  # not from the box's side on, at 0.3


def test_the_grid_follows_the_field_and_never_leaves_the_hull():
    hull, field = ball_hull(), ball_field(0)
    assert hull.density.unique().tolist() == [0.0, FIRST_DENSITY]
    fresh = refresh(hull, field, 1.0, 0.0, torch.Generator().manual_seed(0))
    assert (fresh.density[~fresh.allowed] == 0).all()
    wanted = field.density(cell_centres()[None])[0]
    deep = fresh.allowed & (wanted > 0.99 * wanted.max())
    assert (fresh.density[deep] > FIRST_DENSITY).all()
    same = refresh(hull, field, 0.0, 0.0, torch.Generator().manual_seed(0))
    assert torch.equal(same.density, hull.density)
