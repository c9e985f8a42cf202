"""models/fitting/coverage.py: where a photo shows more than a head has, and that a fit gets there."""

from dataclasses import replace

import torch
from portrait_diffusion.models.camera import frontal
from portrait_diffusion.models.field.volume_rendering import RenderConfig
from portrait_diffusion.models.fitting.coverage import missing_loss, missing_matter
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


def test_nothing_is_missing_where_all_is_covered_or_unknown():
    assert missing_matter(Ball(), disc(RADIUS), SAMPLING) is None
    wide = disc(0.28)
    assert missing_matter(Ball(), replace(wide, unknown=torch.ones(1, 64, 64)), SAMPLING) is None


def test_matter_is_expected_beside_the_outline_and_nowhere_else():
    missing = missing_matter(Ball(), disc(0.28), SAMPLING)
    assert missing is not None
    beside, before, behind = torch.tensor([[0.24, 0.0, 0.0], [0.24, 0.0, 0.2], [0.24, 0.0, -0.2]])
    centre, outside, above = torch.tensor([[0.0, 0.0, 0.0], [0.31, 0.0, 0.0], [0.0, 0.24, 0.0]])
    points = torch.stack([beside, above, before, behind, centre, outside])
    assert missing.contains(points).tolist() == [True, True, False, False, False, False]
    depth = (missing.ends.mean(-1) - frontal().position.norm()).abs()
    assert depth.max() < 0.05  # an outline is seen edge on: the ball's is at its middle


def test_its_slope_does_not_vanish_where_nothing_is():
    field = ball_field(0)
    planes = field.planes.clone()
    planes[:, :, 0] -= 4  # shrinks the ball; beyond, the density is 0 to the last digit
    field = replace(field, planes=planes.requires_grad_())
    missing = missing_matter(replace(field, planes=planes.detach()), disc(0.28), SAMPLING)
    shape, colour = missing_loss(field, missing, torch.Generator().manual_seed(0))
    (slope,) = torch.autograd.grad(shape, planes, retain_graph=True)
    assert shape > 0.5 and slope.abs().max() > 1e-4 and colour > 0.1
    with torch.no_grad():
        moved = replace(field, planes=planes - 2e3 * slope)
        assert missing_loss(moved, missing, torch.Generator().manual_seed(0))[0] < shape


def test_what_holds_a_fit_to_its_prior_does_not_hold_there():
    missing = missing_matter(Ball(), disc(0.28), SAMPLING)

    class Grown(Ball):
        def raw(self, points):
            raw, features = super().raw(points)
            return torch.where(missing.contains(points[0]), 9.0, raw), features

    draws = [torch.Generator().manual_seed(0) for _ in range(2)]
    field, pivot = Grown(), Ball()
    held, free = (
        field_drift(field, pivot, d, missing=m)[0] for d, m in zip(draws, (None, missing), strict=True)
    )
    assert held > 0.01 and free < 1e-6
