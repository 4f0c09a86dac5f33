"""Untrusted JSON data -> dataclasses, every value checked against its field's type.

A field may be a str, int, float, bool or Enum, a dataclass or TypedDict, a list, tuple or dict of such, any of them or
None, or Any: plain data of any form. Keys that the dataclass does not have are ignored.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Collection, Iterable, Iterator
from enum import Enum
from functools import cache
from typing import Annotated, Any, Final, TypeVar, cast

T = TypeVar("T")
Read = Callable[[Any], Any]
"""Returns data as a type, or raises _WrongValueError."""

Seconds = Annotated[float, "since the epoch"]
"""A time that a calendar can show."""

_MOST_LEVELS: Final = 100
# Python refuses to write longer ones as text.
_MOST_BITS: Final = 4096
_LAST_SECOND: Final = 253_402_300_000.0  # of the year 9999
_PLAIN: Final = frozenset({str, int, float, bool})
_MISSING: Final = object()


class WrongDataError(ValueError):
    """Data is not as its dataclass says; the message names the place."""


def read_as(cls: type[T], data: object, name: str) -> T:
    """Return data as a dataclass.

    Args:
        cls: the dataclass; fields with a default may be missing.
        data: what a file held.
        name: what an error calls it.

    Raises:
        WrongDataError: a value has not the type of its field, or it is nested too deeply.
    """
    try:
        return cast("T", _reader(cast("Any", cls))(data))
    except _WrongValueError as wrong:
        steps = [f"[{_short(step)}]" if type(step) is int else f".{_short(step)}" for step in wrong.path[:-13:-1]]
        rest = "…" if len(wrong.path) > len(steps) else ""
        raise WrongDataError(f"{name}{''.join(steps)}{rest} {wrong.what}") from None


class _WrongValueError(Exception):
    """A value is wrong; whoever passes the error on adds its own step to the path, so the innermost comes first."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what
        self.path: list[object] = []


def _not(expected: str, value: object) -> _WrongValueError:
    return _WrongValueError(f"should be {expected}, and is {_describe(value)}")


@cache
def _reader(hint: Any) -> Read:
    """Return the function that reads a type; made once, since tables read it ten thousand times."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return _plain
    if origin in (types.UnionType, typing.Union):
        return _optional(_reader(next(each for each in arguments if each is not type(None))))
    if origin is Annotated:
        return _seconds
    if origin in (list, tuple):
        return _sequence(origin, _reader(arguments[0]))
    if origin is dict:
        return _mapping(arguments[0], _reader(arguments[1]))
    if typing.is_typeddict(hint):
        return _items({name: _reader(each) for name, each in typing.get_type_hints(hint).items()})
    if dataclasses.is_dataclass(hint):
        return _record(hint)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _member({each.value: each for each in hint})
    return _leaf(hint)


def _record(cls: Any) -> Read:
    hints, missing = typing.get_type_hints(cls, include_extras=True), dataclasses.MISSING
    fields = [
        (spec.name, _reader(hints[spec.name]), spec.default is missing and spec.default_factory is missing)
        for spec in dataclasses.fields(cls)
    ]

    def read(value: Any) -> Any:
        if type(value) is not dict:
            raise _not("a mapping", value)
        values = {}
        for name, read_field, is_needed in fields:
            found = value.get(name, _MISSING)
            if found is not _MISSING:
                try:
                    values[name] = read_field(found)
                except _WrongValueError as wrong:
                    wrong.path.append(name)
                    raise
            elif is_needed:
                raise _WrongValueError(f"has no {name!r}")
        return cls(**values)

    return read


def _leaf(kind: Any) -> Read:
    def read(value: Any) -> Any:
        # bool is an int to isinstance, and data that says True for a job number is damaged.
        if type(value) is kind and (kind is not int or value.bit_length() <= _MOST_BITS):
            return value
        if kind is float and type(value) is int and value.bit_length() < 1000:
            return float(value)
        raise _not("a smaller number" if type(value) is kind else kind.__name__, value)

    return read


def _optional(read_other: Read) -> Read:
    return lambda value: None if value is None else read_other(value)


def _member(members: dict[Any, Any]) -> Read:
    def read(value: Any) -> Any:
        if type(value) is str and value in members:
            return members[value]
        raise _not(f"one of {', '.join(map(str, members))}", value)

    return read


def _sequence(kind: Any, read_item: Read) -> Read:
    def read(value: Any) -> Any:
        if type(value) is list:
            return kind(_each(enumerate(value), read_item))
        raise _not("list", value)

    return read


def _mapping(key_kind: Any, read_item: Read) -> Read:
    kinds = _PLAIN if key_kind is Any else {key_kind}

    def read(value: Any) -> Any:
        if type(value) is dict:
            return dict(zip(_keys(value, kinds), _each(value.items(), read_item), strict=True))
        raise _not("dict", value)

    return read


def _items(readers: dict[str, Read]) -> Read:
    def read(value: Any) -> Any:
        if type(value) is not dict:
            raise _not("a mapping", value)
        return {name: item for name in readers if name in value for item in _each([(name, value[name])], readers[name])}

    return read


def _each(items: Iterable[tuple[object, Any]], read: Read) -> Iterator[Any]:
    for step, item in items:
        try:
            yield read(item)
        except _WrongValueError as wrong:
            wrong.path.append(step)
            raise


def _keys(value: dict[Any, Any], kinds: Collection[Any]) -> Iterable[Any]:
    for key in value:
        if type(key) not in kinds:
            raise _not("a mapping with plain keys", key)
    return value


def _seconds(value: Any) -> float:
    if type(value) in (int, float) and 0 <= value <= _LAST_SECOND:
        return float(value)
    raise _not("seconds since the epoch", value)


def _plain(value: Any, level: int = 0) -> Any:
    if value is None or type(value) in _PLAIN:
        if type(value) is int and value.bit_length() > _MOST_BITS:
            raise _not("a smaller number", value)
        return value
    if level > _MOST_LEVELS:
        raise _WrongValueError("is nested too deeply")
    if type(value) is list:
        return list(_each(enumerate(value), lambda item: _plain(item, level + 1)))
    if type(value) is dict:
        return dict(zip(_keys(value, _PLAIN), _each(value.items(), lambda item: _plain(item, level + 1)), strict=True))
    raise _not("plain data", value)


def _describe(value: object) -> str:
    # Only these have a text that can be trusted: anything else may raise, or run on.
    return (
        f"{type(value).__name__} {_short(value)!r}" if isinstance(value, str | float | bool) else type(value).__name__
    )


def _short(step: object) -> str:
    return (
        str(step)[:60]
        if isinstance(step, str | float | bool) or (isinstance(step, int) and abs(step) < 10**18)
        else "…"
    )
