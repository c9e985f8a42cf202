"""Where a pickle's bytes lie, and how they are read in order; long ones stay in the file until a tensor is made of them."""

from __future__ import annotations

from dataclasses import dataclass
from io import FileIO

from .budget import Budget

SHORT = 2**16  # bytes of a text or a run of bytes that is read at once
LINE = 2**12  # bytes of a line of protocol 0
AHEAD = 2**13  # bytes that are read ahead; many times more would be read in vain behind each long one
TRUNCATED = "ends in the middle; copy it again"


@dataclass(frozen=True, eq=False)
class Source:
    """A file, or bytes that were unpacked.

    Attributes:
        content: the bytes, or the file opened without a buffer. size: how many bytes there are.
    """

    content: bytes | FileIO
    size: int

    def fill(self, start: int, buffer: memoryview) -> None:
        """Copy what lies from `start` on into a buffer.

        Raises:
            ValueError: it ends before.
        """
        if isinstance(self.content, bytes):
            buffer[:] = self.content[start : start + len(buffer)]
            return
        self.content.seek(start)
        done = 0
        while done < len(buffer):
            count = self.content.readinto(buffer[done:])
            if not count:
                raise ValueError(TRUNCATED)
            done += count

    def read(self, start: int, count: int) -> bytes:
        """Bytes from `start` on. Raises ValueError as `fill`."""
        if isinstance(self.content, bytes):
            return self.content[start : start + count]
        buffer = bytearray(count)
        self.fill(start, memoryview(buffer))
        return bytes(buffer)

    def whole(self) -> Span:
        """All of it."""
        return Span(self, 0, self.size)


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
        data = latin(text_of(self.source.read(self.start, self.length)))
        return Source(data, len(data)).whole()

    def fill(self, buffer: memoryview) -> None:
        """Copy the beginning of plain bytes into a buffer."""
        self.source.fill(self.start, buffer)


class Stream:
    """Plain bytes in order, a little read ahead.

    Attributes:
        at, end: in the source.
    """

    def __init__(self, span: Span) -> None:
        self.source, self.at, self.end = span.source, span.start, span.start + span.length
        self.ahead, self.first = b"", self.at  # what was read ahead, and where it begins

    def left(self) -> int:
        """Bytes that are still there."""
        return self.end - self.at

    def peek(self, count: int) -> bytes:
        """The next bytes, which are not passed.

        Raises:
            ValueError: there are fewer.
        """
        if not 0 <= count <= self.end - self.at:
            raise ValueError(TRUNCATED)
        i = self.at - self.first
        if not 0 <= i <= len(self.ahead) - count:
            self.ahead, self.first, i = (
                self.source.read(self.at, max(count, min(AHEAD, self.left()))),
                self.at,
                0,
            )
        return self.ahead[i : i + count]

    def take(self, count: int) -> bytes:
        """The next bytes. Raises ValueError as `peek`."""
        data = self.peek(count)
        self.at += count
        return data

    def span(self, count: int) -> Span:
        """The next bytes, unread. Raises ValueError as `peek`."""
        if not 0 <= count <= self.left():
            raise ValueError(TRUNCATED)
        self.at += count
        return Span(self.source, self.at - count, count)

    def number(self, count: int, signed: bool = False) -> int:
        """The next bytes as a whole number, the lowest first. Raises ValueError as `peek`."""
        return int.from_bytes(self.take(count), "little", signed=signed)

    def line(self) -> bytes:
        """The next bytes up to a new line, which is passed over.

        Raises:
            ValueError: it does not end, or only far away.
        """
        data, found, _ = self.peek(min(LINE, self.left())).partition(b"\n")
        if not found:
            raise ValueError(
                TRUNCATED if self.left() < LINE else "has a line longer than files of tensors have"
            )
        self.at += len(data) + 1
        return data


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
