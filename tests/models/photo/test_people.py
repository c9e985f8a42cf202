"""Several people, photos on their side, and what a photo does not tell."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from portrait_diffusion.models import checkpoint
from portrait_diffusion.models.camera import frontal
from portrait_diffusion.models.photo import detection, matting, people, unknown
from portrait_diffusion.models.photo.alignment import ManualCrop, align
from portrait_diffusion.models.photo.network import alignment_network_from
from portrait_diffusion.models.photo.pose import Pose
from portrait_diffusion.models.photo.shrinking import within
from portrait_diffusion.models.synthetic.backgrounds import random_background
from portrait_diffusion.models.synthetic.head import sample_parameters
from portrait_diffusion.models.synthetic.rendering import render_head
from torch.testing import assert_close

from . import scenes


@pytest.fixture(scope="module")
def network():
    return alignment_network_from(*checkpoint.read(checkpoint.shipped("alignment"), "alignment"))


@pytest.fixture(scope="module")
def astronaut():
    from skimage import data

    return torch.from_numpy(data.astronaut()).permute(2, 0, 1).float() / 255


@pytest.fixture(scope="module")
def couple(astronaut):
    """[3, 300, 450]: the astronaut, and a second one half as large."""
    photo = astronaut[:, :300, 80:380]
    small = F.interpolate(photo[None], size=(150, 150), mode="area")[0]
    return torch.cat([photo, small.repeat(1, 2, 1)], -1)[:, :, :450]


@pytest.mark.whole
def test_the_large_and_central_one_is_taken_and_another_can_be(network, couple):
    first = align(couple, network=network, size=64)
    (note,) = (note for note in first.notes if "faces:" in note)
    assert "1 at x 14" in note and "score 0." in note and note.endswith("this is face 1")
    assert float((first.crop_to_photo @ torch.tensor([32.0, 32, 1]).double())[0]) < 200
    second = align(couple, network=network, size=64, face=2)
    assert float((second.crop_to_photo @ torch.tensor([32.0, 32, 1]).double())[0]) > 330
    with pytest.raises(ValueError, match="expected a face from 1 to 3, .* got 9; faces: 1 at"):
        align(couple, network=network, size=64, face=9)


@pytest.fixture(scope="module")
def upright(network, astronaut):
    """A photo and what is aligned of it."""
    photo = astronaut[:, :300, 80:340]
    return photo, align(photo, network=network, size=64)


@pytest.mark.whole
@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_photo_on_its_side_gives_the_same_crop(network, upright, turns):
    photo, upright = upright
    turned = align(photo.rot90(turns, (1, 2)), network=network, size=64)
    assert upright.notes == () and len(turned.notes) == (
        0 if turns == 1 else 1
    )  # a tilt of 90 degrees may be seen as it is
    assert all("turn" in note for note in turned.notes)
    middle = torch.tensor([[32.0, 32.0, 1.0]]).double()
    place = detection.unturned((turned.crop_to_photo @ middle.T).T, turns, *photo.shape[-2:])
    assert (place - (upright.crop_to_photo @ middle.T).T).norm() < 2
    assert (turned.image - upright.image).abs().mean() < 0.02
    assert turned.photo_size == photo.rot90(turns, (1, 2)).shape[-2:]


@given(st.integers(0, 3), st.integers(2, 9), st.integers(2, 9))
def test_places_are_turned_back(turns, height, width):
    photo = torch.arange(height * width).view(1, height, width)
    turned = photo.rot90(turns, (1, 2))
    y, x = torch.meshgrid(*(torch.arange(n) + 0.5 for n in turned.shape[-2:]), indexing="ij")
    back = detection.unturned(torch.stack([x.flatten(), y.flatten()], -1), turns, height, width).long()
    assert torch.equal(photo[0, back[:, 1], back[:, 0]], turned[0].flatten())


@pytest.mark.whole
def test_a_cut_head_is_unknown_at_the_top_and_says_so(network, astronaut):
    whole = align(astronaut[:, :300, 60:400], network=network, size=64)
    cut = align(astronaut[:, 60:316, 96:352], network=network, size=64)
    assert any("cut at the top" in note for note in cut.notes) and not any("top" in n for n in whole.notes)
    assert cut.unknown is not None and cut.unknown.shape == (1, 64, 64)
    assert float(cut.unknown[0, 15, 32]) == 1 and float(cut.mask[0, 15, 32]) == 0
    assert float(cut.unknown[0, 36, 32]) == 0 and float(cut.mask[0, 36, 32]) == 1
    assert float(cut.unknown[0, 1, 1]) == 0  # no head reaches there


def test_a_factory_head_well_inside_a_photo_has_nothing_unknown(network):
    photo, _ = scenes.factory_photo(90_001, size=192)
    aligned = align(photo, network=network, size=64)
    assert aligned.unknown is None and aligned.notes == ()


def test_others_are_where_their_poses_put_them():
    own = Pose(100.0, torch.tensor([100.0, 50.0]).double(), 0.0, 0.0, 0.0)
    other = Pose(100.0, torch.tensor([200.0, 50.0]).double(), 0.0, 0.0, 0.0)
    assert people.silhouettes([], own.crop_to_photo(32), 32) is None
    same, aside = (people.silhouettes([pose], own.crop_to_photo(32), 32) for pose in (own, other))
    assert float(same[0, 16, 16]) == 1 and float(aside[0, 16, 16]) == 0


def test_another_person_is_not_matted_in(network):
    """Twins, one behind the other's shoulder: what the rear one shows beside the front one is foreground only as long as nobody tells."""
    photo = F.interpolate(random_background(192, torch.Generator().manual_seed(1))[None], 192)[0].clone()
    view = render_head(sample_parameters(90_001), frontal()[None], 128)
    for left in (74, 32):
        part = slice(None), slice(32, 160), slice(left, min(192, left + 128))
        width = photo[part].shape[-1]
        photo[part] = torch.lerp(photo[part], view.rgb[0, :, :, :width], view.mask[0, :, :, :width])
    front, rear = (Pose(128.0, torch.tensor([x, 96.0]).double(), 0.0, 0.0, 0.0) for x in (96.0, 138.0))
    crop = align(photo, network=network, size=64, crop=ManualCrop(0.5, 0.5, 128 / 192))
    rivals = people.silhouettes([rear], front.crop_to_photo(64), 64)
    alone, warned = (matting.matte(crop.image, network, frontal(), rivals=r).mask for r in (None, rivals))
    beside = (rivals > 0.5) & (unknown.head_mask(frontal(), 64, crop.image.device) < 0.5)
    assert float(warned[beside].mean()) < min(0.1, float(alone[beside].mean()))
    hidden = unknown.hidden_by(rivals, warned, frontal())
    assert hidden is not None and float(hidden[warned > 0.5].sum()) == 0 < float(hidden.sum())


