"""models/training/local.py: a training goes on where it stopped."""

import torch
from portrait_diffusion.models.checkpoint import read, shipped
from portrait_diffusion.models.prior.encoder import EncoderConfig, PortraitEncoder
from portrait_diffusion.models.training.local import LocalRun, descend, rate_share, sitting, training_parser
from torch import nn


def test_module_and_optimiser_are_resumed(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def made():
        module = nn.Linear(3, 2)
        return module, torch.optim.Adam(module.parameters(), lr=0.1)

    def steps(module, optimiser, count):
        for _ in range(count):
            optimiser.zero_grad()
            module(torch.ones(1, 3)).square().sum().backward()
            optimiser.step()

    module, optimiser = made()
    steps(module, optimiser, 3)
    LocalRun("toy", module, optimiser, 1).save(3)
    again, its_optimiser = made()
    assert LocalRun("toy", again, its_optimiser, 1).resume() == 3
    steps(module, optimiser, 2)
    steps(again, its_optimiser, 2)
    assert torch.equal(module.weight, again.weight)
    assert (tmp_path / "portrait-diffusion" / "train" / "toy.safetensors").is_file()
    other = nn.Linear(5, 1)
    assert LocalRun("toy", other, torch.optim.Adam(other.parameters()), 1).resume() == 0


def test_what_is_kept_goes_on_with_fresh_moments(tmp_path):
    module = nn.Linear(3, 2)
    optimiser = torch.optim.Adam(module.parameters())
    run = LocalRun("toy", module, optimiser, 1, path=tmp_path / "whole.safetensors")
    module(torch.ones(1, 3)).sum().backward()
    optimiser.step()
    run.step = 7
    run.save(7)
    run.keep(tmp_path / "kept.safetensors")
    again = nn.Linear(3, 2)
    theirs = torch.optim.Adam(again.parameters())
    assert LocalRun("toy", again, theirs, 1, path=tmp_path / "kept.safetensors").resume() == 7
    assert torch.equal(again.weight, module.weight.half().float()) and not theirs.state_dict()["state"]


def test_without_a_local_checkpoint_the_shipped_weights_are_the_start(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    config, state = read(shipped("encoder"), "encoder")
    encoder = PortraitEncoder(EncoderConfig(**config))
    assert LocalRun("encoder", encoder, torch.optim.Adam(encoder.parameters()), 1).resume() == 0
    assert all(torch.equal(value, state[key]) for key, value in encoder.state_dict().items())


def test_a_sitting_trains_by_the_clock_prints_saves_and_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    options, _ = sitting(
        training_parser("toy", "a toy", minutes=1, heads=3), ["--begin", "0.5", "--end", "0.75"]
    )
    seen = []

    def one_more() -> tuple[nn.Module, LocalRun]:
        module = nn.Linear(3, 1)
        return module, LocalRun("toy", module, torch.optim.SGD(module.parameters(), lr=0.1), minutes=0.02)

    module, local = one_more()
    optimiser = local.optimiser

    def step(done: int, progress: float) -> dict[str, float]:
        seen.append((done, progress))
        loss = module(torch.ones(1, 3)).square().sum()
        descend(loss, optimiser, 0.1 * rate_share(done, progress))
        return {"loss": loss.item()}

    local.resume()
    steps = local.train(step, options, save_every=100, judge=lambda: "well")
    printed = capsys.readouterr().out
    assert steps == len(seen) > 100 and [done for done, _ in seen] == list(range(steps))
    assert all(0.5 <= progress < 0.76 for _, progress in seen) and seen[-1][1] > 0.7
    assert "step 100  " in printed and "loss" in printed and "validation well" in printed
    again, other = one_more()
    assert other.resume() == steps and torch.equal(again.weight, module.weight)


def test_rates_rise_fall_and_are_scaled_by_group():
    assert (
        rate_share(0, 0.0, warm_up=10) == 0.1
        and rate_share(100, 0.0) == 1
        and abs(rate_share(100, 1.0) - 0.02) < 1e-9
    )
    a, b = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimiser = torch.optim.SGD([{"params": [a]}, {"params": [b], "scale": 10.0}], lr=1.0)
    descend(100 * (a.sum() + b.sum()), optimiser, 0.01)
    assert torch.allclose(1 - a, torch.full((2,), 0.01 / 2**0.5)) and torch.allclose(
        1 - b, 10 * (1 - a)
    )  # each norm clipped to 1


def test_weights_that_two_parts_share_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    module = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    module[1].weight = module[0].weight
    run = LocalRun("shared", module, torch.optim.Adam(module.parameters()), 1)
    run.save(7)
    wanted = module[0].weight.detach().clone()
    module[0].weight.data.zero_()
    assert run.resume() == 7 and torch.equal(module[1].weight, wanted)
