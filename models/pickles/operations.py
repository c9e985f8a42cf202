"""What each operation of a pickle does, protocols 0 to 5, over plain values, stored tensors and records; named as in Python's `pickletools`.

An operation that is not in the table, and one that would reach outside of the file, is refused.
"""

from __future__ import annotations

import codecs
import struct
import sys
from collections.abc import Callable

from .budget import OPERATIONS, Budget
from .machine import Machine, Persistent, StorageIn, no_outside
from .names import find
from .records import Named, Record, check_tree, printable
from .source import SHORT, Span, Stream, text_of

PROTOCOL = 5  # the latest
DIGITS = 64  # bytes of a whole number; torch's mark at a file's start has ten
TEXT_NUMBER = 100  # letters of a number in protocol 0
Operation = Callable[[Machine], None]
STOP = ord(".")
OPERATION: dict[int, Operation] = {}


def read_pickle(
    stream: Stream, budget: Budget, persistent: Persistent = no_outside, storage_in: StorageIn = no_outside
) -> object:
    """What a pickle stands for; the stream is behind it then. Arguments as `Machine`'s.

    Raises:
        ValueError: it is damaged, wants what is not known, or takes too much.
    """
    machine = Machine(stream, budget, persistent, storage_in)
    while (code := stream.take(1)[0]) != STOP:
        budget.spend()
        if code not in OPERATION:
            raise ValueError(
                f"has an operation {code} that files of tensors do not need; choose another file"
            )
        OPERATION[code](machine)
    value = machine.pop()
    if machine.stack or machine.marks:
        raise ValueError("ends with more than one value")
    check_tree(value)
    return value


def operation(*codes: bytes) -> Callable[[Operation], Operation]:
    """Enters a function into the table."""

    def enter(function: Operation) -> Operation:
        OPERATION.update({code[0]: function for code in codes})
        return function

    return enter


def pushes(code: bytes, value: Callable[[Machine], object]) -> None:
    """Enters an operation that pushes one value."""
    OPERATION[code[0]] = lambda machine: machine.push(value(machine))


# The protocol, and frames, which say nothing that is needed here but may lie.


@operation(b"\x80")
def _proto(machine: Machine) -> None:
    if machine.stream.at != machine.start + 1:
        raise ValueError("names its protocol elsewhere than at its start")
    if (number := machine.stream.number(1)) > PROTOCOL:
        raise ValueError(f"is of protocol {number}, later than {PROTOCOL}")


@operation(b"\x95")
def _frame(machine: Machine) -> None:
    if machine.stream.number(8) > machine.stream.left():
        raise ValueError("has a part that is longer than the file; copy it again")


# Plain values.


def _long(machine: Machine, count: int) -> int:
    if not 0 <= count <= DIGITS:
        raise ValueError(f"has a whole number of {count} bytes")
    return machine.stream.number(count, signed=True)


def _text(machine: Machine, count: int) -> str | Span:
    """A long one stays unread: it is a source, or bytes as protocol 2 writes them."""
    if count > SHORT:
        span = machine.stream.span(count)
        return Span(span.source, span.start, span.length, letters=True)
    return _held(machine, text_of(machine.stream.take(count)))


def _bytes(machine: Machine, count: int) -> bytes | Span:
    return machine.stream.span(count) if count > SHORT else _held(machine, machine.stream.take(count))


def _held(machine: Machine, value):
    machine.budget.hold(sys.getsizeof(value))
    return value


def _number(line: bytes, kind: type[int] | type[float]) -> int | float:
    """A number of protocol 0."""
    try:
        if len(line) <= TEXT_NUMBER:
            return kind(line)
    except ValueError:
        pass  # it is said below, with the same words as for long ones
    raise ValueError("has a number in letters that is none")


def _int_line(machine: Machine) -> int | bool:
    line = machine.stream.line()
    return line == b"01" if line in (b"00", b"01") else int(_number(line, int))


def _quoted(machine: Machine) -> str:
    """Text of Python 2 in quotes."""
    line = machine.stream.line().strip()
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
        raise ValueError("has text without quotes")
    try:
        return _held(machine, codecs.escape_decode(line[1:-1])[0].decode("latin-1"))  # type: ignore[attr-defined]
    except ValueError as error:
        raise ValueError("has text in quotes that is none") from error


