"""Inversions that benches keep: made once, whoever asks."""

from types import SimpleNamespace

import torch
from portrait_diffusion.models.benchmarks import inverted_heads
from portrait_diffusion.models.benchmarks.inverted_heads import InvertedHeads

from ..small import head as small_head


def test_a_head_is_inverted_once_also_where_gradients_are_off(tmp_path, monkeypatch):
    made = []

    def inverted(*_):
        assert torch.is_grad_enabled()
        made.append(small_head())
        return made[0]

    monkeypatch.setattr(inverted_heads, "inverted", inverted)
    monkeypatch.setattr(inverted_heads, "cache_folder", lambda: tmp_path)
    exact = SimpleNamespace(
        exact=SimpleNamespace(views=SimpleNamespace(rgb=torch.rand(1, 3, 8, 8)), frontal=0)
    )
    with torch.no_grad():
        first, seconds = InvertedHeads().timed(exact)
        again, the_same = InvertedHeads().timed(exact)
    assert len(made) == 1 and torch.equal(first.planes, again.planes) and seconds == the_same
