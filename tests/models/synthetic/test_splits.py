import itertools

import pytest
from portrait_diffusion.models.synthetic import splits


def test_splits_do_not_overlap_and_name_their_seeds():
    for a, b in itertools.combinations(splits.SPLITS.values(), 2):
        assert a.stop <= b.start or b.stop <= a.start
    for name, seeds in splits.SPLITS.items():
        assert splits.split_of(seeds[0]) == splits.split_of(seeds[-1]) == name
    assert splits.split_of(splits.SHIPPED) == "held_out"


def test_seeds_between_splits_are_refused():
    with pytest.raises(ValueError, match="80000"):
        splits.split_of(80_000)