def _escaped(machine: Machine) -> str:
    try:
        return _held(machine, str(machine.stream.line(), "raw-unicode-escape"))
    except UnicodeDecodeError as error:
        raise ValueError("has escaped text that is none") from error


def _latin(machine: Machine, count: int) -> str:
    if not 0 <= count <= SHORT:
        raise ValueError(f"has text of Python 2 of {count} bytes")
    return _held(machine, machine.stream.take(count).decode("latin-1"))


pushes(b"N", lambda machine: None)
pushes(b"\x88", lambda machine: True)
pushes(b"\x89", lambda machine: False)
pushes(b"I", _int_line)
pushes(b"J", lambda machine: machine.stream.number(4, signed=True))
pushes(b"K", lambda machine: machine.stream.number(1))
pushes(b"M", lambda machine: machine.stream.number(2))
pushes(b"L", lambda machine: _number(machine.stream.line().removesuffix(b"L"), int))
pushes(b"\x8a", lambda machine: _long(machine, machine.stream.number(1)))
pushes(b"\x8b", lambda machine: _long(machine, machine.stream.number(4, signed=True)))
pushes(b"F", lambda machine: _number(machine.stream.line(), float))
pushes(b"G", lambda machine: struct.unpack(">d", machine.stream.take(8))[0])
pushes(b"S", _quoted)
pushes(b"V", _escaped)
pushes(b"T", lambda machine: _latin(machine, machine.stream.number(4, signed=True)))
pushes(b"U", lambda machine: _latin(machine, machine.stream.number(1)))
pushes(b"X", lambda machine: _text(machine, machine.stream.number(4)))
pushes(b"\x8c", lambda machine: _text(machine, machine.stream.number(1)))
pushes(b"\x8d", lambda machine: _text(machine, machine.stream.number(8)))
pushes(b"B", lambda machine: _bytes(machine, machine.stream.number(4)))
pushes(b"C", lambda machine: _bytes(machine, machine.stream.number(1)))
pushes(b"\x8e", lambda machine: _bytes(machine, machine.stream.number(8)))
pushes(b"\x96", lambda machine: _bytes(machine, machine.stream.number(8)))

# Containers.


def _pairs(machine: Machine, target: object, items: list) -> None:
    if type(target) is not dict or len(items) % 2:
        raise ValueError("sets entries of something that is no dict")
    machine.budget.spend(len(items))
    for key, value in zip(items[::2], items[1::2], strict=True):
        target[machine.key(key)] = value


def _extend(machine: Machine, items: list) -> None:
    target = machine.top()
    if type(target) is not list:
        raise ValueError("appends to something that is no list")
    target.extend(items)


def _set_of(machine: Machine, items: list) -> set:
    machine.budget.spend(3 * len(items))
    return {machine.key(item) for item in items}


def _empty_set(machine: Machine) -> set:
    machine.budget.spend(3)  # it takes so much more than a list
    return set()


def _dict_of(machine: Machine) -> dict:
    target: dict = {}
    _pairs(machine, target, machine.items())
    return target


def _last(machine: Machine, count: int) -> tuple:
    return tuple([machine.pop() for _ in range(count)][::-1])


pushes(b"]", lambda machine: [])
pushes(b"}", lambda machine: {})
pushes(b")", lambda machine: ())
pushes(b"\x8f", _empty_set)
pushes(b"l", lambda machine: machine.items())
pushes(b"t", lambda machine: tuple(machine.items()))
pushes(b"d", _dict_of)
pushes(b"\x91", lambda machine: frozenset(_set_of(machine, machine.items())))
pushes(b"\x85", lambda machine: _last(machine, 1))
pushes(b"\x86", lambda machine: _last(machine, 2))
pushes(b"\x87", lambda machine: _last(machine, 3))


@operation(b"a")
def _append(machine: Machine) -> None:
    item = machine.pop()
    _extend(machine, [item])


