"""models/photo/foreground_colours.py: what lies behind a person leaves its colours, wherever the mask is soft, and nowhere else changes anything."""

import pytest
import torch
from portrait_diffusion.models.photo.foreground_colours import SURE, foreground_colours

PERSON, BEHIND = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.1, 0.8, 0.9])


def mixed(size, width):
    """A disc with an outline `width` pixels wide before a plain background: picture [3, S, S], mask [1, S, S]."""
    y, x = torch.meshgrid(torch.arange(size) - size / 2, torch.arange(size) - size / 2, indexing="ij")
    mask = ((0.3 * size - torch.hypot(x, y)) / width + 0.5).clamp(0, 1)[None]
    return mask * PERSON[:, None, None] + (1 - mask) * BEHIND[:, None, None], mask


@pytest.mark.parametrize(("size", "width"), [(128, 6), (600, 20)])
def test_plain_colours_come_back(size, width):
    image, mask = mixed(size, width)
    result = foreground_colours(image, mask)
    soft = ((mask > 0) & (mask < SURE))[0]
    torch.testing.assert_close(
        result[:, soft],
        PERSON[:, None].expand(-1, int(soft.sum())),
        atol=0.05,
        rtol=0,  # of a difference of up to 0.7
    )
    assert torch.equal(result[:, ~soft], image[:, ~soft])


@pytest.mark.parametrize("mask", [torch.zeros(1, 64, 64), torch.ones(1, 64, 64)])
def test_without_an_outline_nothing_changes(mask):
    image = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(foreground_colours(image, mask), image)


def test_detail_of_the_person_stays():
    image, mask = mixed(128, 8)
    stripes = 0.1 * (torch.arange(128) % 4 < 2).float()
    result = foreground_colours(image + mask * stripes, mask)
    most = ((mask > 0.7) & (mask < SURE))[0]
    step = (result[:, most] - PERSON[:, None] - stripes.expand(128, 128)[most]).abs().mean()
    assert step < 0.03
