"""Data that JSON gave, of unknown origin -> dataclasses, every value checked against its field's type.

A field may be a str, int, float, bool or Enum, a dataclass or TypedDict, a list, tuple or dict of such, any of them or
None, or Any: plain data of any form. Keys that the dataclass does not have are ignored.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from enum import Enum
from functools import cache
from typing import Annotated, Any, Final, TypeVar

T = TypeVar("T")

Seconds = Annotated[float, "since the epoch"]
"""A time that a calendar can show."""

_MOST_LEVELS: Final = 100
# Python refuses to write longer ones as text.
_MOST_BITS: Final = 4096
_LAST_SECOND: Final = 253_402_300_000.0  # of the year 9999
_PLAIN: Final = (str, int, float, bool)


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
    return _Reader(name).record(cls, data)


@cache
def _fields(cls: Any) -> list[tuple[str, Any, bool]]:
    """Return name, type and whether it has to be there, of each field."""
    hints = typing.get_type_hints(cls, include_extras=True)
    missing = dataclasses.MISSING
    return [
        (spec.name, hints[spec.name], spec.default is missing and spec.default_factory is missing)
        for spec in dataclasses.fields(cls)
    ]


@cache
def _items(cls: Any) -> dict[str, Any] | None:
    """Return the types of a TypedDict's items; None where it is none."""
    return typing.get_type_hints(cls) if typing.is_typeddict(cls) else None


@cache
def _parts(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    return typing.get_origin(hint), typing.get_args(hint)


class _Reader:
    def __init__(self, name: str) -> None:
        self._name = name
        self._path: list[object] = []

    def record(self, cls: type[T], data: object) -> T:
        if not isinstance(data, dict):
            raise self._error("a mapping", data)
        values: dict[str, Any] = {}
        for name, hint, is_needed in _fields(cls):  # type: ignore[arg-type]
            if name in data:
                values[name] = self._at(name, data[name], hint)
            elif is_needed:
                raise WrongDataError(f"{self._where()} has no {name!r}")
        return cls(**values)

    def _at(self, step: object, value: object, hint: Any) -> Any:
        self._path.append(step)
        if len(self._path) > _MOST_LEVELS:
            raise WrongDataError(f"{self._where()} is nested too deeply")
        result = self._value(value, hint)
        self._path.pop()
        return result

    def _value(self, value: object, hint: Any) -> Any:
        if type(value) is int and value.bit_length() > _MOST_BITS:
            raise self._error("a smaller number", value)
        # bool is an int to isinstance, and data that says True for a job number is damaged.
        if type(value) is hint:
            return value
        if hint is Any:
            return self._plain(value)
        if hint is float and type(value) is int and value.bit_length() < 1000:
            return float(value)
        if isinstance(hint, type) and issubclass(hint, Enum) and value in [each.value for each in hint]:
            return hint(value)
        if dataclasses.is_dataclass(hint):
            return self.record(typing.cast("type[Any]", hint), value)
        items = _items(hint)
        if items is not None and isinstance(value, dict):
            return {key: self._at(key, value[key], items[key]) for key in items if key in value}
        return self._composite(value, hint)

    def _composite(self, value: object, hint: Any) -> Any:
        origin, arguments = _parts(hint)
        if origin in (types.UnionType, typing.Union):
            others = [each for each in arguments if each is not type(None)]
            if value is None and len(others) < len(arguments):
                return None
            return self._value(value, next((each for each in others if type(value) is each), others[-1]))
        if origin is Annotated:
            return self._seconds(value)
        if origin in (list, tuple) and isinstance(value, list):
            return origin(self._at(i, item, arguments[0]) for i, item in enumerate(value))
        if origin is dict and isinstance(value, dict):
            return {self._key(key, arguments[0]): self._at(key, item, arguments[1]) for key, item in value.items()}
        raise self._error(str(getattr(hint, "__name__", hint)), value)

    def _seconds(self, value: object) -> float:
        if type(value) in (int, float) and 0 <= value <= _LAST_SECOND:  # type: ignore[operator]
            return float(value)  # type: ignore[arg-type]
        raise self._error("seconds since the epoch", value)

    def _plain(self, value: object) -> Any:
        if value is None or type(value) in _PLAIN:
            return value
        if type(value) is list:
            return [self._at(i, item, Any) for i, item in enumerate(value)]
        if type(value) is dict:
            return {self._key(key, Any): self._at(key, item, Any) for key, item in value.items()}
        raise self._error("plain data", value)

    def _key(self, key: object, hint: Any) -> Any:
        if type(key) in (_PLAIN if hint is Any else (hint,)):
            return key
        raise self._error("a mapping with plain keys", key)

    def _error(self, expected: str, value: object) -> WrongDataError:
        return WrongDataError(f"{self._where()} should be {expected}, and is {_describe(value)}")

    def _where(self) -> str:
        steps = [f"[{_short(step)}]" if type(step) is int else f".{_short(step)}" for step in self._path[:12]]
        return "".join([self._name, *steps, "…" if len(self._path) > len(steps) else ""])


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
