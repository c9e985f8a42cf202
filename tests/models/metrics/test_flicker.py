"""models/metrics/flicker.py: a painted sphere on a turntable does not flicker; frames that disagree do."""

import math

import pytest
import torch
from portrait_diffusion.models.camera import orbit, rays
from portrait_diffusion.models.metrics.flicker import column_picture, flicker, plain_flicker, warp
from torch.testing import assert_close

SIZE, COUNT, BALL = 64, 6, 0.22


@pytest.fixture(scope="module")
def turn():
    """Frames [N, 3, S, S], distances and cameras of a sphere whose colour is a smooth function of the point."""
    cameras = orbit(torch.linspace(-0.4, 0.4, COUNT), torch.linspace(-0.1, 0.2, COUNT))
    origins, directions = rays(cameras, SIZE, SIZE)
    along = -(origins * directions).sum(-1)
    left = BALL**2 - (origins.square().sum(-1) - along.square())
    hit = left > 0
    distance = torch.where(hit, along - left.clamp_min(0).sqrt(), 0.0)
    points = origins + distance[..., None] * directions
    colour = torch.where(
        hit[..., None], 0.5 + 0.4 * torch.sin(12 * points + torch.tensor([0.0, 1.0, 2.0])), 1.0
    )
    return colour.permute(0, 3, 1, 2), distance[:, None], cameras


def test_the_warp_shows_the_other_view(turn):
    frames, distance, cameras = turn
    warped, valid = warp(frames[:-1], distance[:-1], cameras[:-1], distance[1:], cameras[1:])
    on_ball = distance[1:] > 0
    assert not (valid & ~on_ball).any() and valid.sum() > 0.85 * on_ball.sum()
    assert ((warped - frames[1:]).abs() * valid).max() < 0.04


def test_a_view_warped_to_itself_is_itself(turn):
    frames, distance, cameras = turn
    warped, valid = warp(frames, distance, cameras, distance, cameras)
    assert_close(warped * valid, frames * valid, atol=1e-3, rtol=0)


def test_what_is_hidden_is_not_compared(turn):
    """From behind, no surface is shared."""
    frames, distance, cameras = turn
    behind = orbit(torch.tensor([-0.4 + math.pi]), torch.tensor([0.0]))
    _, valid = warp(frames[:1], distance[:1], cameras[:1], distance[:1], behind)
    assert valid.float().mean() < 0.02


def test_exact_frames_hardly_flicker_and_noisy_or_stepping_ones_do(turn):
    frames, distance, cameras = turn
    still = flicker(frames, frames, distance, cameras)
    assert still.value == still.exact < 0.004 and still.ratio == 1
    noise = 0.1 * torch.randn(frames.shape, generator=torch.Generator().manual_seed(0))
    noisy = flicker(frames + noise, frames, distance, cameras)
    assert noisy.exact == pytest.approx(still.exact) and noisy.ratio > 10
    steps = frames + 0.05 * (torch.arange(COUNT) % 2)[:, None, None, None]
    assert flicker(steps, frames, distance, cameras).value == pytest.approx(0.05, abs=0.01)


def test_a_constant_error_is_no_flicker(turn):
    frames, distance, cameras = turn
    assert flicker(frames * 0.5 + 0.2, frames, distance, cameras).ratio == pytest.approx(0.5, abs=0.01)


def test_plain_flicker_in_closed_form():
    ramp = torch.linspace(0, 1, 5)[:, None, None, None].expand(5, 3, 4, 4)
    assert plain_flicker(ramp) == pytest.approx(0, abs=1e-6)
    steps = (torch.arange(6) % 2).float()[:, None, None, None].expand(6, 3, 4, 4)
    assert plain_flicker(steps) == plain_flicker(steps, closed=True) == pytest.approx(2)
    assert plain_flicker(ramp, closed=True) == pytest.approx(
        2 * 1.25 / 5
    )  # both ends: |1 - 0 + 0.25| and its mirror


def test_the_column_picture_has_a_column_of_every_frame():
    frames = torch.rand(5, 3, 6, 8, generator=torch.Generator().manual_seed(0))
    picture = column_picture(frames, 3)
    assert picture.shape == (3, 6, 5) and torch.equal(picture[:, :, 2], frames[2, :, :, 3])
    assert torch.equal(column_picture(frames), column_picture(frames, 4))
    with pytest.raises(ValueError, match="0 .. 7"):
        column_picture(frames, 8)


def test_bad_sequences_are_named(turn):
    frames, distance, cameras = turn
    with pytest.raises(ValueError, match="two frames"):
        flicker(frames[:1], frames[:1], distance[:1], cameras[:1])
    with pytest.raises(ValueError, match="share some surface"):
        flicker(frames, frames, torch.zeros_like(distance), cameras)
    with pytest.raises(ValueError, match="three frames"):
        plain_flicker(frames[:2])
