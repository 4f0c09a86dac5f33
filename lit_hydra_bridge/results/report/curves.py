"""Learning curves of all jobs, from the files of whatever logger wrote them, and thinned to what a page can hold."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from lit_hydra_bridge.results.report.event_files import EventFiles
from lit_hydra_bridge.results.report.metrics_csv import read_metrics_csv
from lit_hydra_bridge.results.row import JobRow

_MOST_POINTS: Final = 300_000
"""Of all curves together."""
_MOST_OF_A_CURVE: Final = 600
_LEAST_OF_A_CURVE: Final = 24
_NO_CURVES: Final = frozenset({"epoch", "step", "hp_metric"})

Points = dict[float, tuple[float, float | None]]
"""By step: the value, and the epoch where it is known."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A metric of a job over its training."""

    name: str
    steps: list[float]
    values: list[float]
    epochs: list[float] | None = None


@dataclass(frozen=True, kw_only=True)
class Curves:
    """The curves of all jobs."""

    names: list[str]
    of_jobs: list[list[Curve]]
    """In the order of the jobs."""
    notes: list[str] = field(default_factory=list)
    """What could not be read, or was left out."""


def read_curves(rows: Sequence[JobRow], tell: Callable[[str], None]) -> Curves:
    """Read the curves of all jobs.

    Args:
        rows: the jobs.
        tell: is told how far it is.
    """
    folders = {str(row.folder) for row in rows}
    events = EventFiles()
    notes: list[str] = []
    of_jobs = []
    for count, row in enumerate(rows):
        tell(f"reading learning curves, {count} of {len(rows)}")
        of_jobs.append(_job_curves(str(row.folder), folders, events, notes))
    if events.unread:
        notes.append(f"{events.unread} TensorBoard event files are left out: pip install tensorboard to have them read")
    names, left_out = _names(of_jobs)
    if left_out:
        notes.append(f"Curves of {len(names)} metrics are shown; {left_out} more that fewer jobs have are left out")
    kept = [[curve for curve in curves if curve.name in names] for curves in of_jobs]
    count = sum(map(len, kept))
    limit = max(_LEAST_OF_A_CURVE, min(_MOST_OF_A_CURVE, _MOST_POINTS // max(1, count)))
    return Curves(names=names, of_jobs=[[thinned(curve, limit) for curve in each] for each in kept], notes=notes)


def _names(of_jobs: Sequence[Sequence[Curve]]) -> tuple[list[str], int]:
    """Return the metrics that have curves, in the order in which they were logged; and how many were one too many."""
    counts = Counter(curve.name for curves in of_jobs for curve in curves)
    room = max(4, 2 * _MOST_POINTS // (_LEAST_OF_A_CURVE * max(1, len(of_jobs))))
    most = {name for name, _ in counts.most_common(room)}
    return [name for name in counts if name in most], len(counts) - len(most)


def _job_curves(folder: str, folders: set[str], events: EventFiles, notes: list[str]) -> list[Curve]:
    """Return the curves of one job; of two files that have the same step, the newer one tells."""
    found: dict[str, Points] = {}
    for path in _logged(folder, folders):
        is_table = os.path.basename(path) == "metrics.csv"
        try:
            read = read_metrics_csv(path) if is_table else events.read(path)
        except (OSError, ValueError) as error:
            notes.append(f"{path}: it can't be read ({error})")
            continue
        for name, points in read.items():
            found.setdefault(name, {}).update(points)
    return [thinned(_curve(name, points), _MOST_OF_A_CURVE) for name, points in found.items() if name not in _NO_CURVES]


def _logged(folder: str, folders: set[str]) -> list[str]:
    """Return the loggers' files of a job, oldest first; what another job has in its folder below is that job's."""
    found: list[tuple[int, str]] = []
    for place, inner, files in os.walk(folder):
        inner[:] = [name for name in inner if not name.startswith(".") and os.path.join(place, name) not in folders]
        for name in files:
            if name == "metrics.csv" or name.startswith("events.out.tfevents."):
                path = os.path.join(place, name)
                found.append((_modified(path), path))
    return [path for _, path in sorted(found)]


def _modified(path: str) -> int:
    try:
        return Path(path).stat().st_mtime_ns
    except OSError:
        return 0


def _curve(name: str, points: Points) -> Curve:
    steps = sorted(points)
    epochs = [points[step][1] for step in steps]
    known = [epoch for epoch in epochs if epoch is not None]
    return Curve(
        name=name,
        steps=steps,
        values=[points[step][0] for step in steps],
        epochs=known if len(known) == len(steps) else None,
    )


def thinned(curve: Curve, limit: int) -> Curve:
    """Return a curve of about `limit` points: of each stretch the lowest and the highest, so that peaks stay."""
    count = len(curve.values)
    if count <= limit:
        return curve
    kept = sorted({0, count - 1, *_extremes(curve.values, max(1, limit // 2 - 1))})
    return Curve(
        name=curve.name,
        steps=[curve.steps[i] for i in kept],
        values=[curve.values[i] for i in kept],
        epochs=None if curve.epochs is None else [curve.epochs[i] for i in kept],
    )


def _extremes(values: Sequence[float], stretches: int) -> Iterator[int]:
    count = len(values)
    for number in range(stretches):
        stretch = range(number * count // stretches, (number + 1) * count // stretches)
        finite = [i for i in stretch if values[i] == values[i]]
        if not finite:
            yield stretch[0]
            continue
        yield min(finite, key=values.__getitem__)
        yield max(finite, key=values.__getitem__)
