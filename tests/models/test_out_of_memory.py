"""models/out_of_memory.py: all at once while there is memory, then by halves, then an error with one sentence."""

import pytest
import torch
from portrait_diffusion.models.out_of_memory import Halving, ran_out


def hungry(room, asked):
    """Doubles rows; more than `room` of them are too many."""

    def work(rows):
        asked.append(list(rows))
        if len(rows) > room:
            raise torch.OutOfMemoryError("out of memory")
        return 2 * torch.tensor(rows)

    return work


def test_rows_are_halved_until_they_fit_and_stay_so():
    halving, asked = Halving(), []
    assert halving(hungry(3, asked), 10).tolist() == [2 * i for i in range(10)]
    assert [len(rows) for rows in asked] == [10, 5, 2, 2, 2, 2, 2]
    asked.clear()
    assert halving(hungry(3, asked), 3).tolist() == [0, 2, 4]
    assert [len(rows) for rows in asked] == [2, 1]


def test_with_memory_there_is_one_call():
    asked = []
    Halving()(hungry(10, asked), 10)
    assert asked == [list(range(10))]


def test_one_view_too_many_is_named():
    with pytest.raises(ValueError, match="make the views smaller"):
        Halving()(hungry(0, []), 4)


def test_other_errors_are_not_swallowed():
    def broken(rows):
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        Halving()(broken, 2)
    assert ran_out(MemoryError()) and ran_out(RuntimeError("DefaultCPUAllocator: not enough")) and not ran_out(RuntimeError("x"))
