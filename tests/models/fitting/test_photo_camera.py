"""models/fitting/photo_camera.py: cameras move as told, the loss on rays leads to the one that took the photo, inversions take it along."""

import math
from dataclasses import replace

import pytest
import torch
from portrait_diffusion.models.camera import FOCAL, RADIUS, frontal, orbit, project
from portrait_diffusion.models.field.casting import MarchingCaster, render
from portrait_diffusion.models.field.volume_rendering import RenderConfig
from portrait_diffusion.models.fitting.inversion import InversionConfig, invert
from portrait_diffusion.models.fitting.photo_camera import MEASURES, moved_camera
from portrait_diffusion.models.fitting.photo_losses import photo_target, ray_loss
from portrait_diffusion.models.fitting.run import adam_step, falling
from torch.testing import assert_close

from ..field.test_occupancy import Ball
from ..small import encoder, generator, portrait

pytestmark = pytest.mark.usefixtures("coarse_surveys")

CONFIG = InversionConfig(
    latent_steps=4, tuning_steps=2, detail_steps=2, sweep_steps=2, size=16, rays=64, coarse=8, fine=4
)


def draws(seed=0):
    return torch.Generator().manual_seed(seed)


def alone(index, value=1.0):
    move = torch.zeros(len(MEASURES))
    move[index] = value
    return move


def test_no_move_leaves_the_camera():
    camera = orbit(0.3, -0.2)
    moved = moved_camera(camera, torch.zeros(7))
    assert_close(moved.cam2world, camera.cam2world)
    assert_close(moved.intrinsics, camera.intrinsics)


def test_a_turn_about_the_upright_axis_is_a_yaw_and_about_the_other_a_pitch():
    assert_close(moved_camera(frontal(), alone(1)).cam2world, orbit(MEASURES[1], 0.0).cam2world)
    assert_close(moved_camera(frontal(), alone(0, -1.0)).cam2world, orbit(0.0, MEASURES[0]).cam2world)


def test_it_moves_in_the_world_and_zooms_about_the_middle():
    moved = moved_camera(frontal(), alone(4))
    assert_close(moved.position, torch.tensor([0.0, MEASURES[4], RADIUS]))
    lens = moved_camera(frontal(), alone(6)).intrinsics
    assert_close(lens[[0, 1], [0, 1]], torch.full((2,), FOCAL * math.exp(MEASURES[6])))
    assert_close(lens[:, 2], frontal().intrinsics[:, 2])


def test_it_is_differentiable_by_every_part():
    move = torch.full((7,), 0.1, requires_grad=True)
    camera = moved_camera(orbit(0.2, 0.1), move)
    (camera.cam2world.sin().sum() + camera.intrinsics.square().sum()).backward()
    assert (move.grad != 0).all()


def test_a_wrong_camera_comes_nearer_to_the_one_that_took_the_photo():
    ball, sampling = Ball(blur=0.05), RenderConfig(coarse=16, fine=16)
    true = moved_camera(frontal(), torch.tensor([0.6, -1.0, 0.0, 0.8, 0.0, 0.0, 0.0]))
    view = render(MarchingCaster(ball), true[None], 32, 32, sampling, background=(0, 0, 0), normals=False)
    image = torch.where(view.opacity > 0, view.rgb / view.opacity, 0)
    given = replace(portrait(), image=image[0], mask=view.opacity[0], camera=frontal())
    target, move, generator = photo_target(given, 32), torch.zeros(7, requires_grad=True), draws()
    moments = torch.zeros(7), torch.zeros(7)
    for step in range(60):
        loss = ray_loss(ball, target.seen_by(moved_camera(frontal(), move)), sampling, 256, generator)
        (slope,) = torch.autograd.grad(loss, move)
        adam_step(move, slope, *moments, falling(0.1, step, 60), step + 1)
    marks = torch.tensor([[0.0, 0.0, 0.2], [0.1, 0.1, 0.1], [-0.1, 0.05, 0.1]])
    after, before, right = (
        project(camera, marks)[0] for camera in (moved_camera(frontal(), move.detach()), frontal(), true)
    )
    assert (after - right).norm() < 0.3 * (before - right).norm()


@pytest.fixture(scope="module")
def given():
    """A portrait whose camera is an estimate."""
    return replace(portrait(), estimated=True)


@pytest.fixture(scope="module")
def run_and_states(given, coarse_surveys):
    """Its head, inverted without a break, and the state after each step."""
    states = {}
    head = invert(
        generator(),
        encoder(),
        given,
        CONFIG,
        generator=draws(),
        callback=lambda now: states.setdefault(now.step, now.state()),
    )
    return head, states


def test_a_camera_that_is_known_stays_and_an_estimated_one_goes_with_the_head(given, run_and_states):
    sure = invert(generator(), encoder(), replace(given, estimated=False), CONFIG, generator=draws())
    assert torch.equal(sure.reference.camera.cam2world, given.camera.cam2world)
    moved, _ = run_and_states
    assert not torch.equal(moved.reference.camera.cam2world, given.camera.cam2world)
    still = invert(generator(), encoder(), given, replace(CONFIG, pose_rate=0.0), generator=draws())
    assert torch.equal(still.reference.camera.cam2world, given.camera.cam2world)


@pytest.mark.parametrize("at", [2, 5, 7, 9])
def test_it_resumes_with_the_same_bits(at, given, run_and_states):
    whole, states = run_and_states
    again = invert(generator(), encoder(), given, CONFIG, generator=draws(9), state=states[at])
    assert torch.equal(whole.planes, again.planes)
    assert torch.equal(whole.reference.camera.cam2world, again.reference.camera.cam2world)
