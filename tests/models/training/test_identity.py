"""models/training/identity.py: siblings, looks, the loss in closed form, the area under the curve."""

import math

import pytest
import torch
from portrait_diffusion.models.synthetic.head import PARAMETER_NAMES, sample_parameters
from portrait_diffusion.models.training import identity
from torch.testing import assert_close


def test_siblings_share_skin_and_hair_and_not_the_face():
    elder, younger = identity.person(50_000), identity.person(50_001)
    assert torch.equal(elder, sample_parameters(50_000))
    shared = {PARAMETER_NAMES[i] for i in (elder == younger).nonzero().flatten().tolist()}
    assert {"skin_darkness", "hair_style", "eye_colour"} <= shared and not shared & {
        "jaw_width",
        "nose_length",
        "eyebrow_arch",
        "smile",
    }


def test_a_look_changes_no_part_of_the_person():
    changing = {PARAMETER_NAMES[i] for i in identity.LOOK + identity.GLASSES}
    assert {
        "smile",
        "mouth_open",
        "brow_raise",
        "eyes_closed",
        "light_yaw",
        "light_warmth",
        "clothing_hue",
        "glasses",
    } <= changing
    assert not changing & {"skull_width", "skin_darkness", "hair_style", "beard", "eyebrow_arch"}


def test_the_loss_of_separate_heads_is_small_and_of_equal_looks_is_the_logarithm():
    alike = torch.ones(3, 2, 4) / 2
    assert_close(
        identity.contrastive_loss(alike), torch.tensor(math.log(5.0))
    )  # of the 5 others, none stands out
    apart = torch.eye(3).unsqueeze(1).expand(3, 2, 3)
    assert_close(
        identity.contrastive_loss(apart), torch.tensor(math.log(1 + 4 * math.exp(-1 / identity.TEMPERATURE)))
    )


def test_area_under_the_curve_by_hand():
    assert identity.area_under_curve(torch.tensor([0.9, 0.5]), torch.tensor([0.5, 0.1])) == pytest.approx(
        (2 + 1.5) / 4
    )
    assert identity.area_under_curve(torch.tensor([1.0]), torch.tensor([0.0, 0.5])) == 1


def test_batches_repeat_and_hold_siblings_in_several_looks():
    looks = identity.Looks(
        (torch.rand(8, identity.KEPT, 3, 128, 128, generator=torch.Generator().manual_seed(0)) * 255).byte()
    )
    first, second = (identity.draw_batch(looks, torch.Generator().manual_seed(1)) for _ in range(2))
    assert first.shape == (8, identity.LOOKS, 3, 128, 128) and torch.equal(first, second)
