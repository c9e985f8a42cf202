import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from portrait_diffusion.models import checkpoint
from portrait_diffusion.models.photo.network import (
    LANDMARKS,
    AlignmentConfig,
    AlignmentNetwork,
    alignment_network_from,
    soft_argmax,
)
from torch.testing import assert_close

SMALL = AlignmentConfig(size=32, channels=(4, 8, 8))


def bump(x, y, *, size=64, sharpness=0.5):
    """Logits of a Gaussian around (x, y) in cells from the map's corner: its mean is known."""
    u = torch.arange(size) + 0.5
    return -sharpness * ((u - x).square() + (u[:, None] - y).square())


@given(st.floats(8, 56), st.floats(8, 56))
def test_the_place_of_a_gaussian_is_its_mean(x, y):
    place, confidence = soft_argmax(bump(x, y))
    assert_close(place * 64, torch.tensor([x, y]), atol=0.03, rtol=0)
    assert confidence > 0.99


def test_a_far_weaker_peak_lowers_the_confidence_and_does_not_pull():
    two = torch.logaddexp(bump(10.5, 20.5), bump(50.5, 40.5) + torch.tensor(0.5).log())
    place, confidence = soft_argmax(two)
    assert_close(place * 64, torch.tensor([10.5, 20.5]), atol=0.01, rtol=0)
    assert_close(confidence, torch.tensor(2 / 3), atol=0.01, rtol=0)


def test_a_flat_map_has_hardly_any_confidence():
    _, confidence = soft_argmax(torch.zeros(2, 6, 64, 64))
    assert confidence.shape == (2, 6) and confidence.max() <= 49 / 64**2


@pytest.mark.parametrize("side", [32, 48, 17])
def test_shapes_for_any_square_input(side):
    finding = AlignmentNetwork(SMALL)(torch.rand(2, 3, side, side))
    assert finding.mask.shape == (2, 1, 32, 32) and finding.heatmaps.shape == (2, len(LANDMARKS), 16, 16)
    assert finding.presence.shape == (2,)
    places, confidence = finding.landmarks()
    assert places.shape == (2, 6, 2) and 0 <= places.min() and places.max() <= 1 and confidence.max() <= 1


def test_every_weight_matters_to_some_output():
    network = AlignmentNetwork(SMALL)
    finding = network(torch.rand(1, 3, 32, 32))
    (
        finding.mask.square().sum() + finding.heatmaps.square().sum() + finding.presence.square().sum()
    ).backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in network.parameters())


@settings(max_examples=5)
@given(st.integers(0, 9))
def test_pictures_of_a_batch_do_not_mix(seed):
    network, pictures = (
        AlignmentNetwork(SMALL),
        torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(seed)),
    )
    assert_close(network(pictures).mask[1:2], network(pictures[1:2]).mask, atol=1e-5, rtol=1e-4)


def test_the_weights_that_ship_load_frozen_and_are_small():
    path = checkpoint.shipped("alignment")
    assert path.stat().st_size <= 3 * 2**20
    network = alignment_network_from(*checkpoint.read(path, "alignment"))
    assert sum(p.numel() for p in network.parameters()) <= 1_200_000
    assert not network.training and not any(p.requires_grad for p in network.parameters())


@pytest.mark.parametrize("sizes", [{"size": 100}, {"channels": ()}, {"channels": (6, 8)}])
def test_sizes_that_cannot_be_are_refused(sizes):
    with pytest.raises(ValueError, match="AlignmentConfig"):
        AlignmentConfig(**sizes)


def test_foreign_configs_and_weights_are_refused():
    with pytest.raises(ValueError, match="wrong entries"):
        alignment_network_from({"depth": 3}, {})
    with pytest.raises(ValueError, match="missing"):
        alignment_network_from({"size": 32, "channels": [4, 8, 8]}, {})
