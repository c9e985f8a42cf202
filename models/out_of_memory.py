"""What to do where memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


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
        done: list[Tensor] = []
        begun = 0
        while begun < count:
            rows = range(begun, min(count, begun + (self.rows or count)))
            try:
                done.append(work(rows))
            except (MemoryError, RuntimeError) as error:
                if not ran_out(error):
                    raise
                if len(rows) == 1:
                    raise ValueError("views: expected memory for one view at once, but it ran out; make the views smaller") from error
                self.rows = len(rows) // 2
            else:
                begun = rows.stop
        return torch.cat(done)