def test_a_mask_unlike_a_person_is_refused():
    with pytest.raises(ValueError, match="got a mask that shares 10% with one"):
        matting.check_person(matting.Matte(torch.zeros(1, 4, 4), None, 0.1))


@given(st.integers(20, 90), st.integers(300, 900), st.booleans())
def test_shrinking_is_one_antialiased_interpolation(side, height, upright):
    photo = torch.rand(3, height, 310, generator=torch.Generator().manual_seed(height))
    photo = photo if upright else photo.transpose(1, 2)
    shrink = side / max(photo.shape[-2:])
    size = [max(1, round(n * shrink)) for n in photo.shape[-2:]]
    expected = F.interpolate(photo[None], size=size, mode="bilinear", antialias=True)[0]
    assert_close(within(photo, side), expected, atol=1e-5, rtol=0)


def test_a_huge_photo_is_shrunk_first_and_cropped_in_its_own_pixels(monkeypatch):
    from portrait_diffusion.models.photo import alignment

    photo = F.interpolate(torch.rand(1, 3, 30, 40, generator=torch.Generator().manual_seed(0)), (300, 400))[0]
    options = {
        "network": scenes.NEVER_ASKED,
        "crop": ManualCrop(0.5, 0.5, 0.6),
        "mask": torch.ones(1, 300, 400),
        "size": 32,
    }
    shares = []
    whole = align(photo, **options)
    monkeypatch.setattr(alignment, "MAX_SIDE", 200)
    sizes = []
    resample = alignment.resample
    monkeypatch.setattr(
        alignment, "resample", lambda values, *rest: sizes.append(values.shape) or resample(values, *rest)
    )
    shrunk = align(photo, **options, callback=shares.append)
    crops = [(4, 150, 200), (3, 150, 200)]  # what is aligned, and the fine crop
    assert sizes == crops and shrunk.photo_size == (300, 400)
    assert_close(shrunk.crop_to_photo, whole.crop_to_photo)
    assert_close(shrunk.image, whole.image, atol=0.1, rtol=0)
    assert shares == sorted(shares) and shares[-1] == 1.0
    with pytest.raises(ValueError, match="NaN"):
        align(photo.index_fill(2, torch.tensor(3), torch.nan), **options)
