"""Load View Diffusion without a server: what belongs to the key of a run that uses it."""

from types import SimpleNamespace

import torch
from torch import nn


def test_another_autoencoder_is_another_run(monkeypatch):
    from portrait_diffusion.nodes import diffusion, optimising

    monkeypatch.setattr(diffusion, "weights_facts", lambda patcher: [])
    denoiser = object.__new__(diffusion.ComfyDenoiser)
    denoiser.patcher = None

    def key(seed):
        torch.manual_seed(seed)
        made = SimpleNamespace(denoiser=denoiser, tokens=torch.zeros(5, 1, 4), vae=nn.Linear(2, 2))
        return optimising.fingerprint(*diffusion.model_facts(SimpleNamespace(name="SD15", model=made)))

    assert key(0) == key(0) != key(1)
