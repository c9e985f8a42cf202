import pytest
import torch
from portrait_diffusion.models.diffusion.temporal import SteadyConfig, steady
from torch.testing import assert_close

from . import tiny

CONFIG = SteadyConfig()


def shifted(images, j, i):
    """A warp: frames are one picture that moves a column a frame, round the edge."""
    return images.roll(i - j, -1), torch.ones_like(images[:, :1], dtype=torch.bool)


def moving(count=6):
    picture = 0.2 + 0.6 * tiny.images(1, 4)[0]
    return torch.stack([picture.roll(i, -1) for i in range(count)])


def noisy(renders, amount=0.1):
    return renders + amount * (torch.rand(renders.shape, generator=tiny.draws(1)) - 0.5)


def test_what_the_refiner_adds_everywhere_alike_stays():
    renders = moving()
    frames = renders + 0.1
    assert_close(steady(frames, renders, CONFIG), frames)
    assert_close(steady(renders, renders, CONFIG, warp=shifted), renders)


@pytest.mark.parametrize("loop", [False, True])
def test_flicker_shrinks_by_reprojection_and_detail_that_moves_along_stays(loop):
    renders = moving(16)  # comes back to its beginning
    detail = torch.stack([0.1 * (tiny.images(1, 8)[0] - 0.5).roll(i, -1) for i in range(16)])
    assert_close(steady(renders + detail, renders, CONFIG, warp=shifted, loop=loop), renders + detail)
    frames = noisy(renders)
    after = steady(frames, renders, CONFIG, warp=shifted, loop=loop)
    assert (after - renders).std() < 0.6 * (frames - renders).std()


def test_without_a_warp_only_neighbours_that_look_alike_are_blended():
    still = moving(1).expand(6, -1, -1, -1)
    assert (steady(noisy(still), still, CONFIG) - still).std() < 0.6 * (noisy(still) - still).std()
    black_and_white = torch.stack([torch.full((3, 8, 8), i % 2 * 1.0) for i in range(6)]) * 0.8 + 0.1
    alone = SteadyConfig(radius=1)
    assert_close(steady(noisy(black_and_white), black_and_white, alone), noisy(black_and_white))


def test_what_a_warp_does_not_know_may_be_anything():
    renders = moving()

    def blind(images, j, i):
        return torch.full_like(images, float("nan")), torch.zeros_like(images[:, :1], dtype=torch.bool)

    assert_close(steady(noisy(renders), renders, CONFIG, warp=blind), noisy(renders))


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("loop", [False, True])
def test_few_frames(count, loop):
    renders = moving(count)
    assert steady(noisy(renders), renders, CONFIG, loop=loop).shape == renders.shape
    assert torch.equal(steady(noisy(renders), renders, SteadyConfig(strength=0.0)), noisy(renders))


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="pass pairs"):
        steady(moving(3), moving(2), CONFIG)
    with pytest.raises(ValueError, match="strength from 0 to 1"):
        SteadyConfig(strength=2)
