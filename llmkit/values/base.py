"""What all values share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

import attrs

V = TypeVar("V")


def trusted(kind: type[V], fields: Mapping[str, Any]) -> V:
    """A value of a class without slots from fields that are known to be good, and complete: what every call makes is made so, at
    half the cost of checking it."""
    value = object.__new__(kind)
    value.__dict__.update(fields)
    return value


def blank(kind: type[Any]) -> dict[str, Any]:
    """The defaults of a value's fields, to begin the fields of :func:`trusted` with; shared, so only those that never change."""
    return {
        field.name: field.default.factory() if hasattr(field.default, "factory") else field.default
        for field in kind.__attrs_attrs__
        if field.default is not attrs.NOTHING
    }


class Value:
    """Base of frozen attrs values: how they print, compare and hash.

    attrs can write these methods for each class, at a quarter of a millisecond a class whenever a process starts; here they are
    written once. A value equals another of the same class with equal fields.

    Values that every call makes have ``slots=False``: a frozen value with slots sets each field through
    ``object.__setattr__``, which costs twice as much from about five fields on. Events have slots, because a long stream keeps
    thousands of them.
    """

    __slots__ = ()
    __attrs_attrs__: ClassVar[Any]

    def __repr__(self) -> str:
        shown = []
        for field in self.__attrs_attrs__:
            if field.repr:
                value = getattr(self, field.name, ...)  # a debugger may print one that is half made
                shown.append(f"{field.name}={repr(value) if field.repr is True or value is ... else field.repr(value)}")
        return f"{type(self).__qualname__}({', '.join(shown)})"

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return all(getattr(self, field.name) == getattr(other, field.name) for field in self.__attrs_attrs__)

    def __hash__(self) -> int:
        return hash((type(self), *[getattr(self, field.name) for field in self.__attrs_attrs__]))
