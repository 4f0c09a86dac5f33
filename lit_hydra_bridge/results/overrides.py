"""Overrides as text -> keys and values, without Hydra's parser, which takes longer than all the rest of a listing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from lit_hydra_bridge.results.row import Scalar

# As Hydra's grammar has them.
_INT: Final = re.compile(r"[+-]?(?:0|[1-9](?:_?[0-9])*)", re.ASCII)
_DIGITS: Final = "[0-9](?:_?[0-9])*"
_EXPONENT: Final = f"e[+-]?{_DIGITS}"
_POINT: Final = rf"(?:(?:{_DIGITS})?\.{_DIGITS}|{_DIGITS}\.)"
_FLOAT: Final = re.compile(rf"[+-]?(?:{_POINT}(?:{_EXPONENT})?|{_DIGITS}{_EXPONENT}|inf|nan)", re.IGNORECASE | re.ASCII)
_WORDS: Final[dict[str, Scalar]] = {"null": None, "true": True, "false": False}
_QUOTED: Final = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\"""", re.DOTALL)


def split(override: str) -> tuple[str, str]:
    """Return key and value of an override, as text: `+a.b=1` -> `a.b`, `1`; `~a` keeps its mark, and has no value."""
    key, _, value = override.partition("=")
    return key.strip().lstrip("+"), value.strip()


def parsed(text: str) -> Scalar:
    """Return a value as Hydra reads it; lists, mappings and interpolations stay text."""
    first = text[:1]
    if first.isdigit() or first in "+-.iInN":
        if _INT.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text):
            return float(text)
    if first in "\"'":
        found = _QUOTED.fullmatch(text)
        if found:
            quote = first
            return (found[1] if found[1] is not None else found[2] or "").replace(f"\\{quote}", quote)
    return _WORDS.get(text.lower(), text)


def varying(jobs: Sequence[Sequence[str]]) -> list[dict[str, Scalar]]:
    """Return of each job the overrides that are not the same in all of them; of a single job, all.

    Every job has every key, in the order in which they first stand.
    """
    pairs = [dict(split(text) for text in overrides) for overrides in jobs]
    keys = _varying_keys(pairs)
    known: dict[str, Scalar] = {}

    def value(text: str | None, key: str) -> Scalar:
        if text is None:
            return None
        if text not in known:
            known[text] = parsed(text)
        return text or True if key.startswith("~") else known[text]

    return [{key: value(pair.get(key), key) for key in keys} for pair in pairs]


def _varying_keys(pairs: Sequence[dict[str, str]]) -> list[str]:
    keys = list(dict.fromkeys(key for pair in pairs for key in pair))
    if len(pairs) < 2:
        return keys
    return [key for key in keys if _differs(pair.get(key) for pair in pairs)]


def _differs(texts: Iterable[str | None]) -> bool:
    remaining = iter(texts)
    first = next(remaining)
    return any(text != first for text in remaining)
