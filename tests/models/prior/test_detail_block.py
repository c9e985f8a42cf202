"""models/prior/detail_block.py: nothing at first, small, fits its generator's planes alone, kept in a file."""

import pytest
import torch
from portrait_diffusion.models.checkpoint import write
from portrait_diffusion.models.field.triplane import FieldConfig
from portrait_diffusion.models.prior.detail_block import (
    DetailBlock,
    DetailConfig,
    detail_config,
    new_block,
    shipped_detail_block,
)

GRID = FieldConfig(channels=4, depth=2, resolution=16, hidden=8, features=5)


def planes(seed=0):
    return torch.randn(2, 3, 4, 2, 16, 16, generator=torch.Generator().manual_seed(seed))


def test_it_begins_as_nothing():
    assert torch.equal(new_block(GRID)(planes()), planes())
    flat = FieldConfig(channels=6, depth=0, resolution=16)
    assert detail_config(flat).channels == 18 and new_block(flat)(torch.randn(1, 3, 6, 16, 16)).shape == (1, 3, 6, 16, 16)


def test_it_ships_in_one_and_a_half_megabytes():
    block = DetailBlock(detail_config(FieldConfig(channels=8, depth=2, resolution=160)))
    assert sum(p.numel() for p in block.parameters()) * 2 < 1.5e6


def test_both_ways_learn():
    block = new_block(GRID)
    (block(planes()) - 1).square().mean().backward()
    assert block.shape.weight.grad.any() and block.detail.weight.grad.any()


def test_it_comes_back_from_a_file(tmp_path):
    block = new_block(GRID, seed=3)
    torch.nn.init.normal_(block.detail.weight)
    write(tmp_path / "r.safetensors", "restoration", block.config, block)
    again = shipped_detail_block(tmp_path / "r.safetensors")
    torch.testing.assert_close(again(planes()), block(planes()), atol=5e-2, rtol=1e-2)  # half precision
    assert not any(p.requires_grad for p in again.parameters())


def test_other_planes_are_named():
    with pytest.raises(ValueError, match="expected 24 channels in all planes"):
        new_block(GRID)(torch.randn(1, 3, 5, 16, 16))
    with pytest.raises(ValueError, match="sides of 16"):
        new_block(GRID)(torch.randn(1, 3, 4, 2, 18, 18))
    with pytest.raises(ValueError, match="positive sizes"):
        DetailConfig(channels=0, grid=4)
