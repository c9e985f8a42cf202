"""models/metrics/identity.py: a cosine of unit vectors, of crops that show the head."""

import pytest
import torch
import torch.nn.functional as F
from portrait_diffusion.models.camera import orbit, project
from portrait_diffusion.models.metrics.identity import (
    CROP_SIZE,
    IdentityConfig,
    IdentityNetwork,
    head_crop,
    identity_similarity,
)
from portrait_diffusion.models.training.identity import crop_camera
from torch.testing import assert_close


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return IdentityNetwork(IdentityConfig()).requires_grad_(False)


def pictures(count=2, size=160, seed=0):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def test_about_four_hundred_thousand_parameters_and_unit_vectors_of_64(network):
    assert 0.3e6 < sum(value.numel() for value in network.parameters()) < 0.5e6
    vectors = network(head_crop(pictures(3)))
    assert vectors.shape == (3, 64)
    assert_close(vectors.norm(dim=1), torch.ones(3))


def test_equal_pictures_are_one_person_and_pairs_do_not_see_each_other(network):
    a, b = pictures(3), pictures(3, seed=1)
    assert_close(identity_similarity(network, a, a), torch.ones(3))
    scores = identity_similarity(network, a, b)
    assert_close(scores, identity_similarity(network, b, a))
    assert_close(scores[2:], identity_similarity(network, a[2:], b[2:]))


def test_frames_of_two_sizes_can_be_compared(network):
    small, big = (F.interpolate(pictures(1, 8), size=(size, size), mode="bicubic", align_corners=False) for size in (160, 320))
    assert identity_similarity(network, small, big).item() > 0.99


def test_the_crop_is_what_its_camera_sees():
    """A dot that `project` puts somewhere in the frame lies in the crop where the crop's camera puts it."""
    yaw, pitch = torch.tensor([0.4]), torch.tensor([0.1])
    point = torch.tensor([[[0.05, 0.11, 0.1]]])
    (whole, _), (zoomed, _) = project(orbit(yaw, pitch), point), project(crop_camera(yaw, pitch), point)
    frame = torch.zeros(1, 3, 400, 400)
    x, y = (whole[0, 0] * 400).long().tolist()
    frame[:, :, y - 2 : y + 3, x - 2 : x + 3] = 1
    weight = head_crop(frame)[0, 0]
    place = (torch.arange(CROP_SIZE) + 0.5) / CROP_SIZE
    found = torch.stack([(weight.sum(0) * place).sum(), (weight.sum(1) * place).sum()]) / weight.sum()
    assert_close(found, zoomed[0, 0], atol=0.006, rtol=0)


def test_bad_batches_are_named(network):
    with pytest.raises(ValueError, match="as many"):
        identity_similarity(network, pictures(2), pictures(3))
    with pytest.raises(ValueError, match="square"):
        head_crop(pictures(1)[..., :100])
    with pytest.raises(ValueError, match="head_crop"):
        network(pictures(1))
