"""models/devices.py: how many processors are taken, and given back."""

import os

import torch
from portrait_diffusion.models.devices import half_of_processors


def test_half_of_the_processors_are_taken_and_given_back(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    before = torch.get_num_threads()
    with half_of_processors():
        assert torch.get_num_threads() == 3
    assert torch.get_num_threads() == before


def test_who_says_how_many_is_heard(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    before = torch.get_num_threads()
    with half_of_processors():
        assert torch.get_num_threads() == before