@operation(b"e")
def _appends(machine: Machine) -> None:
    items = machine.items()
    _extend(machine, items)


@operation(b"s")
def _setitem(machine: Machine) -> None:
    key, value = _last(machine, 2)
    _pairs(machine, machine.top(), [key, value])


@operation(b"u")
def _setitems(machine: Machine) -> None:
    items = machine.items()
    _pairs(machine, machine.top(), items)


@operation(b"\x90")
def _additems(machine: Machine) -> None:
    items, target = machine.items(), machine.top()
    if type(target) is not set:
        raise ValueError("adds to something that is no set")
    target |= _set_of(machine, items)


# The stack and the memo.


@operation(b"(")
def _mark(machine: Machine) -> None:
    machine.marks.append(machine.stack)
    machine.stack = []


@operation(b"0")
def _pop(machine: Machine) -> None:
    if machine.stack:
        machine.stack.pop()
    else:
        machine.items()


@operation(b"1")
def _pop_mark(machine: Machine) -> None:
    machine.items()


pushes(b"2", lambda machine: machine.top())


def _put(machine: Machine, index: int) -> None:
    if not 0 <= index < OPERATIONS:
        raise ValueError(f"remembers a value as number {printable(index)}")
    machine.memo[index] = machine.top()


def _get(machine: Machine, index: int) -> object:
    if index not in machine.memo:
        raise ValueError(f"recalls a value {printable(index)} that it has not remembered")
    return machine.memo[index]


operation(b"p")(lambda machine: _put(machine, int(_number(machine.stream.line(), int))))
operation(b"q")(lambda machine: _put(machine, machine.stream.number(1)))
operation(b"r")(lambda machine: _put(machine, machine.stream.number(4)))
operation(b"\x94")(lambda machine: _put(machine, len(machine.memo)))
pushes(b"g", lambda machine: _get(machine, int(_number(machine.stream.line(), int))))
pushes(b"h", lambda machine: _get(machine, machine.stream.number(1)))
pushes(b"j", lambda machine: _get(machine, machine.stream.number(4)))

# Names, and what is made of them.


def _named(machine: Machine) -> Named:
    module, name = machine.stream.line(), machine.stream.line()
    return _found(machine, text_of(module), text_of(name))


def _found(machine: Machine, module: str, name: str) -> Named:
    machine.budget.spend(4)
    return find(module, name)


def _stack_named(machine: Machine) -> Named:
    module, name = _last(machine, 2)
    if not isinstance(module, str) or not isinstance(name, str):
        raise ValueError("names a class by something else than text")
    return _found(machine, module, name)


def _object(machine: Machine) -> object:
    named, *arguments = machine.items() or [None]
    return machine.call(named, tuple(arguments))


def _instance(machine: Machine) -> object:
    named = _named(machine)
    return machine.call(named, tuple(machine.items()))


def _with_names(machine: Machine) -> object:
    named, arguments, names = _last(machine, 3)
    if names != {}:
        raise ValueError("makes an object with arguments by name")
    return machine.call(named, arguments)


pushes(b"c", _named)
pushes(b"\x93", _stack_named)
pushes(b"R", lambda machine: machine.call(*_last(machine, 2)))
pushes(b"\x81", lambda machine: machine.call(*_last(machine, 2)))
pushes(b"o", _object)
pushes(b"i", _instance)
pushes(b"\x92", _with_names)
pushes(b"Q", lambda machine: machine.persistent(machine.pop()))
pushes(b"P", lambda machine: machine.persistent(text_of(machine.stream.line())))


@operation(b"b")
def _build(machine: Machine) -> None:
    state, target = machine.pop(), machine.top()
    if isinstance(target, Record):
        target.state = state
    elif type(target) is not dict:  # what an ordered dict says beside its entries is left out
        raise ValueError("gives a state to something that has none; choose another file")


@operation(b"\x82", b"\x83", b"\x84")
def _extension(machine: Machine) -> None:
    raise ValueError("names classes by numbers of this computer's own; choose another file")


@operation(b"\x97", b"\x98")
def _buffer(machine: Machine) -> None:
    raise ValueError("keeps values outside of itself; choose another file")
