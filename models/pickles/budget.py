"""What reading one file may take, whatever it asks for."""

from __future__ import annotations

import time

OPERATIONS = 1_000_000  # a training's whole checkpoint takes a third; each makes some 64 bytes at most
UNIT = 64  # bytes that count as one operation
SECONDS = 60.0  # of the processor; public files take one or two
LOOK = 2**12  # operations between two looks at the clock


class Budget:
    """Counts operations, bytes and time of one file down.

    Args:
        readable: bytes that may be unpacked: those of the file.
    """

    def __init__(self, readable: int, operations: int = OPERATIONS, seconds: float = SECONDS) -> None:
        self.readable, self.operations = readable, operations
        self.until = time.process_time() + seconds
        self.next_look = operations

    def spend(self, operations: int = 1) -> None:
        """Count so many operations.

        Raises:
            ValueError: there were too many, or they took too long.
        """
        self.operations -= operations
        if self.operations < self.next_look:
            if self.operations < 0:
                raise ValueError("asks for more steps than files of tensors take")
            if time.process_time() > self.until:
                raise ValueError("takes longer than files of tensors do")
            self.next_look = self.operations - LOOK

    def hold(self, size: int) -> None:
        """Count a value of so many bytes that stays in memory. Raises ValueError as `spend`."""
        self.spend(size // UNIT)

    def read(self, size: int) -> None:
        """Count so many bytes that are unpacked.

        Raises:
            ValueError: there were too many.
        """
        self.readable -= size
        if self.readable < 0:
            raise ValueError("points to the same bytes more often than files of tensors do")
