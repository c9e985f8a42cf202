"""What is optional for others and must be there for one who needs it."""

from __future__ import annotations

from typing import TypeVar

Value = TypeVar("Value")


def present(value: Value | None, what: str, remedy: str) -> Value:
    """A value that is not None.

    Args:
        what: its name and owner, for errors. remedy: what to do where it is absent.

    Raises:
        ValueError: it is None.
    """
    if value is None:
        raise ValueError(f"expected {what}, got none; {remedy}")
    return value
