"""Tables of sweeps, runs and jobs, made to measure for a terminal; everything from outside in them is inert."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from lit_hydra_bridge.cli.ls_cells import CellColumn, fitted, print_lines
from lit_hydra_bridge.cli.ls_listing import JOB_FOLDER, Listing, relative
from lit_hydra_bridge.results.fields import JOB, METRIC, OVERRIDE, Field
from lit_hydra_bridge.results.row import JobRow
from lit_hydra_bridge.results.sweep_results import SweepResults
from lit_hydra_bridge.sweep.board.grid import Line, Span, fit
from lit_hydra_bridge.sweep.board.lines import duration, inert, number_text, value_text
from lit_hydra_bridge.sweep.ranking import UNDECIDED, WORDS, best_of, is_undecided

STYLES: Final = {"completed": "green", "running": "cyan", "interrupted": "yellow", "unknown": "dim"}
_PLAIN: Final = (str, int, float, bool, type(None))
_MOST_METRICS: Final = 4
_WIDTH_OF_A_FILE: Final = 160
_TITLES: Final = {"number": "job", "duration_s": "time"}


def print_listing(listing: Listing) -> None:
    """Print a listing to the standard output: in colours only where there is a terminal."""
    from lit_hydra_bridge.sweep.board.terminal import Terminal, console_on

    terminal = Terminal(sys.stdout)
    console = console_on(terminal)
    width = console.width if terminal.isatty() else max(console.width, _WIDTH_OF_A_FILE)
    print_lines(console, listing_lines(listing, width))


def listing_lines(listing: Listing, width: int) -> list[Line]:
    """Return all lines of a listing; paths alone may be wider than `width`."""
    if not listing.shows_jobs:
        return [*_overview(listing, width), *_left_out(listing)]
    if not listing.rows:
        return _title(listing.sweep) if listing.sweep is not None else []
    best = _best(listing.sweep) if listing.sweep is not None else None
    title = [*_title(listing.sweep), []] if listing.sweep is not None else []
    lines = [*title, *_jobs(listing, width, best), *_left_out(listing)]
    if listing.sweep is None:
        return lines
    if best is not None:
        return [*lines, *_best_lines(listing.sweep, best)]
    asked = listing.wish.is_about_jobs or listing.wish.limit is not None
    if asked or not is_undecided(listing.sweep.rows, listing.sweep.mode_of(None)):
        return lines
    return [*lines, [], fit([(UNDECIDED, "dim")], width, pad=False)]


def _left_out(listing: Listing) -> list[Line]:
    return [[(f" … and {listing.left_out} more", "dim")]] if listing.left_out else []


# --- the jobs of a sweep


def _title(sweep: SweepResults) -> list[Line]:
    line: Line = [(inert(relative(sweep.folder)), "bold"), ("  ", ""), *_counts(sweep)]
    launcher = [("  ", ""), (inert(sweep.launcher), "dim")] if sweep.launcher else []
    return [[*line, *launcher, (f"  {_when(sweep.created)}", "dim")]]


def _counts(sweep: SweepResults) -> Line:
    line: Line = []
    for outcome, count in sorted(sweep.outcomes.items(), key=lambda pair: -pair[1]):
        style = STYLES.get(outcome, "red")
        word = "jobs" if outcome == "unknown" else outcome
        line += [(", " if line else "", ""), (f"{count} {word}", style)]
    return line or [("no jobs yet", "dim")]


def default_columns(listing: Listing) -> list[Field]:
    """Return the columns that a person wants first; those that no job fills are left out."""
    rows, fields = listing.rows, listing.fields
    named = {each.name: each for each in fields.all}
    first = named["number"] if listing.sweep is not None else JOB_FOLDER
    metrics = fields.of_kind(METRIC)[:_MOST_METRICS]
    middle = [*fields.of_kind(OVERRIDE), named["outcome"]]
    differs = [named["differs"]] if "differs" in named and named["differs"].kind == JOB else []
    several = [named["attempts"]] if any(len(row.attempts) > 1 for row in rows) else []
    rest = [*differs, named["value"], *metrics, *several, named["duration_s"], named["reason"], named["checkpoint"]]
    filled = [each for each in rest if any(each.get(row) is not None for row in rows)]
    return [first, *middle, *filled]


def _jobs(listing: Listing, width: int, best: JobRow | None) -> list[Line]:
    fields = listing.columns(default_columns(listing))
    titles = _titles([each.name for each in fields])
    columns = []
    for index, each in enumerate(fields):
        column = _column(each, titles[index], index)
        column.cells = _cells(each, listing.rows, best)
        columns.append(column)
    lines, hidden = fitted(columns, len(listing.rows), width)
    if hidden and listing.wish.columns is None:
        lines.append(fit([(f" no room for {', '.join(hidden)}; --columns chooses", "dim")], width, pad=False))
    return lines


def _titles(names: Sequence[str]) -> list[str]:
    """Return the names as titles: of dotted ones the last part, where that tells it from the others."""
    ends = Counter(name.rpartition(".")[2] for name in names)
    short = [end if ends[end := name.rpartition(".")[2]] == 1 else name for name in names]
    return [inert(_TITLES.get(name, name)) for name in short]


def _column(each: Field, title: str, index: int) -> CellColumn:
    """Return an empty column; on a narrow terminal those with the highest rank go first."""
    if each.name == "checkpoint":
        return CellColumn(title, least=24, rank=90)
    if each.name == "folder" or each is JOB_FOLDER:
        return CellColumn(title, least=12)
    if each.name == "reason":
        return CellColumn(title, least=16, ideal=40, rank=40)
    if each.kind == METRIC:
        return CellColumn(title, rank=50 + min(index, 39), right=True)
    if each.kind == OVERRIDE:
        return CellColumn(title, least=6, ideal=24, rank=min(index, 9) if index > 4 else 0)
    if each.name == "value":
        return CellColumn(title, least=8, ideal=20)
    return CellColumn(title, right=each.name in ("number", "attempts", "duration_s"))


def _cells(each: Field, rows: Sequence[JobRow], best: JobRow | None) -> list[Span]:
    """Return a column's cells; what stands in many of them is made once."""
    known: dict[Any, Span] = {}
    cells: list[Span] = []
    is_metric, is_checkpoint = each.kind == METRIC, each.name == "checkpoint"
    for row in rows:
        value = each.get(row)
        if is_metric and value is not None:
            cells.append((f"{value:.4g}", ""))
            continue
        if is_checkpoint and value is not None:
            value = _below(value, row)
        if value.__class__ not in _PLAIN:
            cells.append(_cell(each, value))
            continue
        key = value.__class__, value
        if key not in known:
            known[key] = _cell(each, value)
        cells.append(known[key])
    return [_marked(each, *cell) if row is best else cell for row, cell in zip(rows, cells, strict=True)]


