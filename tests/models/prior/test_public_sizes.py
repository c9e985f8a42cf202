"""models/prior/public_sizes.py: the sizes are those of the key lists, and all ways of making a part agree."""

import pytest
import torch
from portrait_diffusion.models.prior.public_sizes import SIZES, channels_last, parts_of
from portrait_diffusion.models.prior.readable import synthesis

from ...golden_fixtures import relative_error
from . import pretend
from .test_key_lists import FULL


@pytest.mark.parametrize("family", SIZES)
def test_the_sizes_are_the_published_ones(family):
    assert SIZES[family] == FULL[family][1]


@torch.no_grad()
@pytest.mark.parametrize("family", SIZES)
def test_all_ways_agree(family):
    parts = parts_of(family, pretend.CONFIGS[family], torch.device("cpu"), 2)
    for last in (False, True):
        if last:
            channels_last(parts.generator)
        for part in ("planes", "rays", "super-resolution", "picture"):
            wanted = parts.readable(part)
            assert relative_error(parts.ours(part, torch.float32), wanted) < 1e-4, part
            if part != "rays":
                assert relative_error(parts.ours(part, torch.bfloat16).float(), wanted) < 0.05, part
    assert torch.equal(parts.readable("picture"), synthesis(parts.generator, parts.ws, parts.label))
