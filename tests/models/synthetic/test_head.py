import pytest
import torch
from portrait_diffusion.models.synthetic import head

PINNED = [0.7723613977432251, 0.9963295459747314, -0.04747951030731201, -0.5949435234069824]  # seed 100,000


def test_parameters_of_a_seed_are_fixed_for_ever():
    values = head.sample_parameters(100_000)
    assert values.dtype == torch.float32 and values.shape == (len(head.PARAMETER_NAMES),)
    assert torch.equal(values[:4], torch.tensor(PINNED))
    assert torch.equal(values, head.sample_parameters(100_000))


def test_parameters_are_uniform_and_independent():
    draws = torch.stack([head.sample_parameters(seed) for seed in range(2000)]).double()
    assert draws.min() >= -1 and draws.max() <= 1
    assert draws.mean(0).abs().max() < 5 * (1 / 3) ** 0.5 / 2000**0.5
    assert (draws.var(0) - 1 / 3).abs().max() < 0.04
    correlation = torch.corrcoef(torch.cat([draws[:-1], draws[1:]], 1).T)  # with the next seed's, too
    assert (correlation - torch.eye(len(correlation))).abs().max() < 0.13


def test_the_mean_person_is_the_middle_of_the_range():
    assert torch.equal(head.mean_parameters(), torch.zeros(len(head.PARAMETER_NAMES)))
    assert len(set(head.PARAMETER_NAMES)) == len(head.PARAMETER_NAMES)


def test_negative_seeds_are_refused():
    with pytest.raises(ValueError, match="0 or more"):
        head.sample_parameters(-1)
