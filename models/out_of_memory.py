"""What to do where memory runs out: halve, without a graph (`Halving`) and with one (`Pieces`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

LEAST = 16  # rows of a piece: fewer take hardly less


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
    """Work on many rows with a graph, all at once until memory runs out; from then on piece by piece.

    The backward pass makes each piece's graph again when it comes to it (Chen et al. 2016), so one is alive at
    a time.

    Attributes:
        rows: of a piece; None for all. most: rows that were asked for at once since it was last set to 0.
    """

    def __init__(self) -> None:
        self.rows: int | None = None
        self.most = 0

    def __call__(self, work: Callable[[slice], tuple[Tensor, ...]], count: int) -> tuple[Tensor, ...]:
        """What `work` makes of the rows 0 .. count - 1: tensors [1, rows, ...]; called again in the backward pass."""
        self.most = max(self.most, count)
        if self.rows is None or self.rows >= count:
            return work(slice(0, count))
        parts = [slice(start, start + self.rows) for start in range(0, count, self.rows)]
        results = [checkpoint(work, part, use_reentrant=False, preserve_rng_state=False) for part in parts]
        return tuple(torch.cat(column, 1) for column in zip(*results, strict=True))

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
