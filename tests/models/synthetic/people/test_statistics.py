"""models/synthetic/people/statistics.py: the points that alignment lays over photos are those of these people."""

import pytest
import torch
from portrait_diffusion.models.photo.network import six_of_68
from portrait_diffusion.models.photo.pose import CANONICAL_LANDMARKS, SIXTY_EIGHT
from portrait_diffusion.models.synthetic.people.statistics import landmark_statistics
from portrait_diffusion.models.synthetic.splits import PRIOR

pytestmark = pytest.mark.whole


def test_the_68_points_of_alignment_are_the_mean_of_these_people(model):
    mean, deviation = landmark_statistics(PRIOR[:60])
    assert (mean - SIXTY_EIGHT.points.float()).norm(dim=-1).max() < 0.003
    ratio = deviation.square().mean(1).sqrt() / SIXTY_EIGHT.spread.float()
    assert 0.3 < ratio.min() and ratio.max() < 1  # what finding them adds is in the spread
    assert six_of_68(mean)[:2, 1].abs().max() < 0.005  # pupils are at height 0
    off = (six_of_68(mean) - torch.tensor(CANONICAL_LANDMARKS))[2:]  # outlines lie behind the pupils' corneas
    assert off.norm(dim=-1).max() < 0.003
