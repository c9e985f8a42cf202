"""models/synthetic/noise.py: smooth, bounded, repeatable, periodic where asked."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from portrait_diffusion.models.synthetic.noise import noise


def points(seed, count=400):
    return (torch.rand(3, count, generator=torch.Generator().manual_seed(seed)) * 60 - 30).unbind(0)


@given(st.integers(0, 1000), st.integers(1, 3))
def test_it_is_bounded_and_continuous(seed, axes):
    p = points(seed)[:axes]
    here, beside = noise(p, seed), noise(tuple(x + 1e-3 for x in p), seed)
    assert here.abs().max() <= 1
    assert (
        here - beside
    ).abs().max() < 3 * 2 * 1.5e-3 * axes  # the cubic's steepest slope is 1.5, corners differ by 2 at most


def test_it_is_centred_and_seeds_differ():
    p = points(0, 20_000)
    a, b = noise(p, 1), noise(p, 2)
    assert a.mean().abs() < 0.05 and 0.1 < a.std() < 0.6
    assert torch.corrcoef(torch.stack([a, b]))[0, 1].abs() < 0.05


def test_a_period_repeats():
    x, y, _ = points(3)
    torch.testing.assert_close(noise((x, y), 5, period=7), noise((x + 7, y), 5, period=7), atol=2e-4, rtol=0)


def test_values_are_fixed_for_ever():
    x = torch.tensor([0.25, 3.5, -7.75])
    expected = noise((x.double(), x.double()), 9)
    torch.testing.assert_close(noise((x, x), 9), expected.float())
    assert torch.equal(noise((x, x), 9), noise((x, x), 9))
