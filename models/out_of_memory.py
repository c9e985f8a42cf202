"""What to do where memory runs out: halve, without a graph (`Halving`) and with one (`Pieces`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

LEAST = 16  # rows of a piece: fewer take hardly less
SAMPLE = 256  # rows by which a row's share of a graph is measured


def ran_out(error: BaseException) -> bool:
    """Whether an error is one of these: accelerators raise OutOfMemoryError, a RuntimeError; the CPU's allocator a plain one."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "DefaultCPUAllocator" in str(error)


class Halving:
    """Work on many rows, all at once until memory runs out, from then on with half as many.

    Attributes:
        rows: that are worked on at once; None for all.
    """

    def __init__(self) -> None:
        self.rows: int | None = None

    def __call__(self, work: Callable[[Sequence[int]], Tensor], count: int) -> Tensor:
        """What `work` makes of the rows 0 .. count - 1 [rows, ...], in order.

        Raises:
            ValueError: one row alone is too much.
        """
        results: list[Tensor] = []
        first = 0
        while first < count:
            rows = range(first, min(count, first + (self.rows or count)))
            try:
                results.append(work(rows))
            except (MemoryError, RuntimeError) as error:
                if not ran_out(error):
                    raise
                if len(rows) == 1:
                    raise ValueError(
                        "views: expected memory for one view at once, but it ran out; make the views smaller"
                    ) from error
                self.rows = len(rows) // 2
            else:
                first = rows.stop
        return torch.cat(results)


class Pieces:
    """Work on many rows with a graph, all at once until a budget or the memory is used up; from then on piece by piece.

    The backward pass makes each piece's graph again when it comes to it (Chen et al. 2016), so one is alive at
    a time.

    Attributes:
        rows: of a piece; None for all. most: rows that were asked for at once since it was last set to 0.
        most_bytes: that one piece's graph may keep; 0 for as much as there is.
    """

    def __init__(self) -> None:
        self.rows: int | None = None
        self.most = 0
        self.most_bytes = 0
        self._measured = 0  # rows that were asked for when the budget was last looked at

    def __call__(self, work: Callable[[slice], tuple[Tensor, ...]], count: int) -> tuple[Tensor, ...]:
        """What `work` makes of the rows 0 .. count - 1: tensors [1, rows, ...]; called again in the backward pass."""
        self.most = max(self.most, count)
        self._keep_to_budget(work, count)
        if self.rows is None or self.rows >= count:
            return work(slice(0, count))
        parts = [slice(start, start + self.rows) for start in range(0, count, self.rows)]
        results = [checkpoint(work, part, use_reentrant=False, preserve_rng_state=False) for part in parts]
        return tuple(torch.cat(column, 1) for column in zip(*results, strict=True))

    def _keep_to_budget(self, work: Callable[[slice], tuple[Tensor, ...]], count: int) -> None:
        """Halve the pieces until one's graph keeps no more than `most_bytes`, by what some rows keep; once for the most rows."""
        if not self.most_bytes or count <= max(self._measured, SAMPLE):
            return
        few, many = (graph_bytes(work, slice(0, sample)) for sample in (SAMPLE // 2, SAMPLE))
        row = max(many - few, 1) / (SAMPLE - SAMPLE // 2)  # what all rows share falls out
        self._measured = count
        rows = self.rows or count
        while rows > SAMPLE and rows * row > self.most_bytes:
            rows = -(-rows // 2)
        if rows < count:
            self.rows = rows

    def halve(self, stage: str, error: BaseException) -> None:
        """After an error of memory: pieces of half as many rows.

        Raises:
            ValueError: they are as small as they get, or nothing was asked for.
        """
        rows = min(self.rows or self.most, self.most)
        if rows <= LEAST:
            raise ValueError(
                f"{stage}: expected memory for {LEAST} rays at once, but it ran out; free some, or take "
                "smaller pictures or networks"
            ) from error
        self.rows = max(rows // 2, LEAST)


def graph_bytes(work: Callable[[slice], tuple[Tensor, ...]], part: slice) -> int:
    """What `work` keeps of some rows for the backward pass, in bytes; storages that it shares between operations count once."""
    sizes: dict[int, int] = {}
    alive = []  # or an address would be given to another storage

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        alive.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        work(part)
    return sum(sizes.values())
