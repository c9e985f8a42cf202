"""models/metrics/bootstrap.py: closed forms and invariances."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from portrait_diffusion.models.metrics.bootstrap import interval


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_of_many_heads_it_is_the_normal_interval():
    values = torch.randn(400, generator=seeded(), dtype=torch.float64)
    mean, low, high = interval(values, seeded(1))
    half = 1.96 * float(values.std()) / math.sqrt(400)
    assert mean == pytest.approx(float(values.mean()))
    assert (mean - low, high - mean) == (pytest.approx(half, rel=0.1), pytest.approx(half, rel=0.1))


def test_one_head_or_equal_heads_have_no_width():
    assert interval(torch.tensor([3.0]), seeded()) == (3, 3, 3)
    assert interval(torch.full((5,), 2.0), seeded()) == (2, 2, 2)


@given(st.lists(st.floats(-50, 50), min_size=2, max_size=12), st.floats(0.1, 5), st.floats(-9, 9))
def test_it_follows_units_and_offsets(values, scale, offset):
    values = torch.tensor(values, dtype=torch.float64)
    moved = torch.tensor(interval(scale * values + offset, seeded()))
    assert moved.tolist() == pytest.approx(
        (scale * torch.tensor(interval(values, seeded())) + offset).tolist(), abs=1e-3
    )
    assert moved[1] - 1e-9 <= moved[0] <= moved[2] + 1e-9


def test_pairs_are_narrower_than_what_they_are_made_of():
    hard = 5 * torch.randn(
        24, generator=seeded(), dtype=torch.float64
    )  # how hard each head is, for both methods
    ours, theirs = hard + 1, hard + 0.2 * torch.randn(24, generator=seeded(1), dtype=torch.float64)
    _, low, high = interval(ours - theirs, seeded())
    _, wide_low, wide_high = interval(ours, seeded())
    assert low > 0.8 and high - low < 0.1 * (wide_high - wide_low)


def test_the_seed_decides():
    values = torch.randn(9, generator=seeded())
    assert interval(values, seeded(3)) == interval(values, seeded(3)) != interval(values, seeded(4))


@pytest.mark.parametrize("values", [torch.zeros(0), torch.tensor([1.0, math.inf]), torch.zeros(2, 2)])
def test_what_has_no_mean_is_refused(values):
    with pytest.raises(ValueError, match="finite values"):
        interval(values, seeded())
