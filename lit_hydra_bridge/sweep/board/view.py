"""The live view of a sweep: one picture of a snapshot, made to measure for a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from lit_hydra_bridge.progress import Progress
from lit_hydra_bridge.sweep.board.grid import (
    Column,
    Line,
    Lines,
    TextColumn,
    bar,
    fit,
    line_width,
    overrides_column,
    table,
    width_of,
)
from lit_hydra_bridge.sweep.board.lines import duration, elapsed_text, inert, number_text, times
from lit_hydra_bridge.sweep.board.state import EndedRow, RunningRow, Snapshot
from lit_hydra_bridge.sweep.board.summary import summary_view as summary_view
from lit_hydra_bridge.sweep.job import Outcome

if TYPE_CHECKING:
    from rich.console import RenderableType

_MIDDLE, _WIDE = 60, 120
_MOST_FAILURES: Final = 3
_SMALL_BAR, _BAR, _LARGE_BAR = 6, 10, 24


def live_view(snapshot: Snapshot, width: int, height: int) -> RenderableType:
    """Return the picture of a moment, within `width` columns and `height` lines."""
    header = header_lines(snapshot, width)
    room = height - len(header)
    need = 1 + len(snapshot.running) if snapshot.running else 0
    failures = _failure_lines(snapshot, width, max(room - need - 1, room // 3))
    running = _running_lines(snapshot.running, width, room - len(failures))
    lines = list(header)
    for part in (running, failures):
        airy = part and len(lines) + len(part) + (len(failures) if part is running else 0) < height
        lines += [[], *part] if airy else part
    return Lines([fit(line, width, pad=False) for line in lines[: max(height, 1)]])


def header_lines(snapshot: Snapshot, width: int) -> list[Line]:
    """Return where the sweep is and how far: one line on a wide terminal, else two; and the notice if any."""
    counts, time = _counts(snapshot, width), elapsed_text(snapshot)
    ended = snapshot.completed + snapshot.failed + snapshot.interrupted
    percent = f"{min(100, 100 * ended // max(1, snapshot.total)):3d}%"
    room = width - line_width(counts) - 2
    wide = width >= _WIDE
    least_bar = len(percent) + len(time) + 24
    folder = _shortened(inert(snapshot.folder), min(width // 3, room - least_bar) if wide else room)
    bar_room = room - width_of(folder) - 2 if wide else width
    progress = [*_sweep_bar(snapshot, bar_room - len(percent) - len(time) - 2), (percent, ""), ("  ", ""), (time, "")]
    first: Line = [
        (folder, "bold"),
        (" " * (2 if wide else width - line_width(counts) - width_of(folder)), ""),
        *counts,
    ]
    lines = [[*first, ("  ", ""), *progress]] if wide else [first, progress]
    notice: list[Line] = [[(inert(snapshot.notice), "yellow")]] if snapshot.notice else []
    return [fit(line, width, pad=False) for line in lines + notice]


def _counts(snapshot: Snapshot, width: int) -> Line:
    parts: Line = [(f"{snapshot.completed} of {snapshot.total} done", "green")]
    if snapshot.skipped and width >= _MIDDLE:
        parts.append((f" ({snapshot.skipped} before)", "dim"))
    parts.append((f"  {len(snapshot.running)} running", "cyan"))
    parts += [(f"  {snapshot.failed} failed", "bold red")] if snapshot.failed else []
    parts += [(f"  {snapshot.interrupted} interrupted", "yellow")] if snapshot.interrupted else []
    return [*parts, (f"  {snapshot.waiting} waiting", "dim")]


def _sweep_bar(snapshot: Snapshot, width: int) -> Line:
    total = max(1, snapshot.total)
    parts = (
        (snapshot.completed / total, "green"),
        (snapshot.failed / total, "red"),
        (snapshot.interrupted / total, "yellow"),
        (len(snapshot.running) / total, "cyan"),
    )
    return bar(parts, max(0, width))


def _shortened(path: str, width: int) -> str:
    """Return the end of a path, from a whole name on where one fits; nothing where there is no room at all."""
    if width < 4:
        return ""
    if width_of(path) <= width:
        return path
    end = path[-(width - 1) :]
    while end and width_of(end) > width - 1:
        end = end[1:]
    _, slash, whole = end.partition("/")
    return "…" + (slash + whole if whole else end)


def _running_lines(rows: Sequence[RunningRow], width: int, room: int) -> list[Line]:
    if not rows or room < 2:
        return []
    shown = rows if 1 + len(rows) <= room else rows[: max(1, room - 2)]
    lines = table(_columns(shown, width), len(shown), width)
    hidden = len(rows) - len(shown)
    return [*lines, [(f" … and {hidden} more running", "dim")]] if hidden else lines


def _columns(rows: Sequence[RunningRow], width: int) -> list[Column]:
    number = TextColumn(title="#", right=True)
    slot, time = TextColumn(title="slot", rank=4), TextColumn(title="time", right=True)
    attempt = TextColumn(title="try", rank=1, right=True)
    for row in rows:
        number.add((f"#{row.number}", "bold"))
        slot.add((inert(row.slot), "dim"))
        time.add((duration(row.seconds).rjust(9), ""))
        attempt.add((str(row.attempt), "yellow" if row.attempt > 1 else "dim"))
    columns = [number.column(), overrides_column([inert(row.overrides) for row in rows], width), slot.column()]
    if any(row.attempt > 1 for row in rows):
        columns.append(attempt.column())
    return [*columns, *_progress_columns(rows), time.column(), *_metrics_column(rows)]


def _metrics_column(rows: Sequence[RunningRow]) -> list[Column]:
    cells = [_metric_spans(row.progress) for row in rows]
    longest = max(sum(map(line_width, cell)) + 2 * (len(cell) - 1) for cell in cells)
    first = max((line_width(cell[0]) for cell in cells if cell), default=0)

    def draw(row: int, size: int) -> Line:
        line: Line = []
        for metric in cells[row]:
            if line and line_width(line) + 2 + line_width(metric) > size:
                break
            line += [("  ", ""), *metric] if line else metric
        return fit(line, size)

    least = max(min(first, 14), len("metrics"))
    column = Column(
        title="metrics", draw=draw, least=least, ideal=max(least, min(longest, 30)), most=max(least, longest), rank=2
    )
    return [column] if first else []


def _progress_columns(rows: Sequence[RunningRow]) -> list[Column]:
    known = any(row.progress for row in rows)
    if not known and all(row.state == "running" for row in rows):
        return []
    epochs = [_epoch(row.progress) for row in rows]
    states = ["" if row.state == "running" else inert(row.state) for row in rows]
    columns = [_bar_column("epoch" if known else "state", epochs, states, rank=0, small=True)]
    steps = [_step(row.progress) for row in rows]
    return [*columns, _bar_column("step", steps, [""] * len(rows), rank=3, small=False)] if known else columns


def _bar_column(
    title: str, parts: Sequence[tuple[str, float | None]], instead: Sequence[str], *, rank: int, small: bool
) -> Column:
    """Return a column of bars that end in figures; on little room, of figures alone."""
    figures = max(len(text) for text, _ in parts)
    bars = any(share is not None for _, share in parts)
    least = max(len(title), figures + (1 + _SMALL_BAR if bars and small else 0), *(min(14, len(t)) for t in instead))

    def cell(text: str, share: float | None, said: str, size: int) -> Line:
        length = size - figures - 1
        if said:
            return fit([(said, "yellow")], size)
        if not bars or length < _SMALL_BAR:
            return fit([(text, "")], size, right=True)
        line = bar([(share, "cyan")], length) if share is not None else [(" " * length, "")]
        return [*line, (text.rjust(figures + 1), "")]

    return Column(
        title=title,
        draw=lambda row, size: cell(*parts[row], instead[row], size),
        least=least,
        ideal=max(least, figures + 1 + _BAR if bars and small else figures),
        most=max(least, figures + 1 + _LARGE_BAR if bars else figures),
        rank=rank,
        right=not bars,
    )


def _epoch(progress: Progress | None) -> tuple[str, float | None]:
    if progress is None:
        return "", None
    epoch, epochs = _whole(progress.epoch), _whole(progress.max_epochs)
    step, steps = _whole(progress.step), _whole(progress.steps)
    if epochs:
        within = min(1.0, step / steps) if steps and epoch < epochs else 0.0
        return f"{epoch}/{epochs}", min(1.0, (epoch + within) / epochs)
    most = _whole(progress.max_steps)
    return str(epoch), min(1.0, _whole(progress.global_step) / most) if most else None


def _step(progress: Progress | None) -> tuple[str, float | None]:
    if progress is None:
        return "", None
    step, steps = _whole(progress.step), _whole(progress.steps)
    stage = f"{inert(progress.stage)[:8]} " if progress.stage not in ("", "train") else ""
    return f"{stage}{step}" + (f"/{steps}" if steps else ""), min(1.0, step / steps) if steps else None


def _whole(value: object) -> int:
    """Return a count from a file that anybody may have written; 0 for none and for no limit."""
    return max(0, int(value)) if isinstance(value, (int, float)) and math.isfinite(value) else 0


def _metric_spans(progress: Progress | None) -> list[Line]:
    metrics = progress.metrics if progress is not None and isinstance(progress.metrics, dict) else {}
    return [[(f"{inert(name)} ", "dim"), (number_text(value), "")] for name, value in metrics.items()]


def _failure_lines(snapshot: Snapshot, width: int, room: int) -> list[Line]:
    blocks: list[list[Line]] = []
    left = room - 1
    for row in reversed(snapshot.failures[-_MOST_FAILURES:]):
        block = _failure(row, width)
        if len(block) > left:
            break
        blocks.insert(0, block)
        left -= len(block)
    if not snapshot.failures or room < 1:
        return []
    more = max(len(snapshot.failures), snapshot.failed) - len(blocks)
    title: Line = [(" failed", "bold red"), (f"  +{more} more" if more > 0 else "", "dim")]
    return [title, *(line for block in blocks for line in block)]


def _failure(row: EndedRow, width: int) -> list[Line]:
    style = "yellow" if row.outcome is Outcome.INTERRUPTED else "red"
    what: Line = [(f" #{row.number}", "bold"), (f"  {row.outcome.value}", style), (f" {times(row)}", "dim")]
    first = fit([*what, (f"  {inert(row.reason)}" if row.reason else "", "")], width, pad=False)
    return [first, *([("    ", ""), (part, "dim")] for part in _folded(inert(row.log), width - 4))]


def _folded(text: str, width: int) -> list[str]:
    """Return a path in pieces that fit: nobody can open half a path."""
    pieces: list[str] = []
    while text:
        size = max(1, width)
        while size > 1 and width_of(text[:size]) > width:
            size -= 1
        pieces.append(text[:size])
        text = text[size:]
    return pieces
