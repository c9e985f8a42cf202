"""What is a face, and why the rest is none: bars over eyes, single eyes, skin, hands, cloth."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from portrait_diffusion.models import checkpoint
from portrait_diffusion.models.photo import detection, evidence
from portrait_diffusion.models.photo.network import alignment_network_from

from . import scenes

FACE = evidence.Evidence(
    presence=1.0, confidence=0.95, scatter=0.05, misfit=0.5, margin=2.0, contrast=0.2, band=0.0, boxed=False
)
PUPILS = torch.tensor(
    [[204.0, 101], [246, 103], [225, 128], [205, 140], [244, 140], [225, 178]], dtype=torch.float64
)


@pytest.fixture(scope="module")
def network():
    return alignment_network_from(*checkpoint.read(checkpoint.shipped("alignment"), "alignment"))


@pytest.fixture(scope="module")
def astronaut():
    from skimage import data

    return torch.from_numpy(data.astronaut()).permute(2, 0, 1).float() / 255


def refusal(photo, network) -> str:
    with pytest.raises(ValueError, match="find_face: expected") as caught:
        detection.find_people(photo, network, turns=False)
    told = str(caught.value)
    assert " got " in told or " found none " in told
    assert told.count(";") == 1 and "\n" not in told
    return told


@pytest.mark.parametrize(
    "change, says",
    [
        ({"presence": 0.3}, "found none"),
        ({"confidence": 0.6}, "sure to 0.60"),
        ({"scatter": 0.3}, "from look to look"),
        ({"misfit": 2.3}, "2.3 spreads"),
        ({"margin": -0.1}, "one outside the photo"),
        ({"margin": 0.1}, "at its very edge"),
        ({"band": 0.4}, "a bar of one colour"),
        ({"contrast": 0.02}, "covered or blank"),
    ],
)
def test_each_measure_can_object_alone(change, says):
    assert FACE.objection() is None
    assert says in (replace(FACE, **change).objection() or "")


def test_the_cascade_s_voice_counts():
    """A schoolboy's landmarks fit the mean head ill, and are a face's all the same where another detector sees one."""
    assert replace(FACE, confidence=0.62, misfit=2.3).objection() is not None
    assert replace(FACE, confidence=0.62, misfit=2.3, boxed=True).objection() is None
    assert replace(FACE, presence=0.1, by_network=False).objection() is None


@pytest.mark.whole
@pytest.mark.parametrize(("seed", "yaw"), [(90_001, 0.0), (90_003, -0.5), (90_007, -0.9)])
def test_factory_heads_are_faces_and_with_bars_over_their_eyes_none(network, seed, yaw):
    photo, places = scenes.factory_photo(seed, yaw, size=192, frame=192)
    assert len(detection.find_people(photo, network)) == 1
    assert "two visible eyes" in refusal(scenes.barred(photo, places), network)
    refusal(scenes.barred(photo, places, height=0.2, width=0.9, noise=0.03), network)


@pytest.mark.whole
def test_an_astronaut_is_one_and_with_a_bar_none(network, astronaut):
    photo, places = astronaut[:, :300, 80:380], PUPILS - torch.tensor([80.0, 0])
    (face,) = detection.find_people(photo, network)
    assert face.evidence.boxed and (face.landmarks - places).norm(dim=-1).mean() < 10
    refusal(scenes.barred(photo, places, height=0.35, width=0.8), network)
    refusal(scenes.barred(photo, places, height=0.2, width=0.7), network)


@pytest.mark.whole
def test_pieces_of_an_astronaut_are_refused(network, astronaut):
    refusal(scenes.enlarged(scenes.around(astronaut, PUPILS[0], 30), 256), network)  # one eye
    refusal(scenes.enlarged(astronaut[:, 60:185, 225:300], 256), network)  # half a face
    refusal(astronaut[:, 180:300, 150:300], network)  # collar
    refusal(astronaut[:, 300:, 100:312], network)  # clothes


def test_a_single_factory_eye_is_refused(network):
    photo, places = scenes.factory_photo(90_001, size=192, frame=192)
    refusal(scenes.enlarged(scenes.around(photo, places[0], 16)), network)


@pytest.mark.parametrize("draw", [scenes.skin_ellipse, scenes.hand, scenes.cloth])
def test_drawn_skin_and_cloth_are_refused(network, draw):
    assert "found none" in refusal(draw(), network)


@given(st.floats(0.1, 0.45), st.floats(-0.4, 0.4), st.floats(-0.2, 0.2))
def test_a_bar_is_as_high_as_it_was_drawn(height, up, tilt):
    """On skin with features that are no bar: two discs for eyes, and shading."""
    y, x = torch.meshgrid(torch.arange(200.0), torch.arange(200.0), indexing="ij")
    photo = (torch.tensor([0.8, 0.6, 0.5])[:, None, None] - 0.0005 * x).clamp(0, 1)
    for eye in (75.0, 125.0):
        photo = torch.where(torch.hypot(x - eye, y - 100) < 6, 0.2, photo)
    places = torch.tensor([[75.0, 100], [125, 100], [100, 125], [82, 150], [118, 150], [100, 175]]).double()
    assert evidence.band_of(photo, places) == 0
    over = ((x - 100).abs() < 40) & ((y - 100 - 50 * up - tilt * (x - 100)).abs() < 50 * height / 2)
    measured = evidence.band_of(torch.where(over, 0.05, photo), places)
    if height > 0.25:
        assert abs(measured - height) < 0.15
    assert measured < height + 0.1


@pytest.mark.parametrize("tilt", [0.0, 0.15])
def test_what_lies_outside_the_photo_is_no_bar(tilt):
    """A face so near the upper edge that the square around the eyes reaches beyond it."""
    y, x = torch.meshgrid(torch.arange(160.0), torch.arange(200.0), indexing="ij")
    photo = (torch.tensor([0.8, 0.6, 0.5])[:, None, None] - 0.002 * x - 0.002 * y).clamp(0, 1)
    places = torch.tensor([[75.0, 30], [125, 30], [100, 55], [82, 80], [118, 80], [100, 105]]).double()
    places[:, 1] += tilt * (places[:, 0] - 100)
    for eye in places[:2]:
        photo = torch.where(torch.hypot(x - eye[0], y - eye[1]) < 6, 0.2, photo)
    assert evidence.band_of(photo, places) == 0


def test_a_line_through_skin_is_no_bar_and_an_empty_photo_has_no_contrast():
    places = torch.tensor([[75.0, 100], [125, 100], [100, 125], [82, 150], [118, 150], [100, 175]]).double()
    flat = torch.full((3, 200, 200), 0.6)
    assert evidence.contrast_of(flat, places) == pytest.approx(0.0, abs=1e-6)
    assert evidence.band_of(flat, places) == 0
    assert evidence.margin_of(places, 200, 200) == pytest.approx(1.5)
    with pytest.raises(ValueError, match="expected limits >= 0"):
        evidence.FaceLimits(scatter=-1.0)
