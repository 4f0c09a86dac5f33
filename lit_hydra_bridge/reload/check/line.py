"""One line of a report card, and how names of unknown number and length are put into it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_MAX_NAMES: Final = 8
_MAX_NAME: Final = 120


@dataclass(frozen=True, kw_only=True)
class Line:
    """One finding of a report card."""

    subject: str
    verdict: bool | None
    """True: good. False: it stands in the way of making the run again. None: worth knowing."""
    finding: str
    remedy: str = ""
    """What to do about it: a command, or a sentence."""


def good(subject: str, finding: str, remedy: str = "") -> Line:
    """Return a line that says all is well."""
    return Line(subject=subject, verdict=True, finding=finding, remedy=remedy)


def bad(subject: str, finding: str, remedy: str = "") -> Line:
    """Return a line that says what stands in the way."""
    return Line(subject=subject, verdict=False, finding=finding, remedy=remedy)


def note(subject: str, finding: str, remedy: str = "") -> Line:
    """Return a line that says what is worth knowing."""
    return Line(subject=subject, verdict=None, finding=finding, remedy=remedy)


def some(names: Iterable[str]) -> str:
    """Return a list of names short enough for a line: a record may hold any number, of any length."""
    known = [short(name) for name in names]
    more = f" and {len(known) - _MAX_NAMES} more" if len(known) > _MAX_NAMES else ""
    return ", ".join(known[:_MAX_NAMES]) + more


def short(text: str, limit: int = _MAX_NAME) -> str:
    """Return `text`, cut where it is longer than `limit` characters."""
    return text if len(text) <= limit else text[:limit] + "..."


def count(number: int, singular: str, plural: str = "") -> str:
    """`1 file`, `2 files`."""
    return f"{number} {singular if number == 1 else plural or singular + 's'}"
