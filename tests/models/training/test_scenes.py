import pytest
import torch
from portrait_diffusion.models.synthetic.renders import Renders, render_seed
from portrait_diffusion.models.training import alignment, scenes
from portrait_diffusion.models.training.alignment_losses import heatmap_targets
from torch.testing import assert_close


@pytest.fixture(scope="module")
def stage():
    heads = [render_seed(seed, 4, 128) for seed in (3,)]
    return scenes.set_stage(
        Renders(**{key: torch.stack([head[key] for head in heads]) for key in heads[0]}), 3, seed=1
    )


def test_a_spot_of_the_canonical_frame_is_drawn_where_its_place_moves():
    picture = torch.zeros(6, 1, 128, 128)
    picture[:, :, 50:54, 70:74] = 1  # its middle is at (72, 52) pixels
    matrix, scale = scenes.similarity(scenes.Dice(6, torch.Generator().manual_seed(4)))
    drawn = scenes._warp(picture, matrix, scale)
    u = (torch.arange(128) + 0.5) / 128
    total = drawn.sum((-3, -2, -1))
    middle = (
        torch.stack([(drawn * u).sum((-3, -2, -1)), (drawn * u[:, None]).sum((-3, -2, -1))], -1)
        / total[:, None]
    )
    place = scenes.moved(torch.tensor([[72.0, 52.0]]).expand(6, 1, 2) / 128, matrix)[:, 0]
    inside = (place > 0.1).all(-1) & (place < 0.9).all(-1)
    assert inside.any()
    assert_close(middle[inside], place[inside], atol=0.5 / 128, rtol=0)


def test_scenes_repeat_with_their_seed_and_stay_in_range(stage):
    first, second = (scenes.draw_scenes(stage, 16, torch.Generator().manual_seed(7)) for _ in range(2))
    for name, value in vars(first).items():
        assert torch.equal(value, getattr(second, name)), name
    assert (
        0 <= first.image.min()
        and first.image.max() <= 1
        and 0 <= first.mask.min()
        and first.mask.max() <= 1 + 1e-6
    )
    assert {0.0, 1.0} == set(first.face.tolist())
    assert not first.visible[first.face == 0].any()


def test_heatmap_targets_are_distributions_around_the_place():
    places = torch.tensor([[[0.3, 0.6], [0.5, 0.5]]])
    targets = heatmap_targets(places, 64)
    u = (torch.arange(64) + 0.5) / 64
    assert_close(targets.sum((-2, -1)), torch.ones(1, 2))
    assert_close(
        torch.stack([(targets * u).sum((-2, -1)), (targets * u[:, None]).sum((-2, -1))], -1),
        places,
        atol=1e-4,
        rtol=0,
    )


def test_alignment_learns_from_renders_of_its_network_s_size(stage, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    sizes = []

    def rendered(seeds, *, views=4, size=256):
        sizes.append(size)
        return stage.renders

    monkeypatch.setattr(alignment, "cached_renders", rendered)
    monkeypatch.setattr(alignment, "set_stage", lambda *_, **__: stage)
    monkeypatch.setattr(alignment, "BATCH", 4)
    monkeypatch.setattr(alignment, "validate", lambda *_: {"error": 0.0})
    alignment.run(["--factory", "2", "--minutes", "0.001", "--end", "0.5"])
    assert sizes == [alignment.AlignmentConfig().size] * 2
