"""models/field/outline.py: outlines are found within a raw pixel, and their pixels are the field's own."""

import pytest
import torch
from portrait_diffusion.models.camera import orbit
from portrait_diffusion.models.field.casting import MarchingCaster, render
from portrait_diffusion.models.field.occupancy import GridCaster, build
from portrait_diffusion.models.field.outline import empty, outline, render_pixels
from portrait_diffusion.models.field.volume_rendering import RenderConfig
from torch.testing import assert_close

from .test_occupancy import Ball

CONFIG = RenderConfig(coarse=32, fine=32)


def cameras():
    return orbit(torch.tensor([0.0, 0.7]), torch.zeros(2))


def test_an_outline_is_where_neighbours_differ():
    opacity = torch.zeros(1, 1, 8, 8)
    opacity[..., 3:5, 3:5] = 1
    found = outline(opacity, 16)
    assert found[0, 4:12, 4:12].all() and found.sum() == 64
    opacity[..., 1:7, 1:7] = 1
    assert not outline(opacity, 16)[0, 6:10, 6:10].any()
    assert not outline(torch.ones(1, 1, 8, 8), 16).any()


def test_nothing_is_seen_where_no_neighbour_is_seen():
    opacity = torch.full((1, 1, 8, 8), 0.01)
    opacity[..., 3, 3] = 0.5
    bare = empty(opacity, 16)
    assert not bare[0, 4:10, 4:10].any() and (~bare).sum() == 36


@pytest.mark.parametrize("fast", [False, True])
def test_chosen_pixels_are_those_of_the_whole_picture(fast):
    ball, size = Ball(), 24
    whole = render(MarchingCaster(ball), cameras(), size, size, CONFIG, background=(0, 0, 0), normals=False)
    chosen = outline(whole.opacity, size)
    cast = GridCaster(ball, build(ball, config=CONFIG)) if fast else MarchingCaster(ball)
    seen, rgb = render_pixels(cast, cameras(), chosen, CONFIG)
    assert 0 < chosen.sum() < chosen.numel() / 2
    assert_close(rgb, whole.rgb.movedim(1, -1)[chosen], atol=2e-3, rtol=0)
    assert_close(seen.opacity[0], whole.opacity[:, 0][chosen], atol=2e-3, rtol=0)
    assert_close(seen.depth[0], whole.depth[:, 0][chosen], atol=2e-2, rtol=0)
