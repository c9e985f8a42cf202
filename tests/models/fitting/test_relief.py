"""models/fitting/relief.py: a relief finds its place on the head, and a fit follows it."""

from dataclasses import replace

import pytest
import torch
from portrait_diffusion.models.camera import rays
from portrait_diffusion.models.field.prepared import prepare
from portrait_diffusion.models.field.volume_rendering import RenderConfig
from portrait_diffusion.models.fitting.relief import held_relief, relief_loss
from portrait_diffusion.models.photo.relief import Relief

from ..field.test_occupancy import ball_field
from ..field.test_volume_rendering import RADIUS, Ball
from ..small import portrait

SAMPLING = RenderConfig(coarse=32, fine=32)
SIZE = 64


def ball_relief(camera, radius, moved=0.0):
    """The relief of a ball about the origin, its distances moved by a constant."""
    origins, directions = rays(camera, SIZE, SIZE)
    along = -(origins * directions).sum(-1)
    depth = radius**2 - (origins.square().sum(-1) - along.square())
    distance = along - depth.clamp_min(0).sqrt()
    normal = (origins + distance[..., None] * directions) / radius @ camera.cam2world[:3, :3]
    certainty = (depth > 0.5 * radius**2).float()
    return Relief(distance[None] + moved, normal.permute(2, 0, 1), certainty[None])


def photo(radius, moved=0.0):
    plain = portrait(SIZE)
    return replace(plain, relief=ball_relief(plain.camera, radius, moved))


def test_a_photo_without_relief_holds_nothing():
    assert held_relief(Ball(), portrait(SIZE), SAMPLING) is None


def test_a_face_that_is_nowhere_certain_holds_nothing():
    some = photo(RADIUS)
    relief = replace(some.relief, certainty=0 * some.relief.certainty)
    assert held_relief(Ball(), replace(some, relief=relief), SAMPLING) is None


@pytest.mark.parametrize("moved", [0.0, -2.6, 0.1])
def test_its_distance_is_the_heads_whatever_constant_it_came_with(moved):
    held = held_relief(Ball(), photo(RADIUS, moved), SAMPLING)
    assert (held.points.norm(dim=-1) - RADIUS).abs().max() < 0.01
    torch.testing.assert_close(
        held.normals, torch.nn.functional.normalize(held.points, dim=-1), atol=0.03, rtol=0
    )


def test_a_field_is_moved_to_it():
    field = ball_field(0)
    planes = field.planes.clone().requires_grad_()
    held = held_relief(field, photo(0.6 * RADIUS), SAMPLING)  # of stronger curvature
    draws = torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam([planes], lr=0.02)
    losses = []
    for _ in range(60):
        loss = relief_loss(prepare(replace(field, planes=planes)), held, draws)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])
