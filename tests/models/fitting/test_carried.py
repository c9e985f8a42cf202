"""models/fitting/carried.py: how a photo differs from the prior reaches what it does not show, by place and by colour."""

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
    points, colours, differences = told_by(Painted(), disc(0.15), SAMPLING)
    assert len(points) > 100 and (points.norm(dim=-1) - RADIUS).abs().max() < 0.02
    assert (points[:, 2] > 0.5 * RADIUS).all()
    red = torch.tensor([0.9, 0.1, 0.1])
    assert (colours + differences - red).abs().max() < 1e-3


def test_a_side_that_the_photo_does_not_show_takes_the_other_ones():
    reference = disc(0.15)
    reference.mask[:, :, :36] = 0  # shows the right of the picture alone
    unseen = torch.tensor([[-0.1, 0.05, (RADIUS**2 - 0.0125) ** 0.5], [-0.1, -0.05, -0.13]])
    before, behind = carried_colours(Painted(), reference, unseen, SAMPLING)
    assert (before - torch.tensor([0.9, 0.1, 0.1])).abs().max() < 0.05
    assert (behind - before).abs().max() < 0.05


def test_colours_carry_to_the_back_of_what_is_alike():
    reference = disc(0.15)
    reference.mask[:, 36:] = 0  # shows nothing of what is green
    back = torch.tensor([[0.0, 0.05, -RADIUS], [0.0, -0.15, -0.13]])
    grey, green = carried_colours(Painted(), reference, back, SAMPLING)
    assert (grey - torch.tensor([0.9, 0.1, 0.1])).abs().max() < 0.05
    assert (green - GREEN).abs().max() < 0.05
