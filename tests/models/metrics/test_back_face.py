"""models/metrics/back_face.py: closed forms, invariances, and faces put on the backs of exact heads on purpose."""

from dataclasses import replace

import pytest
import torch
from portrait_diffusion.models.metrics.back_face import (
    FAINT,
    LEAST,
    BackFace,
    back_face,
    cameras,
    control,
    thresholds,
)
from portrait_diffusion.models.metrics.image import masked_blur
from portrait_diffusion.models.synthetic.anatomy import anatomy
from portrait_diffusion.models.synthetic.head import sample_parameters
from portrait_diffusion.models.synthetic.rendering import Views, render_head
from torch.testing import assert_close

pytestmark = pytest.mark.whole  # minutes in all

SEEDS = range(90_000, 90_010)  # validation; all hair styles


@pytest.fixture(scope="module")
def heads():
    """Front and back of ten exact heads: rgb [10, 2, 3, 128, 128], mask and distance likewise."""
    views = [render_head(sample_parameters(seed), cameras(), 128) for seed in SEEDS]
    return tuple(torch.stack([getattr(v, key) for v in views]) for key in ("rgb", "mask", "ray_distance"))


def on_back(values, mirrored):
    """The values [N, 2, ...] with another back, given as it lies behind the front."""
    return torch.stack([values[:, 0], mirrored.flip(-1)], 1)


def overlap(mask):
    return mask[:, 0] * mask[:, 1].flip(-1)


def painted(rgb, mask, share, face=None):
    """The mirrored front face, printed on the back: colour alone."""
    share, face = share * overlap(mask), rgb[:, 0] if face is None else face
    return on_back(rgb, torch.lerp(rgb[:, 1].flip(-1), face, share))


def modelled(distance, mask, share):
    """The front's relief, put on the back: geometry alone."""
    front = distance[:, 0]
    return on_back(
        distance,
        distance[:, 1].flip(-1) + share * overlap(mask) * (front - masked_blur(front, mask[:, 0], 8)),
    )


def test_the_heads_of_these_tests_have_hair_of_many_styles():
    assert len({anatomy(sample_parameters(seed)).hair_style for seed in SEEDS}) >= 5


def test_exact_heads_have_no_face_on_the_back(heads):
    found = back_face(*heads)
    assert found.score.shape == (len(SEEDS),)
    assert found.colour.mean() < 0.15 and found.relief.mean() < 0.15
    assert found.score.max() < 0.35


@pytest.mark.parametrize(("share", "least", "caught"), [(0.1, 0.25, 0.7), (0.3, 0.6, 1.0), (1.0, 0.98, 1.0)])
def test_a_printed_face_is_seen_in_the_colour_alone(heads, share, least, caught):
    rgb, mask, distance = heads
    exact, found = back_face(*heads), back_face(painted(rgb, mask, share), mask, distance)
    assert found.colour.median() > least and (found.colour > exact.colour.max()).float().mean() >= caught
    assert bool((found.colour > exact.colour).all())
    assert_close(found.relief, exact.relief)


@pytest.mark.parametrize(("share", "least", "caught"), [(0.1, 0.35, 0.7), (0.3, 0.6, 1.0), (1.0, 0.8, 1.0)])
def test_a_modelled_face_is_seen_in_the_relief_alone(heads, share, least, caught):
    rgb, mask, distance = heads
    exact, found = back_face(*heads), back_face(rgb, mask, modelled(distance, mask, share))
    assert found.relief.median() > least and (found.relief > exact.relief.max()).float().mean() >= caught
    assert bool((found.relief > exact.relief).all())
    assert_close(found.colour, exact.colour)


def test_a_face_a_little_higher_or_turned_round_is_seen(heads):
    rgb, mask, distance = heads
    for face in (rgb[:, 0].roll(2, -2), rgb[:, 0].roll(-3, -2), rgb[:, 0].flip(-1)):
        assert back_face(painted(rgb, mask, 1.0, face), mask, distance).colour.min() > 0.9


def test_another_persons_face_is_seen(heads):
    rgb, mask, distance = heads
    found = back_face(painted(rgb, mask, 1.0, rgb[:, 0].roll(1, 0)), mask, distance)
    assert (found.colour > back_face(*heads).colour.max()).float().mean() >= 0.8


def test_the_front_itself_on_the_back_is_almost_one(heads):
    rgb, mask, distance = (on_back(x, x[:, 0]) for x in heads)
    expected = torch.full((len(SEEDS),), (1 + FAINT**2) ** -0.5)
    found = back_face(rgb, mask, distance)
    assert_close(found.colour, expected)
    assert_close(found.relief, expected)


def test_a_print_that_nobody_sees_does_not_count(heads):
    """On a back without any structure of its own the correlation is 1 however faint the print."""
    rgb, mask, distance = heads
    plain = on_back(rgb, torch.full_like(rgb[:, 0], 0.4))
    faint, visible = (back_face(painted(plain, mask, share), mask, distance).colour for share in (0.005, 0.2))
    assert faint.max() < 0.15 and visible.min() > 0.8


def test_mirrored_heads_and_other_exposures_score_the_same(heads):
    rgb, mask, distance = (x[:3] for x in heads)
    exact = back_face(rgb, mask, distance)
    for same in (
        back_face(rgb.flip(-1), mask.flip(-1), distance.flip(-1)),
        back_face(0.25 + 0.5 * rgb, mask, distance + 0.0),
    ):
        assert_close(same.colour, exact.colour, atol=1e-4, rtol=0)
        assert_close(same.relief, exact.relief, atol=1e-3, rtol=0)


def test_each_head_is_measured_alone(heads):
    whole, part = back_face(*heads), back_face(*(x[4:5] for x in heads))
    assert_close(part.colour, whole.colour[4:5])
    assert_close(part.relief, whole.relief[4:5])


def test_what_lies_outside_the_head_does_not_matter(heads):
    rgb, mask, distance = (x[:3] for x in heads)
    other = torch.where(mask > 0, rgb, 0.2), mask, torch.where(mask > 0, distance, 9.0)
    assert_close(back_face(*other).score, back_face(rgb, mask, distance).score, atol=1e-5, rtol=0)


def test_an_empty_head_has_no_face(heads):
    rgb, mask, distance = (x[:1] for x in heads)
    assert_close(back_face(torch.ones_like(rgb), 0 * mask, 0 * distance).score, torch.zeros(1))


def test_the_control_is_no_less_than_what_sharp_heads_give(heads):
    found, chance = back_face(*heads), control(*heads)
    assert bool((chance.colour >= found.colour).all()) and bool((chance.relief >= found.relief).all())
    assert chance.score.max() < 0.5


def test_thresholds_are_quantiles_of_enough_heads():
    values = BackFace(torch.linspace(-0.1, 0.2, 101), torch.linspace(0, 1, 101))
    limits = thresholds(values)
    assert (float(limits.colour), float(limits.relief)) == (pytest.approx(0.197), pytest.approx(0.99))
    assert (
        int(values.above(limits).sum()) == 1
        and not values.above(replace(limits, colour=torch.tensor(9.0), relief=torch.tensor(9.0))).any()
    )
    assert_close(values.score, values.relief.maximum(values.colour))
    with pytest.raises(ValueError, match=f"at least {LEAST} exact heads, got 3"):
        thresholds(BackFace(torch.zeros(3), torch.zeros(3)))


def test_other_shapes_are_refused(heads):
    views = Views(*(torch.zeros(1, c, 8, 8) for c in (3, 1, 1, 3)))
    with pytest.raises(ValueError, match="front and back"):
        back_face(views.rgb, views.mask, views.ray_distance)
