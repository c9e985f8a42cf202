"""models/distillation/restoration.py on a ball of a head and tiny networks: the block alone learns, the photo is held, bad input is named."""

from dataclasses import replace

import pytest
import torch
from portrait_diffusion.models.camera import yaw_pitch
from portrait_diffusion.models.diffusion.embedded import PROMPTS, prompt_index
from portrait_diffusion.models.distillation.restoration import (
    Guides,
    Restoration,
    RestorationConfig,
    restoration_cameras,
    restore_geometry,
)
from portrait_diffusion.models.fitting import rays
from portrait_diffusion.models.prior.detail_block import new_block
from torch.testing import assert_close

from ..diffusion.test_new_views import model
from ..hungry import starve
from .test_refinement import ball_head, from_file

CONFIG = RestorationConfig(steps=3, azimuths=2, size=16, seen=32, samples=8, rays=32, picture=0.0)


def run(config=CONFIG, heads=None, seed=0, callback=None, state=None):
    draws = torch.Generator().manual_seed(seed)
    return restore_geometry(heads or [ball_head()], Guides(model()), config, generator=draws, callback=callback, state=state)


def test_the_block_alone_learns():
    head, guides = ball_head(), Guides(model())
    state = Restoration([head], guides, CONFIG, torch.Generator().manual_seed(0))
    before = [p.clone() for p in (*guides.model.denoiser.unet.parameters(), *guides.model.vae.parameters(), head.planes)]
    for _ in range(2):
        state.step()
    after = [*guides.model.denoiser.unet.parameters(), *guides.model.vae.parameters(), head.planes]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert state.block.shape.weight.any() and not torch.equal(state.restored(state.patients[0]).planes, head.planes)


def test_without_distillation_the_photo_alone_moves_it():
    def red(head):
        seen = head.render(head.reference.camera[None], 32)
        return seen.rgb[0][:, seen.opacity[0, 0] > 0.9].mean(1)

    (restored,), _ = run(replace(CONFIG, steps=60, text=0.0, keep=0.0, rate=4e-3))
    truth = torch.tensor([0.9, 0.2, 0.1])
    assert (red(restored) - truth).abs().max() < 0.6 * (red(ball_head()) - truth).abs().max()


def test_several_heads_share_one_block():
    seen = []
    heads, block = run(heads=[ball_head(), ball_head(0.5)], callback=lambda now: seen.append((now.step, now.steps)))
    assert len(heads) == 2 and seen == [(1, 3), (2, 3), (3, 3)] and not any(p.requires_grad for p in block.parameters())
    assert torch.equal(heads[1].planes, block(ball_head(0.5).planes))


@pytest.mark.parametrize("stop", [1, 2])
def test_killed_and_resumed_is_the_same_to_the_bit(stop):
    states = {}
    (whole,), _ = run(callback=lambda now: states.setdefault(now.step, now.state()))
    (resumed,), _ = run(state=from_file(states[stop]), seed=5)
    assert torch.equal(resumed.planes, whole.planes)


def in_version_1(state):
    """A state of `Restoration` as the pack wrote it before states had versions."""
    parts = {"numbers": state["numbers"][:3], **{key: state[key] for key in ("draws", "cameras", "intrinsics")}}
    parts |= {key: tensor for key, tensor in state.items() if key.startswith(("first.", "second."))}
    return parts | {f"block.{key.removeprefix('value.')}": tensor for key, tensor in state.items() if key.startswith("value.")}


def test_a_state_of_before_resumes_with_the_same_bits():
    states = {}
    (whole,), _ = run(callback=lambda now: states.setdefault(now.step, now.state()))
    (resumed,), _ = run(state=in_version_1(states[2]), seed=5)
    assert torch.equal(resumed.planes, whole.planes)


