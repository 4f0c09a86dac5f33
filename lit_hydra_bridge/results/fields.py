"""The columns of a table of jobs, by name: what every job has, the overrides that vary, the metrics."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

from lit_hydra_bridge.errors import ResultsError
from lit_hydra_bridge.record.redaction import process_redactor
from lit_hydra_bridge.results.overrides import parsed, split
from lit_hydra_bridge.results.row import JobRow

JOB: Final = "job"
OVERRIDE: Final = "override"
METRIC: Final = "metric"
_MOST_LISTED: Final = 30


@dataclass(frozen=True)
class Field:
    """A column of a table of jobs."""

    name: str
    kind: str
    """job, override or metric."""
    get: Callable[[JobRow], Any]
    is_time: bool = False
    """Seconds since the epoch; for people and files a date."""


_FIRST: Final = Field("number", JOB, lambda row: row.number)
_BEFORE: Final = (
    Field("outcome", JOB, lambda row: row.outcome),
    Field("attempts", JOB, lambda row: len(row.attempts) or None),
    Field("started", JOB, lambda row: row.started, is_time=True),
    Field("ended", JOB, lambda row: row.ended, is_time=True),
    Field("duration_s", JOB, lambda row: row.duration_s),
    Field("value", JOB, lambda row: row.value if row.value is not None else row.return_value),
)
_DIFFERS: Final = Field("differs", JOB, lambda row: row.differs or None)
"""Only where it says something."""
_AFTER: Final = (
    Field("checkpoint", JOB, lambda row: process_redactor().text(str(row.checkpoint)) if row.checkpoint else None),
    Field("folder", JOB, lambda row: process_redactor().text(str(row.folder))),
    Field("reason", JOB, lambda row: row.reason or None),
)
_OTHER_NAMES: Final = {"job": "number", "duration": "duration_s", "time": "duration_s", "return_value": "value"}


def metric_names(rows: Sequence[JobRow]) -> list[str]:
    """Return the metrics, those that most jobs have first; among equals, in the order in which they were logged."""
    return [name for name, _ in Counter(name for row in rows for name in row.metrics).most_common()]


class Fields:
    """All columns of some jobs.

    An override or a metric that is called as something before it has its kind before its name: `metric.lr`.
    """

    def __init__(self, rows: Sequence[JobRow]) -> None:
        self._rows = rows
        before = (*_BEFORE, _DIFFERS) if any(row.differs for row in rows) else _BEFORE
        taken = {each.name for each in (_FIRST, *before, *_AFTER)}
        overrides = [_field(OVERRIDE, key, taken) for key in (rows[0].varying if rows else ())]
        metrics = [_field(METRIC, name, taken) for name in metric_names(rows)]
        self.all: list[Field] = [_FIRST, *overrides, *before, *metrics, *_AFTER]
        self._by_name = {each.name: each for each in self.all}

    def of_kind(self, kind: str) -> list[Field]:
        """Return the columns of a kind."""
        return [each for each in self.all if each.kind == kind]

    def get(self, name: str) -> Field | None:
        """Return the column of a name; None where there is none.

        A part at the end of a dotted name will do if only one has it: `lr` for `optimizer.lr`. Overrides that do not
        vary have no column of their own, and are found too.
        """
        exact = self._by_name.get(name) or self._by_name.get(_OTHER_NAMES.get(name, ""))
        if exact is not None:
            return exact
        kind, _, rest = name.partition(".")
        if kind in (OVERRIDE, METRIC) and (found := [each for each in self.of_kind(kind) if each.name == rest]):
            return found[0]
        ending = [each for each in self.all if each.name.endswith(f".{name}")]
        return ending[0] if len(ending) == 1 else self._that_does_not_vary(name)

    def _that_does_not_vary(self, name: str) -> Field | None:
        keys = dict.fromkeys(split(text)[0] for row in self._rows for text in row.overrides)
        found = [name] if name in keys else [key for key in keys if key.endswith(f".{name}")]
        if len(found) != 1:
            return None

        def get(row: JobRow) -> Any:
            return next((parsed(value) for key, value in map(split, row.overrides) if key == found[0]), None)

        return Field(found[0], OVERRIDE, get)

    def named(self, name: str) -> Field:
        """Return the column of a name.

        Raises:
            ResultsError: there is none; the message says which there are.
        """
        found = self.get(name)
        if found is None:
            raise self.unknown(name)
        return found

    def unknown(self, name: str) -> ResultsError:
        """Return the error that says which columns there are."""
        names = [each.name for each in self.all]
        close = difflib.get_close_matches(name, [*names, *(name.rpartition(".")[2] for name in names)], n=1)
        meant = f"did you mean {close[0]!r}? " if close else ""
        listed = ", ".join(names[:_MOST_LISTED]) + (", …" if len(names) > _MOST_LISTED else "")
        return ResultsError(f"there is no {name!r}: {meant}The names here: {listed}")

    def chosen(self, wanted: Sequence[str], default: Sequence[Field]) -> list[Field]:
        """Return the columns that were asked for.

        Args:
            wanted: names or patterns such as `val_*`; with `+` before the first they are added to the default ones,
                and one with `-` before it is left out.
            default: what is shown where nothing is asked for.

        Raises:
            ResultsError: there is none of that name.
        """
        is_change = bool(wanted) and wanted[0][:1] in "+-"
        found = {each.name: each for each in default} if is_change else {}
        for text in wanted:
            name = text.lstrip("+-") if text[:1] in "+-" else text
            matching = self._matching(name)
            for each in matching:
                if text.startswith("-"):
                    found.pop(each.name, None)
                else:
                    found[each.name] = each
        return list(found.values())

    def _matching(self, name: str) -> list[Field]:
        matching = [each for each in self.all if fnmatchcase(each.name, name)] if set(name) & set("*?[") else []
        return matching or [self.named(name)]


def _field(kind: str, name: str, taken: set[str]) -> Field:
    free = name if name not in taken else f"{kind}.{name}"
    taken.add(free)
    if kind == OVERRIDE:
        return Field(free, kind, lambda row: row.varying.get(name))
    return Field(free, kind, lambda row: row.metrics.get(name))
