"""models/training/degradations.py: damage grows with its strength, repeats with its draws, and does what its name says."""

import pytest
import torch
import torch.nn.functional as F
from portrait_diffusion.models.training.degradations import KINDS, degrade, draw_chance
from torch.testing import assert_close


@pytest.fixture(scope="module")
def image():
    coarse = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    return F.interpolate(coarse, size=(64, 64), mode="bicubic", align_corners=False).clamp(0.1, 0.9)


@pytest.mark.parametrize("kind", range(len(KINDS)), ids=KINDS)
def test_more_is_further_from_the_picture(image, kind):
    chance = draw_chance(image, torch.Generator().manual_seed(1))
    errors = []
    for strength in (0.0, 0.25, 0.5, 1.0):
        damaged = degrade(image, torch.tensor([kind]), torch.tensor([strength]), chance)
        assert damaged.shape == image.shape and 0 <= damaged.min() and damaged.max() <= 1
        errors.append((damaged - image).abs().mean().item())
    assert errors == sorted(errors) and 0 < errors[0] < errors[-1] / 2


def test_rows_are_damaged_alone(image):
    images = torch.cat([image, image.flip(-1), image.flip(-2)])
    kind, strength = torch.tensor([0, 5, 0]), torch.tensor([0.2, 0.9, 0.6])
    chance = draw_chance(images, torch.Generator().manual_seed(2))
    together = degrade(images, kind, strength, chance)
    for i in range(3):
        row = torch.tensor([i])
        assert_close(together[row], degrade(images[row], kind[row], strength[row], chance[row]))


def test_blocks_keep_what_a_coarse_code_can_say(image):
    """A picture of one value is one coefficient per block, a multiple of the step: kept exactly."""
    kind, strength = (
        torch.tensor([KINDS.index("blocks")]),
        torch.tensor([0.3]),
    )  # step 0.1 in the mean coefficient, which is 8 x value
    flat = torch.full_like(image, 0.5)
    assert_close(degrade(flat, kind, strength, draw_chance(flat, torch.Generator().manual_seed(0))), flat)
