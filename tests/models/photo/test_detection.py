import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from portrait_diffusion.models import checkpoint
from portrait_diffusion.models.camera import orbit, project
from portrait_diffusion.models.photo import detection
from portrait_diffusion.models.photo.network import LANDMARKS, alignment_network_from
from portrait_diffusion.models.synthetic.backgrounds import random_background
from portrait_diffusion.models.synthetic.head import sample_parameters
from portrait_diffusion.models.synthetic.rendering import landmarks, render_head
from torch.testing import assert_close

FACE = ((0.34, 0.37), (0.66, 0.75))  # corners of the face's box in the canonical frame: hairline to chin


@pytest.fixture(scope="module")
def network():
    return alignment_network_from(*checkpoint.read(checkpoint.shipped("alignment"), "alignment"))


@pytest.fixture(scope="module")
def layouts():
    return detection.standard_layouts()


@pytest.fixture(scope="module")
def astronaut():
    from skimage import data

    return torch.from_numpy(data.astronaut()).permute(2, 0, 1).float() / 255


def similarity(x, y, size, angle):
    """[1, 2, 3]: 0 .. 1 -> photo pixels."""
    cos, sin = math.cos(angle) * size, math.sin(angle) * size
    return torch.tensor([[[cos, -sin, x], [sin, cos, y]]], dtype=torch.float64)


def sure(places):
    return detection.Looks(
        places, places, torch.ones(places.shape[:2]).double(), torch.ones(len(places)).double()
    )


@given(st.floats(-99, 99), st.floats(-99, 99), st.floats(20, 900), st.floats(-2, 2), st.integers(0, 14))
def test_a_moved_layout_gives_its_own_square_and_the_full_score(layouts, x, y, size, angle, which):
    square = similarity(x, y, size, angle)
    found, score = detection.fit_layouts(sure(detection.apply(square, layouts[which])), layouts)
    assert_close(found, square, atol=1e-6 * size, rtol=1e-6)
    assert_close(score, torch.ones(1).double())


def test_scattered_landmarks_score_next_to_nothing(layouts):
    places = torch.rand(20, 6, 2, generator=torch.Generator().manual_seed(1)).double() * 100
    assert detection.fit_layouts(sure(places), layouts)[1].median() < 0.05


@given(st.floats(0, 60), st.floats(0, 60), st.floats(16, 100), st.floats(-0.5, 0.5))
def test_a_cut_reads_the_photo_where_the_square_says(x, y, size, angle):
    ramp = torch.arange(200) + 0.5
    photo = torch.stack([ramp.expand(200, 200), ramp[:, None].expand(200, 200), torch.zeros(200, 200)]) / 400
    square = similarity(40 + x, 40 + y, size, angle)
    middle = detection.apply(square, torch.tensor([[0.5, 0.5]], dtype=torch.float64))[0, 0]
    cut = detection.cut(photo, square, 32)[0, :2, 8:24, 8:24].mean((-2, -1)).double() * 400
    if ((middle > 60) & (middle < 140)).all():
        assert_close(cut, middle, atol=0.3, rtol=0)


def test_beyond_the_photo_all_is_grey():
    assert_close(
        detection.cut(torch.zeros(3, 40, 40), similarity(100, 0, 30, 0), 8), torch.full((1, 3, 8, 8), 0.5)
    )


