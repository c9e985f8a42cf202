"""What a file's config may ask for: kind and bounds of every number, checked before anything is made of it.

Bounds are wide enough for public models of the families and far below what would take a machine.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import MISSING, fields
from numbers import Integral, Real
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

REMEDY = "choose a file made by this pack"
Config = TypeVar("Config")


def shown(value: object) -> str:
    """Any value as an error shows it, cut short."""
    return reprlib.repr(value)


def integers(config: DataclassInstance, **bounds: tuple[int, int]) -> None:
    """Fields that are whole numbers from low to high, or None where their type has it.

    Raises:
        ValueError: names the first that is not.
    """
    for name, (low, high) in bounds.items():
        _check(config, name, getattr(config, name), low, high, Integral)


def numbers(config: DataclassInstance, **bounds: tuple[float, float]) -> None:
    """As `integers`, for any finite numbers."""
    for name, (low, high) in bounds.items():
        _check(config, name, getattr(config, name), low, high, Real)


def integer_tuple(
    config: DataclassInstance, name: str, *, count: tuple[int, int], each: tuple[int, int]
) -> None:
    """Makes a list, as JSON has it, a tuple of so many whole numbers; or None where the field's type has it.

    Raises:
        ValueError: it is neither, too long, or an entry is out of bounds.
    """
    values = getattr(config, name)
    if _absent(config, name, values):
        return
    if not isinstance(values, list | tuple) or not count[0] <= len(values) <= count[1]:
        most = f"{count[0]}" if count[0] == count[1] else f"{count[0]} to {count[1]}"
        raise ValueError(
            f"{type(config).__name__}: expected {name} to be {most} whole numbers, got {shown(values)}; {REMEDY}"
        )
    for value in values:
        _check(config, name, value, *each, Integral)
    object.__setattr__(config, name, tuple(values))


def flags(config: object, *names: str) -> None:
    """Fields that are true or false.

    Raises:
        ValueError: names the first that is not.
    """
    for name in names:
        value = getattr(config, name)
        if not isinstance(value, bool):
            raise ValueError(
                f"{type(config).__name__}: expected {name} to be true or false, got {shown(value)}; {REMEDY}"
            )


def configured(kind: type[Config], values: object, what: str, noun: str = "") -> Config:
    """A config of the plain values that a file's JSON gives.

    Args:
        kind: its dataclass. what: the file's role, for errors. noun: what is configured: "of a generator ".

    Raises:
        ValueError: entries that are missing or unknown, or that the config itself refuses.
    """
    if isinstance(values, dict):
        fault = _fault(kind, values)
        if fault is None:
            return kind(**values)
    else:
        fault = f"{shown(values)} instead of names and values"
    raise ValueError(
        f"{what}: expected a config {noun}of this version, got one that differs (wrong entries: {fault}); {REMEDY}"
    )


def _fault(kind: type, values: Mapping) -> str | None:
    """What is wrong with a config's names."""
    entries = {
        entry.name: entry.default is MISSING and entry.default_factory is MISSING for entry in fields(kind)
    }
    unknown = [name for name in values if name not in entries]
    missing = [name for name, obligatory in entries.items() if obligatory and name not in values]
    if unknown:
        return f"{shown(unknown[0])} is unknown"
    return f"{missing[0]} is missing" if missing else None


def _absent(config: DataclassInstance, name: str, value: object) -> bool:
    """Whether a field is None and may be."""
    return value is None and "None" in str(config.__dataclass_fields__[name].type)


def _check(
    config: DataclassInstance, name: str, value: object, low: float, high: float, kind: type[Real]
) -> None:
    if _absent(config, name, value):
        return
    within = isinstance(value, kind) and value <= high and not value < low  # NaN is neither
    if isinstance(value, bool) or not within:
        whole = (
            "a whole number "
            if kind is Integral and (isinstance(value, bool) or not isinstance(value, Integral))
            else ""
        )
        raise ValueError(
            f"{type(config).__name__}: expected {name} {whole}from {low} to {high}, got {shown(value)}; {REMEDY}"
        )
