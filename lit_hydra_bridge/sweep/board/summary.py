"""The table at the end of a sweep: the best jobs first, every failure with its log, and where the rest is."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lit_hydra_bridge.sweep.board.grid import Line, Lines, TextColumn, fit, overrides_column, table
from lit_hydra_bridge.sweep.board.lines import duration, inert, number_text, times, value_text
from lit_hydra_bridge.sweep.board.state import EndedRow
from lit_hydra_bridge.sweep.job import Outcome
from lit_hydra_bridge.sweep.ranking import MODES, UNDECIDED, WORDS, is_undecided

if TYPE_CHECKING:
    from rich.console import RenderableType

_MOST_METRICS: Final = 3
_STYLES: Final = {Outcome.COMPLETED: "green", Outcome.INTERRUPTED: "yellow"}


def summary_view(
    rows: Sequence[EndedRow], *, width: int, best: int | None, direction: str | None, limit: int = 20
) -> RenderableType:
    """Return the table of a sweep that has ended.

    Paths stand in full on lines of their own, which may be wider than `width`: print it with `crop=False`.

    Args:
        rows: sorted, the best first.
        width: of the terminal.
        best: the number of the best job.
        direction: `minimize` or `maximize`; None where nothing says.
        limit: how many completed jobs to show at most, and how many others.
    """
    shown, failed = _shown(rows, best, limit)
    lines = [_title(rows)]
    if shown:
        lines += [[], *_table(shown, width, best)]
    if len(shown) < len(rows):
        lines.append([(f" … and {len(rows) - len(shown)} more, all in {_pattern(rows)}", "dim")])
    for row in rows:
        if row.number == best:
            lines += [[], *_best(row, direction)]
    if is_undecided(rows, direction):
        lines += [[], fit([(UNDECIDED, "dim")], width, pad=False)]
    lines += [[]] if failed else []
    for row in failed:
        lines += _failed(row)
    return Lines(lines)


def _shown(rows: Sequence[EndedRow], best: int | None, limit: int) -> tuple[list[EndedRow], list[EndedRow]]:
    """Return the rows of the table, and those of them that did not complete."""
    completed = [row for row in rows if row.outcome is Outcome.COMPLETED]
    failed = [row for row in rows if row.outcome is not Outcome.COMPLETED][:limit]
    first = completed[:limit]
    first += [row for row in completed[limit:] if row.number == best]
    return [*first, *failed], failed


def _title(rows: Sequence[EndedRow]) -> Line:
    counts = Counter(row.outcome for row in rows)
    line: Line = []
    for outcome in Outcome:
        if counts[outcome]:
            line += [(", " if line else "", ""), (f"{counts[outcome]} {outcome.value}", _style(outcome, bold=True))]
    before = sum(row.skipped for row in rows)
    return (
        [*line, (f" ({before} of them in an earlier launch)" if before else "", "dim")] if line else [("no jobs", "")]
    )


def _style(outcome: Outcome, *, bold: bool = False) -> str:
    return f"{'bold ' if bold else ''}{_STYLES.get(outcome, 'red')}"


def _table(rows: Sequence[EndedRow], width: int, best: int | None) -> list[Line]:
    names = _metric_names(rows)
    job = TextColumn(title="job", right=True)
    bold_row = next((index for index, row in enumerate(rows) if row.number == best), None)
    overrides = overrides_column([inert(row.overrides) for row in rows], width, bold_row)
    outcome, value = TextColumn(title="outcome"), TextColumn(title="value", least=10, ideal=20)
    metrics = [TextColumn(title=inert(name), least=12, rank=2 + index, right=True) for index, name in enumerate(names)]
    attempts = TextColumn(title="attempts", rank=1, right=True)
    time = TextColumn(title="time", right=True)
    for row in rows:
        bold = "bold " if row.number == best else ""
        job.add(("★ " if bold else "", "bold green"), (f"#{row.number}", "bold"))
        differs = (f" ({row.differs} changed since)", "yellow") if row.differs else ("", "")
        outcome.add((row.outcome.value, _style(row.outcome)), differs)
        value.add((inert(value_text(row.return_value)), "bold green" if bold else ""))
        for name, column in zip(names, metrics, strict=True):
            column.add((number_text(row.metrics[name]) if name in row.metrics else "", bold))
        attempts.add((str(row.attempts), "yellow" if row.attempts > 1 else ""))
        time.add((duration(row.seconds), bold))
    several = [attempts] if any(row.attempts > 1 for row in rows) else []
    rest = [column.column() for column in (outcome, value, *metrics, *several, time)]
    return table([job.column(), overrides, *rest], len(rows), width)


def _metric_names(rows: Sequence[EndedRow]) -> list[str]:
    """Return the metrics that most jobs have; among equals, in the order in which they were logged."""
    return [name for name, _ in Counter(name for row in rows for name in row.metrics).most_common(_MOST_METRICS)]


def _best(row: EndedRow, direction: str | None) -> list[Line]:
    value = value_text(row.return_value)
    why = f" ({WORDS[MODES[direction]]} value {inert(value)})" if value and direction else ""
    lines: list[Line] = [[("best: ", "bold green"), (f"job {row.number}", "bold"), (why, "")]]
    return [*lines, [(f"  {inert(row.checkpoint)}", "cyan")]] if row.checkpoint else lines


def _failed(row: EndedRow) -> list[Line]:
    reason = f": {inert(row.reason)}" if row.reason else ""
    where = row.log or row.folder
    what: Line = [(f"#{row.number} ", "bold"), (row.outcome.value, _style(row.outcome)), (f" {times(row)}{reason}", "")]
    return [what, [(f"  {inert(where)}", "dim")]] if where else [what]


def _pattern(rows: Sequence[EndedRow]) -> str:
    """Return what the jobs' folders have in common, as a shell pattern for their state."""
    parents = {str(Path(row.folder).parent) for row in rows}
    if len(parents) == 1:
        return inert(f"{parents.pop()}/*/job.json")
    try:
        return inert(f"{os.path.commonpath(parents)}/**/job.json")
    except ValueError:
        return "their folders' job.json"