@given(st.integers(32, 500), st.integers(32, 500))
def test_windows_reach_every_corner(height, width):
    corners = detection.apply(
        detection.windows(height, width), torch.tensor([[0.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    )
    assert_close(corners[1:].amin((0, 1)), torch.zeros(2).double(), atol=1e-6, rtol=0)
    assert_close(corners[1:].amax((0, 1)), torch.tensor([width, height]).double(), atol=1e-6, rtol=1e-9)


@pytest.mark.parametrize(("seed", "yaw"), [(90_001, 0.0), (90_003, 0.35)])
def test_landmarks_of_factory_heads_in_a_larger_photo(network, seed, yaw):
    camera, parameters = orbit(yaw, 0.05), sample_parameters(seed)
    view = render_head(parameters, camera[None], 128)
    photo = random_background(256, torch.Generator().manual_seed(seed))
    photo[:, 100:228, 60:188] = torch.lerp(photo[:, 100:228, 60:188], view.rgb[0], view.mask[0])
    points = landmarks(parameters)
    truth = project(camera, torch.stack([points[name] for name in LANDMARKS]))[
        0
    ].double() * 128 + torch.tensor([60.0, 100.0])
    found = detection.find_face(photo, network)
    pupils = 128 * 0.09 / 0.633
    assert (found.landmarks - truth).norm(dim=-1).mean() < 0.2 * pupils
    assert found.score >= detection.TRUSTED


def face_box(places, layouts):
    """Corners (left, top), (right, bottom) of the upright box around the face that the landmarks [6, 2] say."""
    square, _ = detection.fit_layouts(sure(places[None]), layouts)
    (x0, y0), (x1, y1) = FACE
    corners = detection.apply(square, torch.tensor([[x0, y0], [x1, y0], [x0, y1], [x1, y1]]).double())[0]
    return corners.amin(0), corners.amax(0)


def test_the_face_in_a_real_photograph(network, layouts, astronaut):
    found = detection.find_face(astronaut, network)
    by_hand = torch.tensor([[204, 101], [246, 103], [225, 128], [205, 140], [244, 140], [225, 178]]).double()
    assert (found.landmarks - by_hand).norm(dim=-1).mean() < 0.25 * 42  # a quarter of the pupils' distance
    (low, high), truth = (
        face_box(found.landmarks, layouts),
        torch.tensor([[180.0, 68.0], [270.0, 180.0]]).double(),
    )
    shared = (torch.minimum(high, truth[1]) - torch.maximum(low, truth[0])).clamp_min(0).prod()
    assert shared / ((high - low).prod() + (truth[1] - truth[0]).prod() - shared) >= 0.55


def test_a_mirrored_photo_has_mirrored_landmarks(network, astronaut):
    photo, square = astronaut[:, :240, 100:340], similarity(-20, -30, 290, 0)
    plain = detection.settle(photo, square, network)
    mirrored = detection.settle(photo.flip(-1), similarity(240 + 20 - 290, -30, 290, 0), network)
    expected = (
        plain.landmarks[0, list(detection.MIRRORED[6])] * torch.tensor([-1.0, 1.0]).double()
        + torch.tensor([240.0, 0.0]).double()
    )
    assert_close(mirrored.landmarks[0], expected, atol=0.05, rtol=0)
    assert_close(mirrored.presence, plain.presence, atol=1e-4, rtol=0)


def test_the_cascade_alone_leads_to_the_face_when_the_network_is_blind(layouts, astronaut, network):
    class Blind(torch.nn.Module):
        config = network.config

        def forward(self, image):
            finding = network(image)
            return type(finding)(
                finding.mask, torch.zeros_like(finding.heatmaps), torch.full_like(finding.presence, -9.0)
            )

    low, high = face_box(detection.find_face(astronaut[:, :300, 80:380], Blind()).landmarks, layouts)
    assert_close((low + high) / 2, torch.tensor([145.0, 124.0]).double(), atol=15, rtol=0)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_photo_without_a_face_is_refused(network, seed):
    with pytest.raises(ValueError, match="find_face: expected a photo with a visible face, found none"):
        detection.find_face(random_background(160, torch.Generator().manual_seed(seed)), network)


def test_what_is_no_photo_is_refused(network):
    with pytest.raises(ValueError, match=r"expected one photo \[3, H, W\]"):
        detection.find_face(torch.zeros(1, 3, 64, 64), network)
    with pytest.raises(ValueError, match="at least 32x32 pixels, got 1x1"):
        detection.find_face(torch.zeros(3, 1, 1), network)
    with pytest.raises(ValueError, match="NaN"):
        detection.find_face(F.pad(torch.full((3, 1, 1), math.nan), [20, 20, 20, 20]), network)
