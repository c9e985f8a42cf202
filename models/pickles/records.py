"""What stands for the objects of a pickle, none of which is made."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

DEPTH = 200  # containers within containers; a network of five modules within each other takes thirty


@dataclass(eq=False, repr=False, slots=True)
class Record:
    """An object of some class: its name, what it was made with, and its state.

    Attributes:
        name: of the class, without its module. arguments: in order. state: as BUILD or NVIDIA's persistence gives it; None for none.
    """

    name: str
    arguments: tuple = ()
    state: object = None

    def __repr__(self) -> str:
        return f"a {printable(self.name)}"  # not its state, which may be endless

    def entry(self, name: str) -> object:
        """Of the state, where it is names and values; None where there is none."""
        return self.state.get(name) if isinstance(self.state, dict) else None


@dataclass(frozen=True, eq=False)
class Named:
    """A class or function by its name.

    Attributes:
        make: (machine, arguments) -> what a call of it stands for; None where it may only be named. dtype: of a storage's class.
    """

    module: str
    name: str
    make: Callable[..., object] | None = None
    dtype: torch.dtype | None = field(default=None)


def printable(word: object) -> str:
    """A name as an error shows it."""
    return re.sub(r"[^\w.]", "?", str(word)[:80], flags=re.ASCII)


def parts_of(value: object) -> list:
    """The containers in a container."""
    if isinstance(value, dict):
        inner = list(value.values())
    elif isinstance(value, list | tuple):
        inner = value
    elif isinstance(value, Record):
        inner = [value.arguments, value.state]
    else:
        return []
    return [part for part in inner if isinstance(part, dict | list | tuple | Record)]


def check_tree(root: object) -> None:
    """Whether what was read can be walked through: by its own depth, and to an end.

    Raises:
        ValueError: a container holds itself, or there are more than `DEPTH` within each other.
    """
    height: dict[int, int] = {}  # of each container, by its id; 0 while it is looked through
    waiting = [(root, False)]
    while waiting:
        value, looked_through = waiting.pop()
        if looked_through:
            height[id(value)] = 1 + max((height[id(part)] for part in parts_of(value)), default=0)
            if height[id(value)] > DEPTH:
                raise ValueError(f"has more than {DEPTH} lists within lists")
        elif id(value) not in height:
            height[id(value)] = 0
            waiting.append((value, True))
            waiting += [(part, False) for part in parts_of(value)]
        elif height[id(value)] == 0:
            raise ValueError("has a list that holds itself")