@pytest.mark.parametrize("way", ["forward", "backward"])
def test_where_memory_runs_out_rays_are_rendered_in_pieces(way, monkeypatch):
    whole, short = (Restoration([ball_head()], Guides(model()), CONFIG, torch.Generator().manual_seed(0)) for _ in range(2))
    whole.step()
    starve(monkeypatch, rays, "render_rays", 100, way)
    short.step()
    assert short.pieces.rows == 64  # of 256 that a view has
    for name, (first, _) in whole.moments.items():
        assert_close(short.moments[name][0], first, rtol=2e-3, atol=1e-5)


def test_one_seed_one_result():
    (one,), _ = run()
    (same,), _ = run()
    (other,), _ = run(seed=1)
    assert torch.equal(one.planes, same.planes) and not torch.equal(one.planes, other.planes)


def test_cameras_are_all_around_above_and_below():
    cameras = restoration_cameras(8, torch.Generator().manual_seed(0))
    yaw, pitch = (x.rad2deg() for x in yaw_pitch(cameras))
    ring = pitch.abs() < 1
    assert ring.sum() == 8 and pitch.max() > 55 and pitch.min() < -30
    gaps = (yaw[ring] % 360).sort().values.diff()
    assert torch.allclose(gaps, torch.full_like(gaps, 45.0), atol=1e-3)


def test_the_camera_above_is_prompted_as_overhead():
    draws = torch.Generator().manual_seed(0)
    for _ in range(50):
        yaw, pitch = yaw_pitch(restoration_cameras(8, draws))
        assert (prompt_index(yaw, pitch) == PROMPTS.index("overhead")).sum() == 1


def test_interrupted_within_a_step_it_goes_on_from_the_one_before():
    (whole,), _ = run()
    kept, left = {}, [8]

    def stop() -> None:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt

    draws = torch.Generator().manual_seed(0)
    with pytest.raises(KeyboardInterrupt):
        callback = lambda now: kept.update(last=now)  # noqa: E731
        restore_geometry([ball_head()], Guides(model()), CONFIG, generator=draws, callback=callback, after_call=stop)
    assert 0 < kept["last"].step < CONFIG.steps
    (resumed,), _ = run(state=from_file(kept["last"].state()), seed=5)
    assert torch.equal(resumed.planes, whole.planes)


def test_timesteps_are_annealed():
    assert CONFIG.t_range(0, 1000) == (500, 850) and CONFIG.t_range(2, 1000) == (350, 600)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="heads with their photos"):
        run(heads=[replace(ball_head(), reference=None)])
    with pytest.raises(ValueError, match="heads with their photos"):
        restore_geometry([], Guides(model()), CONFIG, generator=torch.Generator())
    with pytest.raises(ValueError, match="use the defaults"):
        RestorationConfig(steps=0)
    head = ball_head()
    with pytest.raises(ValueError, match="restoration: expected finite numbers, but 20 steps in a row"):
        run(replace(CONFIG, steps=30), heads=[replace(head, planes=head.planes * float("nan"))])


def test_it_may_begin_with_a_block_that_has_learnt():
    block = new_block(ball_head().config)
    with torch.no_grad():
        block.shape.bias.fill_(0.1)
    kept = {key: value.clone() for key, value in block.state_dict().items()}
    begun = Restoration([ball_head()], Guides(model()), CONFIG, torch.Generator(), block)
    assert torch.equal(begun.restored(begun.patients[0]).planes, block(ball_head().planes))
    begun.step()
    assert all(torch.equal(value, kept[key]) for key, value in block.state_dict().items())


def test_a_step_without_numbers_is_left_out():
    begun = Restoration([ball_head()], Guides(model()), CONFIG, torch.Generator().manual_seed(0))
    good = begun.gradient
    begun.gradient = lambda z, camera, patient: z * float("nan")
    begun.step()
    assert begun.finite.skipped == 1 and not begun.block.shape.weight.any() and begun.state()["numbers"].tolist() == [1, 1, 1, 0]
    begun.gradient = good
    begun.step()
    assert begun.finite.in_a_row == 0 and begun.block.shape.weight.any()
