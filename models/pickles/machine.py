"""The pickle machine: a stack, a memo, and what may be put there. `operations` says what is done with it."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from .budget import Budget
from .records import Named, printable
from .source import Stream

LARGEST_KEY = 2**60  # of whole numbers: larger ones may be made to have one hash
Persistent = Callable[[object], object]
StorageIn = Callable[[object], object]


def no_outside(identity: object) -> object:
    """Of pickles that need nothing from outside themselves. Raises ValueError."""
    raise ValueError("asks for values from outside of itself")


class Machine:
    """Of one pickle.

    Args:
        persistent: gives what a persistent id stands for. storage_in: gives the storage that bytes within the pickle hold.
    """

    def __init__(
        self,
        stream: Stream,
        budget: Budget,
        persistent: Persistent = no_outside,
        storage_in: StorageIn = no_outside,
    ) -> None:
        self.stream, self.budget, self.persistent, self.storage_in = stream, budget, persistent, storage_in
        self.stack: list = []
        self.marks: list[list] = []  # the stacks below each mark
        self.memo: dict[int, object] = {}
        self.start = stream.at

    def push(self, value: object) -> None:
        """Onto the stack."""
        self.stack.append(value)

    def pop(self) -> object:
        """Off the stack.

        Raises:
            ValueError: there is nothing.
        """
        if not self.stack:
            raise ValueError("takes a value where there is none")
        return self.stack.pop()

    def top(self) -> object:
        """What is on the stack. Raises ValueError as `pop`."""
        if not self.stack:
            raise ValueError("takes a value where there is none")
        return self.stack[-1]

    def items(self) -> list:
        """What is above the last mark, which is taken away.

        Raises:
            ValueError: there is no mark.
        """
        if not self.marks:
            raise ValueError("takes values down to a mark where there is none")
        items, self.stack = self.stack, self.marks.pop()
        return items

    def key(self, value: object) -> Hashable:
        """A key of a dict, or an element of a set.

        Raises:
            ValueError: it is no text, bytes, whole number or name: hashes of others can be made deep or equal.
        """
        plain = value is None or isinstance(value, str | bytes | bool | Named)
        if plain or (type(value) is int and abs(value) <= LARGEST_KEY):
            return value  # type: ignore[return-value]
        raise ValueError(f"has a key that is a {type(value).__name__} instead of text or a small number")

    def call(self, named: object, arguments: object) -> object:
        """What a call stands for.

        Raises:
            ValueError: of something that is not called, or with something else than a tuple.
        """
        if not isinstance(named, Named) or not isinstance(arguments, tuple):
            raise ValueError("calls something that is no class or function")
        if named.make is None:
            raise ValueError(
                f"calls {printable(named.module)} {printable(named.name)}, which may only be named"
            )
        return named.make(self, arguments)
