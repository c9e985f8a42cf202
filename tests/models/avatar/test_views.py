"""models/avatar/views.py: RGBA of pictures with one colour behind them; what cannot be fitted to is named."""

from dataclasses import replace

import pytest
import torch
from portrait_diffusion.models.avatar.views import views_of
from portrait_diffusion.models.camera import orbit
from torch.testing import assert_close

V, S = 3, 8
SIDE = 1.0


def cameras(count=V, radius=2.7):
    return orbit(torch.linspace(-0.5, 0.5, count), torch.zeros(count), radius=radius)


def pictures(count=V):
    """Images and masks whose right half is covered by half."""
    images = torch.rand(count, 3, S, S, generator=torch.Generator().manual_seed(0))
    masks = torch.zeros(count, 1, S, S)
    masks[..., S // 2 :] = 0.5
    return images, masks


def test_one_colour_behind_is_taken_out():
    colour, masks = pictures()
    behind = torch.tensor([0.2, 0.5, 1.0])
    images = colour * masks + (1 - masks) * behind[:, None, None]
    assert_close(views_of(images, masks, cameras(), SIDE, background=behind).colour, colour * masks)


def test_an_unknown_background_is_left_where_it_shines_through():
    images, masks = pictures()
    assert_close(views_of(images, masks, cameras(), SIDE).colour, images * masks)


def test_colours_are_never_more_than_the_mask():
    images, masks = pictures()
    views = views_of(images, masks, cameras(), SIDE, background=torch.zeros(3))
    assert (views.colour <= views.mask).all() and (views.colour >= 0).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda i, m: (i[:1], m[:1], cameras(1)), "2 views or more, got 1.*Invert Portrait"),
        (lambda i, m: (i, None, cameras()), "a mask for each image, got none"),
        (lambda i, m: (i, m, cameras(2)), r"a camera for each of 3 images, got \[2\]"),
        (lambda i, m: (i, m[:2], cameras()), r"masks \[3, 1, 8, 8\]"),
        (lambda i, m: (i[..., 1:], m, cameras()), "square images"),
        (lambda i, m: (i * torch.nan, m, cameras()), "finite numbers"),
        (lambda i, m: (i, m * torch.tensor([1.0, 0, 1])[:, None, None, None], cameras()), "nothing is in 1"),
        (lambda i, m: (i, m, cameras(radius=0.3)), "outside the head's box.*0, 1, 2"),
    ],
)
def test_what_cannot_be_fitted_to_is_named(change, words):
    images, masks, seen_from = change(*pictures())
    with pytest.raises(ValueError, match=f"fit head: expected .*{words}"):
        views_of(images, masks, seen_from, SIDE)


def test_views_move_together():
    views = views_of(*pictures(), cameras(), SIDE).to("meta")
    assert {views.colour.device.type, views.mask.device.type, views.cameras.cam2world.device.type} == {"meta"}
    assert replace(views, mask=views.mask[:1]).mask.shape == (1, 1, S, S)
