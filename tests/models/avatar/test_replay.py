"""models/avatar/replay.py: visits teach one decoder, going on gives the same bits, consolidation pulls, and replay cures forgetting."""

from dataclasses import replace

import pytest
import torch
from portrait_diffusion.models.avatar.fitting import FitConfig, new_decoder
from portrait_diffusion.models.avatar.replay import Replay, ReplayConfig

from .test_fitting import FIELD, ball, draws, error

FIT = FitConfig(rays=128, samples=8, grid=16, refresh_every=8, rate=0.03)
CONFIG = ReplayConfig(rounds=3, visit=4, fit=FIT)


def replay(config=CONFIG, heads=2):
    views = [ball(6, turn=0.2 * i) for i in range(heads)]
    return Replay(views, FIELD, new_decoder(FIELD, draws()), config, draws())


def completed(run):
    while run.done < run.visits:
        run.visit()
    return run


def test_all_heads_are_visited_with_one_decoder():
    run = completed(replay())
    assert run.done == run.visits == 6 and run.steps == 24
    assert all(head.step_count == 12 and head.decoder is run.decoder for head in run.runs)
    first, second = run.heads()
    for name, value in first.decoder.state_dict().items():
        assert torch.equal(value, second.decoder.state_dict()[name])
    assert torch.allclose(run.mean(), (first.planes + second.planes) / 2)


def test_it_learns_to_show_both():
    run = replay(replace(CONFIG, rounds=6, visit=15))
    before = [error(head, ball()) for head in run.heads()]
    completed(run)
    for head, views, was in zip(run.heads(), (ball(), ball(turn=0.2)), before, strict=True):
        assert error(head, views) < 0.5 * was


def test_a_run_goes_on_with_the_same_bits():
    whole = completed(replay())
    half = replay()
    for _ in range(3):
        half.visit()
    resumed = replay()
    resumed.restore(half.state())
    completed(resumed)
    assert torch.equal(whole.mean(), resumed.mean())
    for name, value in whole.decoder.state_dict().items():
        assert torch.equal(value, resumed.decoder.state_dict()[name])


def test_a_state_without_the_decoders_moments_is_refused():
    run = replay()
    state = {name: value for name, value in run.state().items() if not name.startswith("first.")}
    with pytest.raises(ValueError, match="expected a state with numbers and the decoder's moments"):
        run.restore(state)


def test_consolidation_pulls_the_decoder_to_where_the_last_visit_left_it():
    free, held = (completed(replay(replace(CONFIG, strength=strength))) for strength in (0.0, 1e5))
    kept = held.consolidation.weights["0"]

    def way(run):
        return sum((value - kept[name]).square().sum() for name, value in run.weights.items())

    assert not free.consolidation.weights
    assert way(held) < way(free)


def test_decay_shrinks_the_decoder():
    plain, decaying = (completed(replay(replace(CONFIG, strength=0.0, decay=decay))) for decay in (0.0, 1.0))
    sizes = [sum(w.square().sum() for w in run.weights.values()) for run in (plain, decaying)]
    assert sizes[1] < sizes[0]


def test_no_heads_are_named():
    with pytest.raises(ValueError, match="expected views of one head or more, got none"):
        Replay([], FIELD, new_decoder(FIELD, draws()), CONFIG, draws())
