"""models/metrics/image.py: closed forms, and scikit-image."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from portrait_diffusion.models.metrics.image import (
    blur,
    detail,
    high_frequency,
    luminance,
    masked_blur,
    masked_psnr,
    psnr,
    ssim,
)
from torch.testing import assert_close


def noise(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def disc(size, radius=0.35):
    place = (torch.arange(size) + 0.5) / size - 0.5
    return (torch.hypot(place[:, None], place) < radius).float()[None, None]


def waves(size, per_image=40):
    """[1, 3, size, size]: the same fine pattern at every size."""
    place = (torch.arange(size) + 0.5) / size * (2 * math.pi * per_image)
    return (0.5 + 0.2 * torch.sin(place)[:, None] * torch.sin(place)).expand(1, 3, size, size)


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


@pytest.mark.parametrize("amount", [0.02, 0.2, 0.8])
def test_ssim_is_scikit_images(amount):
    metrics = pytest.importorskip("skimage.metrics")
    a = waves(48, 5)
    b = (a + amount * (noise(1, 3, 48, 48) - 0.5)).clamp(0, 1)
    expected = metrics.structural_similarity(
        a[0].numpy(), b[0].numpy(), channel_axis=0, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert ssim(a, b) == pytest.approx(float(expected), abs=2e-5)


def test_ssim_is_one_for_the_same_picture_and_knows_no_order():
    a, b = noise(2, 3, 20, 20), noise(2, 3, 20, 20, seed=1)
    assert ssim(a, a) == pytest.approx(1, abs=1e-6)
    assert ssim(a, b) == pytest.approx(ssim(b, a), abs=1e-6)
    with pytest.raises(ValueError, match="one size >= 11"):
        ssim(a[..., :10], b[..., :10])


def test_luminance_of_grey_is_the_grey():
    assert_close(luminance(torch.full((1, 3, 2, 2), 0.3)), torch.full((1, 1, 2, 2), 0.3))


def test_blur_damps_a_wave_as_a_gaussian_does():
    size, sigma, per_image = 128, 2.0, 8
    place = torch.arange(size).double()
    wave = torch.cos(place * (2 * math.pi * per_image / size)).expand(1, 1, size, size)
    inner = (..., slice(16, -16), slice(16, -16))
    assert_close(
        blur(wave, sigma)[inner], (wave * math.exp(-0.5 * (sigma * 2 * math.pi * per_image / size) ** 2))[inner], atol=1e-4, rtol=0
    )


@given(st.integers(0, 1000), st.floats(0.4, 5))
def test_a_masked_blur_does_not_see_beyond_its_mask(seed, sigma):
    values, mask = noise(1, 2, 24, 20, seed=seed), (noise(1, 1, 24, 20, seed=seed + 1) > 0.4).float()
    elsewhere = torch.where(mask > 0, values, 7.0)
    inside = mask.expand_as(values) > 0
    blurred = masked_blur(values, mask, sigma)[inside]
    assert_close(blurred, masked_blur(elsewhere, mask, sigma)[inside])
    assert blurred.min() >= values.min() - 1e-5 and blurred.max() <= values.max() + 1e-5


def test_a_silhouette_is_no_detail():
    mask = disc(64)
    assert detail(mask * 0.2 + (1 - mask), mask).abs().max() < 1e-5


@given(st.floats(0.1, 2.0))
def test_share_is_the_square_of_the_contrast_and_the_correlation_stays(contrast):
    exact, mask = waves(96), disc(96)
    share, correlation = high_frequency(0.5 + contrast * (exact - 0.5), exact, mask)
    assert share == pytest.approx(contrast**2, rel=1e-3)
    assert correlation == pytest.approx(1, abs=1e-4)


def test_noise_has_energy_and_no_correlation():
    exact, mask = waves(96), disc(96)
    share, correlation = high_frequency(0.5 + 0.5 * (noise(1, 3, 96, 96) - 0.5), exact, mask)
    assert share > 0.1 and abs(correlation) < 0.1


def test_a_smooth_picture_has_no_detail():
    ramp = torch.linspace(0, 1, 96).expand(1, 3, 96, 96)
    share, _ = high_frequency(ramp, waves(96), torch.ones(1, 1, 96, 96))
    assert share < 2e-3
    assert high_frequency(torch.full((1, 3, 96, 96), 0.5), waves(96), disc(96))[0] < 1e-6


def test_detail_is_measured_in_image_widths_not_pixels():
    def energy(size):
        return float(detail(waves(size, 20), disc(size)).square().sum() / disc(size).sum())

    assert energy(256) == pytest.approx(energy(128), rel=0.06)


def test_detail_needs_some_in_the_truth():
    with pytest.raises(ValueError, match="some detail"):
        high_frequency(waves(32), waves(32), torch.zeros(1, 1, 32, 32))
