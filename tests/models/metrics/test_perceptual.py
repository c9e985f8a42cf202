"""models/metrics/perceptual.py: a distance, and the form that it says; models/training/perceptual.py and degradations.py in a few steps."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from portrait_diffusion.models.metrics.perceptual import (
    PerceptualConfig,
    PerceptualNetwork,
    embedding,
    perceptual_distance,
)
from torch.testing import assert_close


@pytest.fixture(scope="module")
def network():
    net = PerceptualNetwork(PerceptualConfig())
    draws = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in net.parameters():
            value.normal_(0, (2 / value[0].numel()) ** 0.5 if value.ndim > 1 else 0.1, generator=draws)
    return net.requires_grad_(False)


def pictures(count=2, size=64, seed=0):
    coarse = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=False).clamp(0, 1)


def test_about_three_hundred_thousand_parameters(network):
    assert 0.2e6 < sum(value.numel() for value in network.parameters()) < 0.35e6


@given(st.integers(0, 1000))
def test_zero_for_equal_pictures_symmetric_and_positive_else(network, seed):
    a, b = pictures(seed=seed), pictures(seed=seed + 1)
    assert torch.equal(perceptual_distance(network, a, a), torch.zeros(2))
    assert_close(perceptual_distance(network, a, b), perceptual_distance(network, b, a))
    assert (perceptual_distance(network, a, b) > 0).all()


def test_pairs_do_not_see_each_other(network):
    a, b = pictures(3), pictures(3, seed=5)
    assert_close(perceptual_distance(network, a, b)[1:2], perceptual_distance(network, a[1:2], b[1:2]))


def test_it_is_the_formula(network):
    """With equal weights w, each level adds w (2 - 2 cos) of the features' angle, averaged over places."""
    a, b = pictures(1, 72), pictures(1, 72, seed=1)
    cosines = [F.cosine_similarity(x, y).mean() for x, y in zip(network(a), network(b), strict=True)]
    plain = PerceptualNetwork(network.config)
    plain.load_state_dict(network.state_dict() | {f"log_weights.{i}": torch.full_like(v, 0.5) for i, v in enumerate(network.log_weights)})
    expected = torch.tensor(0.5).exp() * sum(2 - 2 * cosine for cosine in cosines)
    assert_close(perceptual_distance(plain, a, b)[0], expected, rtol=1e-4, atol=1e-6)


def test_levels_halve_and_any_size_from_64_works(network):
    assert [list(x.shape[1:]) for x in network(pictures(1, 96))] == [[24, 48, 48], [48, 24, 24], [80, 12, 12], [96, 6, 6]]
    assert embedding(network, pictures(2, 70)).shape == (2, 96)
    with pytest.raises(ValueError, match="at least 64"):
        network(pictures(1, 48))
    with pytest.raises(ValueError, match="one shape"):
        perceptual_distance(network, pictures(1, 64), pictures(1, 72))


def test_a_gradient_pulls_a_picture_to_the_other(network):
    a, b = pictures(1).requires_grad_(True), pictures(1, seed=3)
    before = perceptual_distance(network, a, b).sum()
    (slope,) = torch.autograd.grad(before, a)
    assert slope.isfinite().all()
    step = 1e-3 / slope.abs().max()
    assert perceptual_distance(network, (a - step * slope).detach(), b).sum() < before
