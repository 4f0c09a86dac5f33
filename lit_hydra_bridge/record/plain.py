"""Leaves of a config -> plain data."""

from __future__ import annotations

import enum
from pathlib import PurePath
from typing import Any

from lit_hydra_bridge.hydra_text import escape_interpolations


def plain_key(key: Any) -> str | int | float | bool:
    """Return a mapping's key as one that any reader can take."""
    if type(key) in (str, int, float, bool):
        return key  # type: ignore[no-any-return]
    if isinstance(key, enum.Enum):
        return key.name
    return key.decode("utf-8", "backslashreplace") if isinstance(key, bytes) else str(key)


def plain_leaf(value: Any) -> tuple[Any, bool]:
    """Return a leaf as plain data, and whether that says all of it."""
    if value is None or type(value) in (str, int, float, bool):
        return value, True
    if isinstance(value, enum.Enum):
        return value.name, True
    if isinstance(value, PurePath):
        return str(value), True
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace"), True
    if isinstance(value, list | tuple):
        parts = [plain_leaf(item) for item in value]
        return [part for part, _ in parts], all(ok for _, ok in parts)
    if isinstance(value, dict):
        pairs = {plain_key(key): plain_leaf(item) for key, item in value.items()}
        return {key: part for key, (part, _) in pairs.items()}, all(ok for _, ok in pairs.values())
    for base in (int, float, str):  # numpy's float64 and subclasses
        if isinstance(value, base):
            return base(value), True
    return _plain_scalar(value)


def escaped_unless_text(value: Any, plain: Any) -> Any:
    """Escape what only looks like an interpolation: bytes or a path that hold `${`."""
    return escape_interpolations(plain) if isinstance(plain, str) and not isinstance(value, str) else plain


def _plain_scalar(value: Any) -> tuple[Any, bool]:
    """numpy's and torch's scalars say by `item()` what they are; anything else is only named."""
    if getattr(value, "shape", None) == ():
        try:
            item = value.item()
        except Exception:  # an object of the app's may do anything here
            item = value
        if type(item) in (str, int, float, bool):
            return item, True
    name = getattr(value, "__qualname__", None)
    if isinstance(name, str):
        return f"{getattr(value, '__module__', '')}.{name}", False
    return f"<{type(value).__module__}.{type(value).__qualname__}>", False
