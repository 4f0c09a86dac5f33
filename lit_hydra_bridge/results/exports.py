"""Results as other programs take them: CSV, JSON, a DataFrame."""

from __future__ import annotations

import csv
import html
import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final

from lit_hydra_bridge.errors import ResultsError
from lit_hydra_bridge.results.fields import METRIC, OVERRIDE, Field, Fields
from lit_hydra_bridge.results.row import JobRow
from lit_hydra_bridge.results.sweep_results import SweepResults
from lit_hydra_bridge.text import shortened

if TYPE_CHECKING:
    import pandas

_FORMULA: Final = tuple("=+-@\t\r\n")
_NUMBER: Final = re.compile(r"[-+](?:[0-9]+\.?[0-9]*|\.[0-9]+|inf|nan)(?:e[-+]?[0-9]+)?", re.IGNORECASE | re.ASCII)


_IN_NOTEBOOK: Final = ("number", "outcome", "value", "duration_s")
_MOST_METRICS: Final = 4
_MOST_IN_NOTEBOOK: Final = 50


def csv_text(rows: Sequence[JobRow], fields: Sequence[Field]) -> str:
    """Return a line of names and a line a job; what is not there is empty, times are UTC in ISO 8601.

    A text that a spreadsheet would take for a formula has a `'` before it.
    """
    lines = _Lines()
    writer = csv.writer(lines)
    writer.writerow([_inert(each.name) for each in fields])
    writer.writerows([_cell(each, each.get(row)) for each in fields] for row in rows)
    return "".join(lines)


class _Lines(list[str]):
    """Lines that end as the shell's tools expect; with that end as its own, the csv module would not quote a `\\r`."""

    def write(self, line: str) -> None:
        """Take a line."""
        self.append(line.removesuffix("\r\n") + "\n")


def _cell(each: Field, value: Any) -> str:
    if value is None:
        return ""
    if each.is_time:
        return iso(value)
    return _inert(value) if isinstance(value, str) else json.dumps(value)


def _inert(text: str) -> str:
    if text[:1] not in _FORMULA:
        return text
    return text if _NUMBER.fullmatch(text) else f"'{text}"


def html_table(results: SweepResults) -> str:
    """Return a table of the first jobs for a notebook; all text from outside is escaped."""
    fields = Fields(results.rows)
    wanted = [each for each in fields.all if each.name in _IN_NOTEBOOK or each.kind == OVERRIDE]
    shown = results.rows[:_MOST_IN_NOTEBOOK]
    filled = [*wanted, *fields.of_kind(METRIC)[:_MOST_METRICS]]
    columns = [each for each in filled if any(each.get(row) is not None for row in shown)]
    head = "".join(f"<th>{_html(each.name)}</th>" for each in columns)
    body = "".join(
        f"<tr>{''.join(f'<td>{_html(_short(each.get(row)))}</td>' for each in columns)}</tr>" for row in shown
    )
    more = len(results.rows) - len(shown)
    rest = f"<p>… and {more} more: to_pandas() has them all</p>" if more else ""
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f"<div><p>{_html(repr(results))}</p>{table}{rest}</div>"


def _html(text: str) -> str:
    return html.escape(shortened(text))


def _short(value: Any) -> str:
    return "" if value is None else f"{value:.5g}" if isinstance(value, float) else str(value)


def iso(seconds: float) -> str:
    """Return a time in UTC, as ISO 8601 has it."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")


def data_frame(rows: Sequence[JobRow]) -> pandas.DataFrame:
    """Return a DataFrame; see `SweepResults.to_pandas`.

    Raises:
        ResultsError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError:
        raise ResultsError("to_pandas() needs pandas: pip install pandas") from None
    fields = Fields(rows).all
    frame = pandas.DataFrame({each.name: [each.get(row) for row in rows] for each in fields})
    for name in (each.name for each in fields if each.is_time):
        frame[name] = pandas.to_datetime(frame[name], unit="s", utc=True)
    return frame


def sweep_dict(results: SweepResults) -> dict[str, Any]:
    """Return all of it as JSON can hold it; see `SweepResults.to_dict`."""
    known = {name: getattr(results, name) for name in SweepResults.__dataclass_fields__ if name != "rows"}
    return {
        **known,
        "folder": str(results.folder),
        "command": list(results.command),
        "problems": list(results.problems),
        "jobs": [row_dict(row) for row in results.rows],
    }


def row_dict(row: JobRow) -> dict[str, Any]:
    """Return a job as JSON can hold it."""
    known = {name: getattr(row, name) for name in JobRow.__dataclass_fields__}
    return {
        **known,
        "folder": str(row.folder),
        "overrides": list(row.overrides),
        "checkpoint": str(row.checkpoint) if row.checkpoint else None,
        "attempts": [{**asdict(attempt), "devices": list(attempt.devices)} for attempt in row.attempts],
    }
