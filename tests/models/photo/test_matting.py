import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from portrait_diffusion.models import checkpoint
from portrait_diffusion.models.camera import frontal
from portrait_diffusion.models.photo import matting
from portrait_diffusion.models.photo.network import alignment_network_from
from portrait_diffusion.models.synthetic.backgrounds import random_background
from portrait_diffusion.models.synthetic.head import sample_parameters
from portrait_diffusion.models.synthetic.rendering import render_head
from torch.testing import assert_close

SEEDS = (90_001, 90_004)


@pytest.fixture(scope="module")
def network():
    return alignment_network_from(*checkpoint.read(checkpoint.shipped("alignment"), "alignment"))


@pytest.fixture(scope="module")
def heads():
    return {seed: render_head(sample_parameters(seed), frontal()[None], 128) for seed in SEEDS}


def overlap(found, truth):
    found, truth = found > 0.5, truth > 0.5
    return ((found & truth).sum() / (found | truth).sum()).item()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_head_on_white_is_cut_out_nearly_perfectly(network, heads, seed):
    mask = matting.foreground(heads[seed].rgb[0], network, frontal())
    assert mask.shape == (1, 128, 128) and mask.min() >= 0 and mask.max() <= 1
    assert overlap(mask, heads[seed].mask[0]) >= 0.93


@pytest.mark.parametrize("seed", SEEDS)
def test_a_head_in_front_of_clutter(network, heads, seed):
    head, background = heads[seed], random_background(128, torch.Generator().manual_seed(seed))
    mask = matting.foreground(torch.lerp(background, head.rgb[0], head.mask[0]), network, frontal())
    assert overlap(mask, head.mask[0]) >= 0.8


def test_what_is_no_crop_is_refused(network):
    with pytest.raises(ValueError, match="one square crop"):
        matting.foreground(torch.zeros(3, 64, 32), network, frontal())
    with pytest.raises(ValueError, match="at least 16x16 pixels, got 1x1"):
        matting.foreground(torch.zeros(3, 1, 1), network, frontal())
    with pytest.raises(ValueError, match="NaN"):
        matting.foreground(torch.full((3, 32, 32), math.nan), network, frontal())
    with pytest.raises(ValueError, match="MattingConfig"):
        matting.MattingConfig(bins=1)


@given(st.integers(0, 99))
def test_the_guided_filter_keeps_what_is_linear_in_the_guide(seed):
    guide = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    values = (guide * torch.tensor([0.3, -1.0, 2.0]).double()[:, None, None]).sum(1, keepdim=True) + 0.7
    assert_close(matting.guided_filter(values, guide, radius=3, edge=1e-10), values, atol=1e-6, rtol=0)


def test_the_guided_filter_is_a_box_filter_where_the_guide_is_flat():
    values = torch.zeros(1, 1, 21, 21)
    values[..., 10, 10] = 1
    smooth = matting.guided_filter(values, torch.full((1, 3, 21, 21), 0.4), radius=2, edge=1e-3)
    assert_close(smooth.sum(), torch.tensor(1.0))  # twice a box of 5
    assert_close(smooth[0, 0, 10, 10], torch.tensor(1 / 25))
    assert smooth[0, 0, :6].abs().max() < 1e-6


def test_lab_is_scikit_images():
    from skimage import color

    rgb = torch.rand(1, 3, 9, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    lab = torch.from_numpy(color.rgb2lab(rgb[0].permute(1, 2, 0).numpy())).permute(2, 0, 1)
    scaled = torch.stack([lab[0] / 100, lab[1] / 120 + 0.5, lab[2] / 120 + 0.5])
    assert_close(matting.to_lab(rgb)[0], scaled.clamp(0, 1), atol=2e-4, rtol=0)


def test_colours_vote_for_the_side_they_come_from():
    rgb = (
        torch.cat([torch.tensor([0.8, 0.5, 0.4]), torch.tensor([0.2, 0.3, 0.9])])
        .view(2, 3)
        .T[None, :, None]
        .repeat_interleave(8, 3)
    )
    lab = matting.to_lab(rgb.expand(1, 3, 16, 16))
    half = (torch.arange(16) < 8).float().expand(1, 1, 16, 16)
    vote = matting.colour_vote(lab, 0.8 * half + 0.1, 16)
    assert (vote[..., :8] > 1).all() and (vote[..., 8:] < -1).all()
    assert_close(matting.colour_vote(lab, torch.full_like(half, 0.5), 16), torch.zeros_like(half))


def test_one_piece_keeps_the_largest_part_and_fills_its_holes():
    mask = torch.zeros(20, 20, dtype=torch.bool)
    mask[5:16, 5:16] = True
    expected = mask.clone()
    mask[9, 9] = False
    mask[1, 1] = mask[18, 2] = True
    assert torch.equal(matting.one_piece(mask), expected)
    assert not matting.one_piece(torch.zeros(4, 4, dtype=torch.bool)).any()
