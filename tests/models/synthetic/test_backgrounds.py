import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from portrait_diffusion.models.synthetic.backgrounds import random_background


@settings(max_examples=25)
@given(st.integers(0, 2**31), st.integers(1, 70))
def test_backgrounds_are_pictures_fixed_by_their_generator(seed, size):
    first = random_background(size, torch.Generator().manual_seed(seed))
    assert first.shape == (3, size, size) and first.dtype == torch.float32
    assert first.min() >= 0 and first.max() <= 1
    assert torch.equal(first, random_background(size, torch.Generator().manual_seed(seed)))


def test_backgrounds_vary():
    generator = torch.Generator().manual_seed(0)
    pictures = torch.stack([random_background(32, generator) for _ in range(40)])
    assert pictures.mean((1, 2, 3)).std() > 0.08
    assert pictures.std((2, 3)).mean() > 0.06


def test_no_pixels_are_refused():
    with pytest.raises(ValueError, match="pixel"):
        random_background(0, torch.Generator())
