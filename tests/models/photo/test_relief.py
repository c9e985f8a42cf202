"""models/photo/relief.py: what the network and its mirror image agree on is believed, on the face alone."""

from types import SimpleNamespace

import pytest
import torch
from portrait_diffusion.models.camera import frontal
from portrait_diffusion.models.photo.network import AlignmentConfig, AlignmentNetwork, Finding
from portrait_diffusion.models.photo.relief import PUPILS, face_relief

SIZE, WIDE = 32, 64


class Says:
    """A network that sees the same surface in every picture; in mirror images, the same mirrored."""

    config = SimpleNamespace(surface=True)

    def __init__(self, depth, normal, mirrored=True):
        other = (depth.flip(-1), normal.flip(-1) * torch.tensor([-1.0, 1.0, 1.0])[:, None, None])
        pair = ((depth, normal), other if mirrored else (depth, normal))
        self.depth, self.normal = (torch.stack(part) for part in zip(*pair, strict=True))

    def __call__(self, image):
        assert image.shape == (2, 3, WIDE, WIDE) and torch.equal(image[1], image[0].flip(-1))
        nothing = torch.zeros(2, 1, SIZE, SIZE)
        return Finding(nothing, nothing, torch.zeros(2), self.depth, self.normal)


@pytest.fixture
def surface():
    across = torch.linspace(-0.7, 0.7, SIZE).expand(1, SIZE, SIZE)
    return across + 0.2, torch.cat([across, across * 0, -(1 - across.square()).sqrt()])


def relief_of(network, mask=None):
    image = torch.rand(3, WIDE, WIDE, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(1, WIDE, WIDE) if mask is None else mask
    return face_relief(image, mask, network, frontal())


def test_what_both_see_is_believed_in_the_middle_and_nothing_far_from_the_face(surface):
    relief = relief_of(Says(*surface))
    assert relief.certainty[0, 36, 32] == pytest.approx(1, abs=1e-4)
    assert relief.certainty[0, 0].max() == 0 and relief.certainty[0, :, 0].max() == 0
    assert relief.distance[0, 36, 32] == pytest.approx(PUPILS * 0.2, abs=2e-3)
    torch.testing.assert_close(relief.normal.norm(dim=0), torch.ones(WIDE, WIDE))
    assert relief.normal[0, 36, 50] > 0.4  # right of the middle it looks right


def test_what_only_one_sees_is_not_believed(surface):
    depth, normal = surface
    relief = relief_of(Says(depth, normal, mirrored=False))
    assert relief.certainty[0, 36, 48] < 0.05  # there picture and mirror image say opposite slopes


def test_the_background_has_no_relief(surface):
    assert relief_of(Says(*surface), torch.zeros(1, WIDE, WIDE)).certainty.max() == 0


def test_networks_of_six_points_tell_none():
    network = AlignmentNetwork(AlignmentConfig(size=16, channels=(4, 4)))
    assert relief_of(network) is None
