"""Inversions that benches keep: made once, whoever asks; anew where code, weights or the photo are others."""

import pytest
import torch
from portrait_diffusion.models.benchmarks import inverted_heads, keys
from portrait_diffusion.models.benchmarks.exact_heads import ExactHead
from portrait_diffusion.models.benchmarks.inverted_heads import InvertedHeads
from portrait_diffusion.models.camera import orbit
from portrait_diffusion.models.synthetic.multiview import MultiView
from portrait_diffusion.models.synthetic.rendering import Views

from ..small import head as small_head


def exact_head(seed=0):
    """Noise."""
    one, camera = torch.ones(1, 1, 8, 8), orbit(torch.zeros(1), torch.zeros(1))
    rgb = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return ExactHead("noise", MultiView(views=Views(rgb, one, one, rgb), camera=camera, frontal=0), {})


@pytest.fixture
def inversions(tmp_path, monkeypatch):
    """Those that were made."""
    made = []

    def inverted(*_):
        assert torch.is_grad_enabled()
        made.append(small_head())
        return made[-1]

    monkeypatch.setattr(inverted_heads, "inverted", inverted)
    monkeypatch.setattr(inverted_heads, "cache_folder", lambda: tmp_path)
    return made


def test_a_head_is_inverted_once_also_where_gradients_are_off(inversions):
    with torch.no_grad():
        first, seconds = InvertedHeads().timed(exact_head())
        again, the_same = InvertedHeads().timed(exact_head())
    assert len(inversions) == 1 and torch.equal(first.planes, again.planes) and seconds == the_same


def test_other_photos_presets_and_code_are_inverted_anew(inversions, monkeypatch):
    heads = InvertedHeads()
    heads.head(exact_head())
    heads.head(exact_head(1))
    assert len(inversions) == 2
    InvertedHeads("full").head(exact_head())
    assert len(inversions) == 3
    monkeypatch.setattr(keys, "code_digest", lambda entry: "other code")
    InvertedHeads().head(exact_head())
    assert len(inversions) == 4