def _below(checkpoint: str, row: JobRow) -> str:
    """Return a checkpoint's path from its job's folder on; one that is elsewhere, from here."""
    below = checkpoint.removeprefix(f"{row.folder}/")
    return below if below != checkpoint else relative(Path(checkpoint))


def _marked(each: Field, text: str, style: str) -> Span:
    """Return a cell of the best job."""
    is_number = each.kind == JOB and each.name == "number"
    return (f"★ {text}", "bold green") if is_number else (text, style or "bold")


def _cell(each: Field, value: Any) -> Span:
    if value is None:
        return "", ""
    if each.kind == JOB and each.name == "number":
        return f"#{value}", "bold"
    if each.kind == JOB and each.name == "outcome":
        return inert(value), STYLES.get(value, "red")
    return inert(_text(each, value)), "dim" if each.name in ("checkpoint", "reason") else ""


def _text(each: Field, value: Any) -> str:
    if each.is_time:
        return _when(value)
    if each.kind == OVERRIDE:
        return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)
    if each.name == "duration_s":
        return duration(value)
    if each.name == "value":
        return value_text(value)
    return relative(Path(value)) if each.name == "folder" else number_text(value)


def _best(sweep: SweepResults) -> JobRow | None:
    """Return the job with the best return value; None where nothing says which end is the best."""
    return best_of(sweep.rows, None, sweep.mode_of(None))


def _best_lines(sweep: SweepResults, best: JobRow) -> list[Line]:
    mode = sweep.mode_of(None) or "min"
    why = f" ({WORDS[mode]} value {value_text(best.value)})"
    line: Line = [("best: ", "bold green"), (f"job {best.number}", "bold"), (why, "")]
    return [[], line, *([[(f"  {inert(best.checkpoint)}", "cyan")]] if best.checkpoint else [])]


def _when(seconds: float | None) -> str:
    return "" if seconds is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


# --- sweeps and runs


def _overview(listing: Listing, width: int) -> list[Line]:
    entries = [(sweep.created or 0.0, sweep) for sweep in listing.sweeps]
    everything: list[tuple[float, SweepResults | JobRow]] = [
        *entries,
        *((row.started or 0.0, row) for row in listing.runs),
    ]
    everything.sort(key=lambda pair: -pair[0])
    when, what = CellColumn("when"), CellColumn("what")
    folder, outcome = CellColumn("folder", least=16), CellColumn("outcome", least=30)
    took = CellColumn("time", rank=1, right=True)
    best = CellColumn("best or last", least=14, rank=2)
    overrides = CellColumn("overrides", least=12, ideal=40, rank=3)
    for moment, entry in everything:
        when.add(_when(moment) if moment else "", "dim")
        is_sweep = isinstance(entry, SweepResults)
        folder.add(inert(relative(entry.folder)), "bold" if is_sweep else "")
        if isinstance(entry, SweepResults):
            what.add("sweep")
            outcome.add(*_worst(entry))
            took.add("")
            best.add(inert(_best_text(entry)), "green")
            overrides.add(inert(", ".join(entry.override_keys)), "dim")
        else:
            what.add("run")
            outcome.add(entry.outcome, STYLES.get(entry.outcome, "red"))
            took.add("" if entry.duration_s is None else duration(entry.duration_s))
            best.add(inert(_metrics_text(entry)))
            overrides.add(inert(" ".join(entry.overrides)), "dim")
    times = [took] if any(text for text, _ in took.cells) else []
    return fitted([when, what, folder, outcome, *times, best, overrides], len(everything), width)[0]


def _worst(sweep: SweepResults) -> Span:
    """Return the counts of a sweep's jobs in one style, that of the worst."""
    counts = _counts(sweep)
    style = next((style for style in ("red", "yellow", "cyan") if any(style == each for _, each in counts)), "")
    return "".join(text for text, _ in counts), style or counts[0][1]


def _best_text(sweep: SweepResults) -> str:
    best = _best(sweep)
    return "" if best is None else f"#{best.number} {value_text(best.value)}"


def _metrics_text(row: JobRow) -> str:
    return "  ".join(f"{name} {number_text(value)}" for name, value in list(row.metrics.items())[:2])
