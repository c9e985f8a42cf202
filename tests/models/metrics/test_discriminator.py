"""models/metrics/discriminator.py: what the discriminator is asked, and what becomes of its answer."""

import math
from types import SimpleNamespace

import pytest
import torch
from portrait_diffusion.models.camera import label_from_camera, orbit
from portrait_diffusion.models.metrics.discriminator import discriminator_score, image_pair
from portrait_diffusion.models.prior.discriminator import Discriminator, DiscriminatorConfig
from torch.testing import assert_close


class Recorder:
    """A discriminator that answers with given logits and keeps what it was asked."""

    config = SimpleNamespace(raw_resolution=4)

    def __init__(self, *logits):
        self.logits, self.asked = list(logits), []

    def __call__(self, image, raw, label):
        self.asked.append((image, raw, label))
        return torch.tensor([self.logits[len(self.asked) - 1]])


def labels(count):
    return label_from_camera(orbit(torch.linspace(0, 1, count), torch.zeros(count)))


def test_the_pair_is_the_image_and_its_means():
    image = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    fine, raw = image_pair(image, 4)
    assert_close(fine, image * 2 - 1)
    assert_close(raw, fine.unflatten(-1, (4, 2)).unflatten(-3, (4, 2)).mean((-3, -1)))
    with pytest.raises(ValueError, match="multiple of 3"):
        image_pair(image, 3)


def test_the_score_is_the_mean_of_the_sigmoids():
    network = Recorder(0.0, math.log(3))  # sigmoids 1 / 2 and 3 / 4
    image = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert discriminator_score(network, image, labels(2)) == pytest.approx(0.625)
    assert_close(torch.cat([label for _, _, label in network.asked]), labels(2))
    assert [raw.shape for _, raw, _ in network.asked] == [(1, 3, 4, 4)] * 2


def test_a_head_is_scored_alike_alone_and_among_others():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Discriminator(
            DiscriminatorConfig(resolution=32, raw_resolution=16, widths=(4, 6, 8))
        ).requires_grad_(False)
    image, label = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0)), labels(3)
    alone = [discriminator_score(network, image[i : i + 1], label[i : i + 1]) for i in range(3)]
    assert discriminator_score(network, image, label) == pytest.approx(sum(alone) / 3, abs=1e-6)
    assert all(0 < score < 1 for score in alone)
