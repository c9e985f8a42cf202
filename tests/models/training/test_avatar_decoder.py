"""models/training/avatar_decoder.py and avatar_planes.py at their smallest: a decoder is learnt, gone on with and shipped, and heads are fitted through it."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from portrait_diffusion.models.avatar.planes import mirrored
from portrait_diffusion.models.avatar.shared_decoder import shared_decoder
from portrait_diffusion.models.synthetic.splits import UPPER, VALIDATION
from portrait_diffusion.models.training import avatar_decoder, avatar_planes, avatar_views

STEP = replace(avatar_decoder.FIT, rays=64, samples=8, grid=16, steps=2)


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Both trainings, small, with weights and cache of their own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    views = partial(avatar_views.head_views, count=3, unseen=1, size=32)
    for module in (avatar_decoder, avatar_planes):
        monkeypatch.setattr(module, "head_views", views)
        monkeypatch.setattr(module, "STAGE_2", STEP)
        monkeypatch.setattr(module, "shipped", lambda kind: tmp_path / f"{kind}.safetensors")
        monkeypatch.setattr(
            module, "shared_decoder", lambda: shared_decoder(tmp_path / "avatar_decoder.safetensors")
        )
        monkeypatch.setattr(module, "chosen_factory", lambda _: avatar_decoder_factory(), raising=True)
    monkeypatch.setattr(avatar_decoder, "FIT", STEP)
    monkeypatch.setattr(avatar_decoder, "RESOLUTION", 32)
    monkeypatch.setattr(avatar_decoder, "HELD_OUT", 1)
    return tmp_path


def avatar_decoder_factory():
    """Heads that need no scans."""
    from portrait_diffusion.models.synthetic.factories import FACTORIES

    return FACTORIES[2]


def test_a_decoder_is_learnt_and_heads_are_fitted_through_it(small, capsys):
    call = ["--heads", "2", "--rounds", "2", "--visit", "1", "--threads", "1"]
    avatar_decoder.run(call)
    shared = shared_decoder(small / "avatar_decoder.safetensors")
    assert torch.equal(shared.mean, mirrored(shared.mean)) and shared.mean.any()
    avatar_decoder.run(call)  # what is done already is not done again
    assert "going on after 4 of 4 visits" in capsys.readouterr().out
    again = shared_decoder(small / "avatar_decoder.safetensors")
    assert torch.equal(again.mean, shared.mean)

    avatar_planes.run(["--heads", "4"])
    assert "4 heads are there, 4 of them new" in capsys.readouterr().out
    heads = avatar_planes.avatar_planes(UPPER[:3])
    assert len(heads) == 3 and heads.planes.shape[1:] == shared.config.field.planes_shape
    assert heads.portrait.shape[1:] == (3, 256, 256) and heads.yaw.shape == (3,)
    avatar_planes.run(["--heads", "4"])
    assert "0 of them new" in capsys.readouterr().out
    assert len(avatar_planes.avatar_planes(UPPER[:12], so_far=True)) == 4
    with pytest.raises(ValueError, match="expected fitted heads of seeds from 50012 on"):
        avatar_planes.avatar_planes(UPPER[12:16], so_far=True)


def test_views_are_the_same_at_every_call_and_the_photo_is_from_the_front():
    first, second = (
        avatar_views.head_views(avatar_decoder_factory(), VALIDATION[0], 0.84, count=2, unseen=1, size=16)
        for _ in range(2)
    )
    assert torch.equal(first.fitted.colour, second.fitted.colour)
    assert len(first.fitted.mask) == 2 and len(first.unseen.mask) == 1
    assert first.yaw.abs() < 0.5 and first.portrait.shape == (3, 256, 256)
