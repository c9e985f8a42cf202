"""models/training/local.py: a training goes on where it stopped."""

import torch
from portrait_diffusion.models.checkpoint import read, shipped
from portrait_diffusion.models.prior.encoder import EncoderConfig, PortraitEncoder
from portrait_diffusion.models.training.local import LocalRun
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


def test_without_a_local_checkpoint_the_shipped_weights_are_the_start(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    config, state = read(shipped("encoder"), "encoder")
    encoder = PortraitEncoder(EncoderConfig(**config))
    assert LocalRun("encoder", encoder, torch.optim.Adam(encoder.parameters()), 1).resume() == 0
    assert all(torch.equal(value, state[key]) for key, value in encoder.state_dict().items())
