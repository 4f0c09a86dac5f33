"""Which jobs of a table are wanted, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lit_hydra_bridge.results.fields import Fields
from lit_hydra_bridge.results.row import JobRow
from lit_hydra_bridge.results.where import make_test


def filtered(rows: Sequence[JobRow], text: str | None, fields: Fields) -> list[JobRow]:
    """Return the jobs that an expression wants; all of them without one.

    Raises:
        ResultsError: see `make_test`.
    """
    if text is None:
        return list(rows)
    test = make_test(text, fields)
    return [row for row in rows if test(row)]


def sorted_by(rows: Sequence[JobRow], names: Sequence[str], fields: Fields) -> list[JobRow]:
    """Return the jobs sorted by columns, the first one first; `-` before a name turns its order around.

    Numbers come before texts, and what is not there comes last, in either order.

    Raises:
        ResultsError: there is no column of that name.
    """
    ordered = list(rows)
    for name in reversed(names):
        down = name.startswith("-") and fields.get(name) is None
        field = fields.named(name[1:] if down else name)
        there = [row for row in ordered if _is_there(field.get(row))]
        missing = [row for row in ordered if not _is_there(field.get(row))]
        ordered = [*sorted(there, key=lambda row: _key(field.get(row)), reverse=down), *missing]
    return ordered


def _is_there(value: Any) -> bool:
    return value is not None and value == value


def _key(value: Any) -> tuple[int, Any]:
    return (0, value) if isinstance(value, int | float) else (1, str(value))
