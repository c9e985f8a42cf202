"""models/out_of_memory.py: all at once while there is memory, then by halves, then an error with one sentence."""

import pytest
import torch
from portrait_diffusion.models.out_of_memory import LEAST, Halving, Pieces, graph_bytes, ran_out
from torch.testing import assert_close


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
    assert (
        ran_out(MemoryError())
        and ran_out(RuntimeError("DefaultCPUAllocator: not enough"))
        and not ran_out(RuntimeError("x"))
    )


def waiting(pieces, factor):
    """A gradient through 1000 rows, and the numbers that wait for the backward pass."""
    kept = []
    rows = torch.linspace(0, 1, 1000)[None]

    def work(part):
        seen = rows[:, part] * factor
        for _ in range(8):
            seen = seen.sin() * factor
        return (seen,)

    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
        (result,) = pieces(work, 1000)
    return torch.autograd.grad(result.square().sum(), factor)[0], sum(kept)


def test_pieces_give_the_same_gradient_and_keep_little_for_the_backward_pass():
    factor, whole, cut = torch.tensor(0.9, requires_grad=True), Pieces(), Pieces()
    cut.rows = 300
    (gradient, much), (same, little) = waiting(whole, factor), waiting(cut, factor)
    assert_close(same, gradient)
    assert little < 0.2 * much and whole.most == cut.most == 1000


def test_pieces_are_halved_down_to_a_few_rows():
    pieces, sizes = Pieces(), []
    pieces.most = 100
    for _ in range(3):
        pieces.halve("test", MemoryError())
        sizes.append(pieces.rows)
    assert sizes == [50, 25, LEAST]
    with pytest.raises(
        ValueError, match=f"test: expected memory for {LEAST} rays at once, but it ran out; free some"
    ):
        pieces.halve("test", MemoryError())


def test_pieces_of_work_that_asked_for_less_are_halved_from_there():
    pieces = Pieces()
    pieces.rows, pieces.most = 1000, 200
    pieces.halve("test", MemoryError())
    assert pieces.rows == 100


def test_a_budget_cuts_before_memory_runs_out():
    factor, whole, cut, room = torch.tensor(0.9, requires_grad=True), Pieces(), Pieces(), Pieces()
    rows = torch.linspace(0, 1, 1000)[None]
    alone = graph_bytes(lambda part: (rows[:, part].clone() * factor,), slice(0, 500))
    assert alone == 500 * rows.element_size()
    cut.most_bytes, room.most_bytes = 20_000, 10**9
    (gradient, _), (same, _), (again, _) = waiting(whole, factor), waiting(cut, factor), waiting(room, factor)
    assert_close(same, gradient)
    assert torch.equal(again, gradient) and room.rows is None
    assert cut.rows == 250  # eight sines keep argument and result, 64 bytes a row: 250 rows' are 16,000
