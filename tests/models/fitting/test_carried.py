"""models/fitting/carried.py: how a photo differs from the prior reaches what it does not show, by place and by colour."""

from dataclasses import replace

import torch
from portrait_diffusion.models.field.volume_rendering import RenderConfig
from portrait_diffusion.models.fitting.carried import carried_colours, told_by

from ..field.test_volume_rendering import RADIUS, Ball
from .test_coverage import disc

SAMPLING = RenderConfig(coarse=16, fine=16)
GREY, GREEN = torch.tensor([0.5, 0.5, 0.5]), torch.tensor([0.1, 0.6, 0.1])


class Painted(Ball):
    """Grey, and green below."""

    def raw(self, points):
        return super().raw(points)[0], torch.where(points[..., 1:2] > -0.05, GREY, GREEN)


def test_the_photo_tells_colours_where_it_looks_straight():
    told = told_by(Painted(), disc(0.15), SAMPLING)
    assert len(told.points) > 100 and (told.points.norm(dim=-1) - RADIUS).abs().max() < 0.02
    assert (told.points[:, 2] > 0.5 * RADIUS).all() and (told.normals[:, 2] > 0.5).all()
    red = torch.tensor([0.9, 0.1, 0.1])
    assert (told.colours + told.differences - red).abs().max() < 1e-3


def test_light_from_one_side_is_not_mirrored_as_paint():
    reference = disc(0.15)
    beside = torch.linspace(-1, 1, reference.image.shape[-1]) / (2 * 0.15)  # a normal's x, in the middle
    shaded = (0.5 + 0.2 * beside).clamp(0, 1)  # the darker, the further to the left
    reference = replace(reference, image=shaded.expand_as(reference.image))
    reference.mask[:, :, :30] = 0
    unseen = torch.tensor([[-0.14, 0.03, 0.05], [0.14, 0.03, 0.05]])
    unseen = RADIUS * torch.nn.functional.normalize(unseen, dim=1)
    dark, light = carried(reference, unseen).mean(1)
    assert light > 0.6 and dark < 0.4


def carried(reference, points):
    """`carried_colours` of points on the ball."""
    return carried_colours(Painted(), reference, points, points / RADIUS, SAMPLING)


def test_a_side_that_the_photo_does_not_show_takes_the_other_ones():
    reference = disc(0.15)
    reference.mask[:, :, :36] = 0  # shows the right of the picture alone
    unseen = torch.tensor([[-0.1, 0.05, (RADIUS**2 - 0.0125) ** 0.5], [-0.1, -0.05, -0.13]])
    before, behind = carried(reference, unseen)
    assert (before - torch.tensor([0.9, 0.1, 0.1])).abs().max() < 0.05
    assert (behind - before).abs().max() < 0.05


def test_colours_carry_to_the_back_of_what_is_alike():
    reference = disc(0.15)
    reference.mask[:, 36:] = 0  # shows nothing of what is green
    back = torch.tensor([[0.0, 0.05, -RADIUS], [0.0, -0.15, -0.13]])
    grey, green = carried(reference, back)
    assert (grey - torch.tensor([0.9, 0.1, 0.1])).abs().max() < 0.05
    assert (green - GREEN).abs().max() < 0.05
