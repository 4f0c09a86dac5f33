"""Results as other programs take them: CSV, JSON, a DataFrame."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final

from lit_hydra_bridge.errors import ResultsError
from lit_hydra_bridge.results.row import JobRow
from lit_hydra_bridge.results.sweep_results import SweepResults

if TYPE_CHECKING:
    import pandas

JOB: Final = "job"
OVERRIDE: Final = "override"
METRIC: Final = "metric"


@dataclass(frozen=True)
class Field:
    """A column of a table of jobs."""

    name: str
    kind: str
    """job, override or metric."""
    get: Callable[[JobRow], Any]


_BEFORE: Final = (
    Field("number", JOB, lambda row: row.number),
    Field("outcome", JOB, lambda row: row.outcome),
    Field("attempts", JOB, lambda row: len(row.attempts) or None),
    Field("started", JOB, lambda row: row.started),
    Field("ended", JOB, lambda row: row.ended),
    Field("duration", JOB, lambda row: row.duration_s),
    Field("value", JOB, lambda row: row.value if row.value is not None else row.return_value),
)
_AFTER: Final = (
    Field("checkpoint", JOB, lambda row: str(row.checkpoint) if row.checkpoint else None),
    Field("folder", JOB, lambda row: str(row.folder)),
    Field("reason", JOB, lambda row: row.reason or None),
)
TIMES: Final = ("started", "ended")


def fields_of(results: SweepResults) -> list[Field]:
    """Return all columns: those of every job, the varying overrides, the metrics.

    An override or a metric that is called as something before it gets its kind before its name: `metric.lr`.
    """
    taken = {each.name for each in (*_BEFORE, *_AFTER)}
    middle: list[Field] = []
    for kind, names in ((OVERRIDE, results.override_keys), (METRIC, results.metric_names)):
        for name in names:
            free = name if name not in taken else f"{kind}.{name}"
            taken.add(free)
            middle.append(Field(free, kind, _getter(kind, name)))
    return [_BEFORE[0], *(each for each in middle if each.kind == OVERRIDE), *_BEFORE[1:],
            *(each for each in middle if each.kind == METRIC), *_AFTER]  # fmt: skip


def _getter(kind: str, name: str) -> Callable[[JobRow], Any]:
    if kind == OVERRIDE:
        return lambda row: row.varying.get(name)
    return lambda row: row.metrics.get(name)


def csv_text(results: SweepResults) -> str:
    """Return a line of names and a line a job; see `SweepResults.to_csv`."""
    fields = fields_of(results)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([each.name for each in fields])
    writer.writerows([_cell(each, each.get(row)) for each in fields] for row in results.rows)
    return out.getvalue()


def _cell(each: Field, value: Any) -> str:
    if value is None:
        return ""
    if each.name in TIMES and each.kind == JOB:
        return iso(value)
    if isinstance(value, str):
        return value
    return json.dumps(value)


def iso(seconds: float) -> str:
    """Return a time in UTC, as ISO 8601 has it."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")


def data_frame(results: SweepResults) -> pandas.DataFrame:
    """Return a DataFrame; see `SweepResults.to_pandas`."""
    try:
        import pandas
    except ImportError:
        raise ResultsError("to_pandas() needs pandas: pip install pandas") from None
    fields = fields_of(results)
    frame = pandas.DataFrame({each.name: [each.get(row) for row in results.rows] for each in fields})
    for name in TIMES:
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
