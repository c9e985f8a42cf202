"""models/fitting/coverage.py: where a photo shows more than a head has, and that a fit gets there."""

from dataclasses import replace

import pytest
import torch
from portrait_diffusion.models.camera import frontal
from portrait_diffusion.models.field.volume_rendering import RenderConfig
from portrait_diffusion.models.fitting.coverage import coverage_loss, coverage_of
from portrait_diffusion.models.fitting.photo_losses import field_drift

from ..field.test_occupancy import ball_field
from ..field.test_volume_rendering import RADIUS, Ball
from ..small import portrait

SAMPLING = RenderConfig(coarse=16, fine=16)


def disc(radius, size=64):
    """A portrait whose mask is a disc of a radius in scene units, and red."""
    axis = ((torch.arange(size) + 0.5) / size - 0.5) * 0.633
    mask = (axis[:, None].hypot(axis[None]) < radius).float()[None]
    red = torch.tensor([0.9, 0.1, 0.1])[:, None, None].expand(3, size, size)
    return replace(portrait(size), image=red, mask=mask)


def test_nothing_is_said_where_silhouettes_agree_or_the_photo_tells_nothing():
    same = coverage_of(Ball(), disc(RADIUS + 0.005), SAMPLING)
    assert same.missing is None and same.excess is None
    for radius in (0.12, 0.28):
        untold = coverage_of(Ball(), replace(disc(radius), unknown=torch.ones(1, 64, 64)), SAMPLING)
        assert untold.missing is None and untold.excess is None
        assert not untold.says(torch.rand(1000, 3, generator=torch.Generator().manual_seed(0)) - 0.5).any()


def test_matter_is_expected_beside_the_outline_and_nowhere_else():
    coverage = coverage_of(Ball(), disc(0.28), SAMPLING)
    assert coverage.missing is not None and coverage.excess is None
    beside, before, behind = torch.tensor([[0.24, 0.0, 0.0], [0.24, 0.0, 0.2], [0.24, 0.0, -0.2]])
    centre, above = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.24, 0.0]])
    points = torch.stack([beside, above, before, behind, centre])
    assert coverage.says(points).tolist() == [True, True, False, False, False]
    distance = coverage.missing.ends.mean(-1) - frontal().position.norm()
    assert distance.abs().max() < 0.06  # an outline is seen edge on: the ball's is at its middle


def test_matter_before_the_background_is_too_much():
    coverage = coverage_of(Ball(), disc(0.12), SAMPLING)
    assert coverage.missing is None and coverage.excess is not None
    points, _ = coverage.excess.draw(500, torch.Generator().manual_seed(0))
    assert coverage.says(points[0]).all()
    assert (points[0, :, :2].norm(dim=-1) > 0.1).all() and (points[0, :, :2].norm(dim=-1) < 0.24).all()
    assert not coverage.says(torch.tensor([[0.0, 0.0, 0.1]])).any()


@pytest.mark.parametrize(("less", "radius"), [(4.0, 0.28), (0.0, 0.12)])
def test_its_slope_vanishes_neither_in_emptiness_nor_in_matter(less, radius):
    field = ball_field(0)
    planes = field.planes.clone()
    planes[:, :, 0] -= less  # shrinks the ball; beyond, the density is 0 to the last digit
    field = replace(field, planes=planes.requires_grad_())
    coverage = coverage_of(replace(field, planes=planes.detach()), disc(radius), SAMPLING)
    shape, _ = coverage_loss(field, coverage, torch.Generator().manual_seed(0))
    (slope,) = torch.autograd.grad(shape, planes)
    assert shape > 0.5 and slope.abs().max() > 1e-4
    with torch.no_grad():
        moved = replace(field, planes=planes - 2e3 * slope)
        assert coverage_loss(moved, coverage, torch.Generator().manual_seed(0))[0] < shape


def test_colours_of_what_is_missing_are_the_photos():
    field = ball_field(0)
    shape, paint = coverage_loss(
        field, coverage_of(field, disc(0.3), SAMPLING), torch.Generator().manual_seed(0)
    )
    assert shape >= 0 and paint > 0.1
    none = coverage_of(field, disc(0.1), SAMPLING)
    assert coverage_loss(field, none, torch.Generator().manual_seed(0))[1] == 0


def test_what_holds_a_fit_to_its_prior_does_not_hold_there():
    coverage = coverage_of(Ball(), disc(0.28), SAMPLING)

    class Grown(Ball):
        def raw(self, points):
            raw, features = super().raw(points)
            return torch.where(coverage.says(points[0]), 9.0, raw), features

    draws = [torch.Generator().manual_seed(0) for _ in range(2)]
    held, free = (
        field_drift(Grown(), Ball(), d, coverage=c)[0] for d, c in zip(draws, (None, coverage), strict=True)
    )
    assert held > 0.01 and free < 1e-6
