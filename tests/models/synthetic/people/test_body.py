import pytest
import torch
from portrait_diffusion.models.synthetic.people import body as bodies
from portrait_diffusion.models.synthetic.people.eyes import polar
from portrait_diffusion.models.synthetic.people.scans import LEFT_IRIS, RIGHT_IRIS
from portrait_diffusion.models.synthetic.people.shape import rotation
from portrait_diffusion.models.synthetic.people.statistics import landmark_statistics
from portrait_diffusion.models.synthetic.splits import VALIDATION

SEEDS = VALIDATION[:6]


@pytest.fixture(scope="module", params=SEEDS)
def head(request, model):
    return bodies.draw_body(request.param)


def test_pupils_are_level_and_as_far_apart_as_agreed(head):
    left, right = head.pupils
    assert float((left - right).norm()) == pytest.approx(bodies.PUPILS, abs=1e-5)
    assert abs(float(left[1] + right[1])) < 1e-5 and abs(float(left[0] + right[0])) < 1e-5


def test_a_head_fits_its_frame(head):
    assert head.vertices.isfinite().all()
    assert head.vertices[:, 1].max() < 0.26 and head.vertices.abs().max() < 0.5
    assert -0.2 < float(head.landmarks[8, 1]) < -0.11 and float(head.landmarks[30, 2]) > 0.11


def test_normals_are_unit_and_look_out_of_the_skin(head):
    used = head.faces.unique()
    lengths = head.normals[used].norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones_like(lengths))
    forehead = (head.rest[:, 1] > 8) & (head.rest[:, 2] > 9)
    assert head.normals[forehead, 2].min() > 0


def test_eyes_look_where_they_should(head):
    aside, up = head.gaze
    want = rotation(torch.tensor([-up, aside, 0.0])) @ torch.tensor([0.0, 0.0, 1.0])
    for part, centre in zip((LEFT_IRIS, RIGHT_IRIS), head.pupils, strict=True):
        front = head.vertices[part][polar(head.rest[part])[0] < 0.15].mean(0)
        assert (
            float(torch.nn.functional.normalize(front - centre, dim=0) @ want) > 0.98
        )  # faces differ in how their eyes lie


def test_hair_grows_above_and_behind_alone(head):
    assert head.scalp[head.rest[:, 1] > 12].min() == 1
    assert head.scalp[(head.rest[:, 2] > 7) & (head.rest[:, 1] < 7)].max() == 0


def test_the_same_seed_is_the_same_head(model):
    first, again, other = (bodies.draw_body(seed).vertices for seed in (7, 7, 8))
    assert torch.equal(first, again) and not torch.allclose(first, other)
    with pytest.raises(ValueError, match="seed of 0 or more"):
        bodies.draw_body(-1)


def test_landmarks_have_a_mean_and_a_spread(model):
    mean, deviation = landmark_statistics(range(8))
    assert mean.shape == deviation.shape == (68, 3) and (deviation[:, 1] > 0).all()
    assert 0.08 < float(mean[45, 0] - mean[36, 0]) < 0.16
    with pytest.raises(ValueError, match="two people"):
        landmark_statistics([1])
