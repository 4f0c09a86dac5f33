"""What differs between two configs of plain data, and how that is said in lines."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

ABSENT: Final = object()
"""What stands for a value that is not there."""
_BARE_KEY: Final = re.compile(r"[^\W\d][\w/@+-]*")
# A text that YAML would read as that text, and that can't be mistaken for another value.
_BARE_TEXT: Final = re.compile(r"(?!(?:null|true|false|yes|no|on|off|nan|inf|infinity)$)[^\W\d_][\w./@+=<>-]*", re.I)


@dataclass(frozen=True, kw_only=True)
class Change:
    """One value that differs."""

    key: str
    """Dotted; list items as `[0]`, a name that is no plain word in double quotes: `paths."a.b"[0]`."""
    kind: Literal["added", "removed", "changed"]
    old: Any = None
    """In the first; None where it was added."""
    new: Any = None
    """In the second; None where it was removed."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain containers; without `old` where there was none, without `new` where there is none."""
        values = {"old": self.old, "new": self.new}
        absent = {"added": "old", "removed": "new"}.get(self.kind)
        return {"key": self.key, "kind": self.kind, **{key: item for key, item in values.items() if key != absent}}


def config_changes(a: Mapping[Any, Any], b: Mapping[Any, Any]) -> list[Change]:
    """Return what differs between two configs of plain data.

    Dicts are compared key by key, lists of equal length item by item if they hold containers, and as a whole
    otherwise. 1, 1.0, True and "1" differ; NaN equals NaN; the order of keys does not matter. What was added or
    removed is listed leaf by leaf.
    """
    return [as_change(dotted_key(steps), old, new) for steps, old, new in differences(dict(a), dict(b))]


def as_change(key: str, old: Any, new: Any) -> Change:
    """Return the change from `old` to `new`, of which one may be ABSENT."""
    return Change(
        key=key,
        kind="added" if old is ABSENT else "removed" if new is ABSENT else "changed",
        old=None if old is ABSENT else old,
        new=None if new is ABSENT else new,
    )


def change_lines(changes: list[Change], *, bare: bool = False) -> list[str]:
    """Return one line for each change: `~ lr: 0.1 -> 0.2`, `+ new: 3`, `- old: 1`.

    Args:
        changes: what to show.
        bare: whether texts stand without quotes, where all values are texts.
    """
    marks = {"added": "+", "removed": "-", "changed": "~"}

    def shown(value: Any) -> str:
        return " ".join(value.split()) if bare and isinstance(value, str) and value.strip() else value_text(value)

    def values(change: Change) -> str:
        old, new = shown(change.old), shown(change.new)
        return {"added": new, "removed": old, "changed": f"{old} -> {new}"}[change.kind]

    return [f"{marks[change.kind]} {change.key}: {values(change)}" for change in changes]


def value_text(value: Any) -> str:
    """Return plain data on one line, in YAML's words: 1, 1.0, true, null, text, "1", [1, 2], {a: 1}."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    if isinstance(value, str):
        return value if _BARE_TEXT.fullmatch(value) else json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return f"[{', '.join(map(value_text, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_step_text(key)}: {value_text(item)}" for key, item in value.items()) + "}"
    return repr(value)


def dotted_key(steps: tuple[Any, ...]) -> str:
    """Return one name for a place in a config; a list's items are given as `(index,)`."""
    parts = (f"[{step[0]}]" if isinstance(step, tuple) else f".{_step_text(step)}" for step in steps)
    return "".join(parts).removeprefix(".")


def _step_text(step: Any) -> str:
    if isinstance(step, str):
        is_word = _BARE_KEY.fullmatch(step) and step not in ("null", "true", "false")
        return step if is_word else json.dumps(step, ensure_ascii=False)
    return f"({step!r})" if isinstance(step, float) else value_text(step)


# --- walking -----------------------------------------------------------------------------------------------

Difference = tuple[tuple[Any, ...], Any, Any]


def differences(old: Any, new: Any, steps: tuple[Any, ...] = ()) -> Iterator[Difference]:
    """Yield where two values differ (keys, and `(index,)` for a list's items), what is there, and what is there now."""
    if isinstance(old, dict) and isinstance(new, dict):
        yield from _dict_differences(old, new, steps)
    elif _are_item_by_item(old, new):
        for i, pair in enumerate(zip(old, new, strict=True)):
            yield from differences(*pair, (*steps, (i,)))
    elif old is ABSENT and isinstance(new, dict) and new:
        for key, item in new.items():
            yield from differences(ABSENT, item, (*steps, key))
    elif new is ABSENT and isinstance(old, dict) and old:
        for key, item in old.items():
            yield from differences(item, ABSENT, (*steps, key))
    elif not is_same(old, new):
        yield steps, old, new


def _dict_differences(old: dict[Any, Any], new: dict[Any, Any], steps: tuple[Any, ...]) -> Iterator[Difference]:
    # 1, 1.0 and True are one key to a dict, and three to a config.
    there = {(type(key), repr(key)): (key, item) for key, item in new.items()}
    for key, item in old.items():
        _, other = there.pop((type(key), repr(key)), (None, ABSENT))
        yield from differences(item, other, (*steps, key))
    for key, item in there.values():
        yield from differences(ABSENT, item, (*steps, key))


def _are_item_by_item(old: Any, new: Any) -> bool:
    if not isinstance(old, list) or not isinstance(new, list) or len(old) != len(new):
        return False
    return any(isinstance(item, dict | list) for item in (*old, *new))


def is_same(old: Any, new: Any) -> bool:
    """Tell whether two plain values are one and the same: 1, 1.0 and True are not, two .nan are."""
    if type(old) is not type(new):
        return False
    if isinstance(old, list):
        return len(old) == len(new) and all(map(is_same, old, new))
    if isinstance(old, dict):
        return not any(_dict_differences(old, new, ()))
    return bool(old == new or (old != old and new != new))
