"""Where a pickle's bytes lie, and how they are read in order; long ones stay in the file until a tensor is made of them."""

from __future__ import annotations

from dataclasses import dataclass
from mmap import mmap
from typing import BinaryIO

from .budget import Budget

SHORT = 2**16  # bytes of a text or a run of bytes that is read at once
LINE = 2**12  # bytes of a line of protocol 0
TRUNCATED = "ends in the middle; copy it again"


@dataclass(frozen=True, eq=False)
class Source:
    """A file, or bytes that were unpacked.

    Attributes:
        memory: its bytes. file: the same opened without a buffer, so that numbers need not pass through the mapping; None for bytes.
    """

    memory: mmap | bytes
    file: BinaryIO | None = None

    def fill(self, start: int, buffer: memoryview) -> None:
        """Copy what lies from `start` on into a buffer.

        Raises:
            ValueError: it ends before.
        """
        if self.file is None:
            buffer[:] = self.memory[start : start + len(buffer)]
            return
        self.file.seek(start)
        done = 0
        while done < len(buffer):
            count = self.file.readinto(buffer[done:])  # type: ignore[attr-defined]  # not every BinaryIO says that it has it
            if not count:
                raise ValueError(TRUNCATED)
            done += count

    def whole(self) -> Span:
        """All of it."""
        return Span(self, 0, len(self.memory))


@dataclass(frozen=True, eq=False)
class Span:
    """A stretch of a source that nobody has read.

    Attributes:
        start, length: in bytes. letters: they are UTF-8 of letters that stand for one byte each, as protocol 2 writes bytes.
    """

    source: Source
    start: int
    length: int
    letters: bool = False

    def part(self, start: int, length: int) -> Span:
        """A stretch of it.

        Raises:
            ValueError: it reaches over the end.
        """
        if start < 0 or length < 0 or start + length > self.length:
            raise ValueError(TRUNCATED)
        return Span(self.source, self.start + start, length)

    def plain(self, budget: Budget) -> Span:
        """The same as bytes that are no letters, which stay in memory; each byte of the file once.

        Raises:
            ValueError: letters that are no bytes, or `Budget.read`.
        """
        if not self.letters:
            return self
        budget.read(self.length)
        data = self.source.memory[self.start : self.start + self.length]
        return Source(latin(text_of(data))).whole()

    def fill(self, buffer: memoryview) -> None:
        """Copy the beginning of plain bytes into a buffer."""
        self.source.fill(self.start, buffer)


class Stream:
    """Plain bytes in order.

    Attributes:
        at, end: in the source.
    """

    def __init__(self, span: Span) -> None:
        self.source, self.memory = span.source, span.source.memory
        self.at, self.end = span.start, span.start + span.length

    def left(self) -> int:
        """Bytes that are still there."""
        return self.end - self.at

    def take(self, count: int) -> bytes:
        """The next bytes.

        Raises:
            ValueError: there are fewer.
        """
        start = self.at
        self._pass(count)
        return self.memory[start : self.at]

    def span(self, count: int) -> Span:
        """The next bytes, unread. Raises ValueError as `take`."""
        start = self.at
        self._pass(count)
        return Span(self.source, start, count)

    def number(self, count: int, signed: bool = False) -> int:
        """The next bytes as a whole number, the lowest first. Raises ValueError as `take`."""
        return int.from_bytes(self.take(count), "little", signed=signed)

    def line(self) -> bytes:
        """The next bytes up to a new line, which is passed over.

        Raises:
            ValueError: it does not end, or only far away.
        """
        end = self.memory.find(b"\n", self.at, min(self.end, self.at + LINE))
        if end < 0:
            raise ValueError(
                TRUNCATED if self.left() < LINE else "has a line longer than files of tensors have"
            )
        data = self.take(end - self.at)
        self.at += 1
        return data

    def _pass(self, count: int) -> None:
        if count < 0 or count > self.left():
            raise ValueError(TRUNCATED)
        self.at += count


def text_of(data: bytes) -> str:
    """UTF-8 as pickles write it.

    Raises:
        ValueError: it is none.
    """
    try:
        return str(data, "utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise ValueError("has text that is no UTF-8") from error


def latin(text: str) -> bytes:
    """Letters that stand for one byte each.

    Raises:
        ValueError: some stand for none.
    """
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError as error:
        raise ValueError("has letters instead of bytes that are none") from error
