"""models/metrics/image.py: closed forms."""

import math

import pytest
import torch
from portrait_diffusion.models.metrics.image import masked_psnr, psnr


def test_psnr_of_a_known_error():
    a = torch.full((1, 3, 4, 4), 0.5)
    assert psnr(a, a + 0.1) == pytest.approx(20, abs=1e-4)
    assert psnr(a, a) == math.inf


def test_only_the_inside_of_the_mask_counts():
    a, b, mask = torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4), torch.zeros(1, 1, 4, 4)
    b[..., :2] = 0.1  # inside
    b[..., 2:] = 0.9  # outside
    mask[..., :2] = 1
    assert masked_psnr(a, b, mask) == pytest.approx(20, abs=1e-4)
    assert masked_psnr(a, b.repeat_interleave(2, -1).repeat_interleave(2, -2), mask.repeat_interleave(2, -1).repeat_interleave(2, -2)) > 15
    with pytest.raises(ValueError, match="mask with a foreground"):
        masked_psnr(a, b, torch.zeros(1, 1, 4, 4))
