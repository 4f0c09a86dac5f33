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
_LEAVES: Final = frozenset(_PLAIN)
_QUICK: Final = (str, float)
_COMMON: Final = 1 << 62
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
    return _Reader(name).record(cls, data)


@dataclasses.dataclass(frozen=True)
class _Field:
    name: str
    hint: Any
    is_needed: bool
    may_be_none: bool
    leaf: type | None
    """Its type, if that is one of text or numbers."""


@cache
def _fields(cls: Any) -> list[_Field]:
    hints = typing.get_type_hints(cls, include_extras=True)
    missing = dataclasses.MISSING
    found = []
    for spec in dataclasses.fields(cls):
        kind, inner = _form(hints[spec.name])
        leaf = inner if kind == "optional" else hints[spec.name]
        is_needed = spec.default is missing and spec.default_factory is missing
        found.append(
            _Field(
                spec.name, hints[spec.name], is_needed, kind in ("optional", "any"), leaf if leaf in _LEAVES else None
            )
        )
    return found


@cache
def _form(hint: Any) -> tuple[str, Any]:
    """Return of which form a type is, and what it is made of."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return "optional", next(each for each in arguments if each is not type(None))
    if origin is Annotated:
        return "seconds", None
    if origin in (list, tuple, dict):
        return origin.__name__, arguments
    if typing.is_typeddict(hint):
        return "typed dict", typing.get_type_hints(hint)
    if dataclasses.is_dataclass(hint):
        return "record", hint
    if isinstance(hint, type) and issubclass(hint, Enum):
        return "enum", {each.value: each for each in hint}
    return "any" if hint is Any else "leaf", hint


class _Reader:
    def __init__(self, name: str) -> None:
        self._name = name
        self._path: list[object] = []

    def record(self, cls: type[T], data: object) -> T:
        if not isinstance(data, dict):
            raise self._error("a mapping", data)
        values: dict[str, Any] = {}
        for spec in _fields(cls):  # type: ignore[arg-type]
            value = data.get(spec.name, _MISSING)
            if value is _MISSING:
                if spec.is_needed:
                    raise WrongDataError(f"{self._where()} has no {spec.name!r}")
            elif value is None and spec.may_be_none:
                values[spec.name] = None
            elif type(value) is spec.leaf and not (isinstance(value, int) and abs(value) > _COMMON):
                values[spec.name] = value
            else:
                values[spec.name] = self._at(spec.name, value, spec.hint)
        return cls(**values)

    def _at(self, step: object, value: object, hint: Any) -> Any:
        if type(value) is hint and hint in _QUICK:  # most of what there is
            return value
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
        kind, inner = _form(hint)
        if kind == "any":
            return self._plain(value)
        if kind == "optional":
            return None if value is None else self._value(value, inner)
        if kind == "record":
            return self.record(inner, value)
        if kind == "seconds":
            return self._seconds(value)
        if kind == "enum" and type(value) is str and value in inner:
            return inner[value]
        if hint is float and type(value) is int and value.bit_length() < 1000:
            return float(value)
        return self._container(value, hint)

    def _container(self, value: object, hint: Any) -> Any:
        kind, inner = _form(hint)
        if isinstance(value, list) and kind in ("list", "tuple"):
            items = [self._at(i, item, inner[0]) for i, item in enumerate(value)]
            return items if kind == "list" else tuple(items)
        if not value and isinstance(value, dict) and kind in ("dict", "typed dict"):
            return {}
        if isinstance(value, dict) and kind == "dict":
            return {self._key(key, inner[0]): self._at(key, item, inner[1]) for key, item in value.items()}
        if isinstance(value, dict) and kind == "typed dict":
            return {key: self._at(key, value[key], inner[key]) for key in inner if key in value}
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
