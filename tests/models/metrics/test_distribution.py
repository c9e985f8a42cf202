"""models/metrics/distribution.py: closed forms, unbiasedness, invariances."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from portrait_diffusion.models.metrics.distribution import frechet_distance, kernel_distance


def gaussian(count, dimensions, seed=0):
    return torch.randn(count, dimensions, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_kernel_distance_by_hand():
    # k(1, -1) = 0; k(2, 0) = 1; k(1, 2) = 27, k(1, 0) = 1, k(-1, 2) = -1, k(-1, 0) = 1
    assert kernel_distance(torch.tensor([[1.0], [-1.0]]), torch.tensor([[2.0], [0.0]])) == pytest.approx(
        0 + 1 - 2 * 28 / 4
    )


@pytest.mark.parametrize("count", [4, 40])
def test_kernel_distance_has_the_right_mean_at_every_count(count):
    """x ~ N(0, 1), y ~ N(1, 1): E (x x' + 1)^3 = 4, E (y y' + 1)^3 = 16 + 12 + 3 + 1, E (x y + 1)^3 = 0 + 3 * 2 + 0 + 1."""
    exact = 4 + 32 - 2 * 7
    x, y = (
        gaussian(count * 4000, 1).view(4000, count, 1),
        1 + gaussian(count * 4000, 1, seed=1).view(4000, count, 1),
    )
    values = torch.tensor([kernel_distance(a, b) for a, b in zip(x, y, strict=True)])
    assert abs(values.mean() - exact) < 4 * values.std() / math.sqrt(len(values))


def test_kernel_distance_of_one_distribution_is_zero_on_average():
    values = torch.tensor(
        [kernel_distance(gaussian(10, 6, seed=i), gaussian(10, 6, seed=1000 + i)) for i in range(300)]
    )
    assert abs(values.mean()) < 4 * values.std() / math.sqrt(len(values)) and values.min() < 0


@given(st.integers(0, 1000), st.sampled_from([kernel_distance, frechet_distance]))
def test_order_sides_and_rotations_do_not_matter(seed, distance):
    a, b = gaussian(9, 4, seed), 0.5 + 2 * gaussian(7, 4, seed + 1)
    turn = torch.linalg.qr(gaussian(4, 4, seed + 2))[0]
    value = distance(a, b)
    for other in (distance(a.flip(0), b), distance(b, a), distance(a @ turn, b @ turn)):
        assert other == pytest.approx(value, rel=1e-8, abs=1e-8)


@given(st.integers(0, 1000), st.floats(0.2, 3))
def test_frechet_of_shifted_and_scaled_copies(seed, scale):
    a, shift = gaussian(12, 5, seed), torch.tensor([1.0, 0.0, -2.0, 0.5, 0.0], dtype=torch.float64)
    spread = torch.cov(a.mT).trace().item()
    assert frechet_distance(a, a + shift) == pytest.approx(5.25, abs=1e-6)
    assert frechet_distance(a, a.mean(0) + scale * (a - a.mean(0))) == pytest.approx(
        (1 - scale) ** 2 * spread, abs=1e-6
    )


def test_frechet_of_few_pictures_in_many_dimensions():
    """Covariances of low rank; as the docstring says, far above 0 for sets of one distribution."""
    a = gaussian(4, 32)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)
    few, many = (frechet_distance(gaussian(n, 32, seed=1), gaussian(n, 32, seed=2)) for n in (16, 1600))
    assert few > 15 and many == pytest.approx(32 * 37 / 3200, rel=0.1)


def test_bad_features_are_named():
    for distance in (kernel_distance, frechet_distance):
        with pytest.raises(ValueError, match="two pictures or more"):
            distance(torch.zeros(1, 3), torch.zeros(5, 3))
        with pytest.raises(ValueError, match="two pictures or more"):
            distance(torch.zeros(4, 3), torch.zeros(5, 2))
        with pytest.raises(ValueError, match="finite"):
            distance(torch.full((4, 3), math.nan), torch.zeros(5, 3))
