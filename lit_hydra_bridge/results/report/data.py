"""A sweep's results -> the plain data that the page draws from."""

from __future__ import annotations

import math
import os
import re
import shlex
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from lit_hydra_bridge.errors import ResultsError
from lit_hydra_bridge.record.redaction import REDACTED, Redactor, hides
from lit_hydra_bridge.results.report.commands import Commands
from lit_hydra_bridge.results.report.configs import Configs, read_configs
from lit_hydra_bridge.results.report.curves import Curves, read_curves
from lit_hydra_bridge.results.report.slots import Timeline, timeline
from lit_hydra_bridge.results.row import JobRow
from lit_hydra_bridge.results.sweep_results import SweepResults

RETURNED: Final = "return value"
"""What the task returned, as a metric."""
_OTHER_NAMES: Final = ("value", "return_value")
_MOST_NOTES: Final = 200


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which metric the page shows at first, and which end of it is best."""

    metric: str | None = None
    mode: str | None = None


@dataclass
class _Sweep:
    """What the parts of the data are made from."""

    results: SweepResults
    metrics: list[str]
    curves: Curves
    configs: Configs
    timeline: Timeline
    redactor: Redactor
    commands: Commands


def page_data(results: SweepResults, choice: Choice, tell: Callable[[str], None]) -> dict[str, Any]:
    """Return what the page shows, as JSON can hold it.

    Args:
        results: the sweep's.
        choice: what was asked for.
        tell: is told how far the reading is.

    Raises:
        ResultsError: there is no such metric.
    """
    from lit_hydra_bridge import __version__

    now = time.time()
    redactor = Redactor(os.environ)
    configs = read_configs(results.rows, redactor, tell)
    curves = read_curves(results.rows, tell)
    names = ([RETURNED] if any(row.value is not None for row in results.rows) else []) + results.metric_names
    lanes, commands = timeline(results.rows, now), Commands(results, redactor)
    sweep = _Sweep(results, names, curves, configs, lanes, redactor, commands)
    metric = _first_metric(results, names, choice.metric)
    modes = [results.mode_of(None if name == RETURNED else name) for name in names]
    return {
        "sweep": _head(sweep) | {"created": now, "version": __version__},
        "time": _times(sweep),
        "keys": results.override_keys,
        "metrics": [{"name": name, "mode": mode} for name, mode in zip(names, modes, strict=True)],
        "metric": metric,
        "mode": choice.mode or (modes[metric] if metric >= 0 else None),
        "lanes": sweep.timeline.lanes,
        "jobs": [_job(sweep, at, row) for at, row in enumerate(results.rows)],
        "configs": {"keys": configs.keys, "texts": configs.texts, "jobs": configs.of_jobs},
        "curves": _curves(sweep),
        "notes": _notes([*results.problems, *configs.notes, *curves.notes], redactor),
    }


def _notes(notes: list[str], redactor: Redactor) -> list[str]:
    once = [redactor.text(note) for note in dict.fromkeys(notes)]
    more = len(once) - _MOST_NOTES
    return once if more <= 0 else [*once[:_MOST_NOTES], f"and {more} more of this kind"]


def _first_metric(results: SweepResults, names: list[str], asked: str | None) -> int:
    """Return the place of the metric to begin with; -1 where there is none."""
    if asked is not None:
        asked = RETURNED if asked in _OTHER_NAMES and RETURNED in names else asked
        if asked not in names:
            raise ResultsError(f"--metric {asked}: no job has it; there are: {', '.join(names) or 'none'}")
        return names.index(asked)
    wanted = [RETURNED, *_monitored(results)]
    return next((names.index(name) for name in wanted if name in names), 0 if names else -1)


def _monitored(results: SweepResults) -> list[str]:
    """Return what the jobs' callbacks monitor; that of most jobs first."""
    return [name for name, _ in Counter(name for row in results.rows for name in row.monitors).most_common()]


def _head(sweep: _Sweep) -> dict[str, Any]:
    results = sweep.results
    command = shlex.join(sweep.redactor.arguments(results.command))
    return {
        "name": results.name,
        "folder": str(results.folder),
        "launcher": results.launcher,
        "command": f"cd {shlex.quote(results.cwd)} && {command}" if results.command else "",
        "running": results.is_running,
    }


def _times(sweep: _Sweep) -> dict[str, Any]:
    line = sweep.timeline
    return {
        "started": line.started if line.started is not None else sweep.results.created,
        "span": line.span_s if line.lanes else None,
        "busy": line.busy_s,
        "slots": len(line.lanes),
        "utilisation": min(1.0, line.utilisation),
        "attempts": sum(map(len, line.of_jobs)),
    }


def _job(sweep: _Sweep, at: int, row: JobRow) -> dict[str, Any]:
    text = sweep.redactor.text
    metrics = {RETURNED: row.value, **row.metrics}
    return {
        "number": row.number,
        "folder": text(str(row.folder)),
        "outcome": row.outcome,
        "differs": row.differs,
        "reason": text(row.reason),
        "overrides": [sweep.redactor.override(override) for override in row.overrides],
        "varying": [_override(key, value, sweep.redactor) for key, value in row.varying.items()],
        "metrics": [_finite(metrics.get(name)) for name in sweep.metrics],
        "duration": row.duration_s,
        "started": row.started,
        "attempts": [
            {
                "started": placed.attempt.started,
                "ended": placed.ended,
                "outcome": placed.attempt.outcome,
                "reason": text(placed.attempt.reason),
                "lane": placed.lane,
            }
            for placed in sweep.timeline.of_jobs[at]
        ],
        "checkpoint": text(str(row.checkpoint)) if row.checkpoint else None,
        "commands": sweep.commands.of(row),
    }


def _override(key: str, value: Any, redactor: Redactor) -> Any:
    if value is not None and hides(re.split(r"[./@]", key), value):
        return REDACTED
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return redactor.text(value) if isinstance(value, str) else value


def _finite(value: float | None) -> float | str | None:
    """JSON has no word for the others; the page reads these."""
    if value is None or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _curves(sweep: _Sweep) -> dict[str, Any]:
    names = sweep.curves.names
    wanted = [*_monitored(sweep.results), *(name for name in names if name.startswith("val")), *names]
    return {
        "names": names,
        "first": next((names.index(name) for name in wanted if name in names), -1),
        "series": [
            {
                "job": at,
                "name": names.index(curve.name),
                "step": [_short(step) for step in curve.steps],
                "y": [_short(value) for value in curve.values],
                "epoch": None if curve.epochs is None else [_short(epoch) for epoch in curve.epochs],
            }
            for at, curves in enumerate(sweep.curves.of_jobs)
            for curve in curves
        ],
    }


def _short(value: float) -> float | str | None:
    """As many digits as a plot shows."""
    if not math.isfinite(value):
        return _finite(value)
    return int(value) if value == int(value) and abs(value) < 1e15 else float(f"{value:.6g}")
