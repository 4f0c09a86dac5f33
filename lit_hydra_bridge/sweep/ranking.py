"""Which of a sweep's jobs is the best: at which end a number is best, and who has it.

The sweeper says it of what the task returns, and the callbacks of what they monitor. Nothing else does: the name of a
metric is no more than a guess.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar

from lit_hydra_bridge.progress import BEST

MINIMIZE: Final = "minimize"
MAXIMIZE: Final = "maximize"
MODES: Final = {MINIMIZE: "min", MAXIMIZE: "max"}
WORDS: Final = {"min": "lowest", "max": "highest"}
UNDECIDED: Final = "best: unknown; nothing says whether a low or a high value is good"


class Job(Protocol):
    """What a job is judged by."""

    @property
    def number(self) -> int:
        """Of two that are as good, the lower one is the best."""

    @property
    def value(self) -> float | None:
        """What its task returned, if it is a number."""

    @property
    def metrics(self) -> Mapping[str, float]:
        """The last value of each, and the best ones of those that are monitored."""

    @property
    def monitors(self) -> Mapping[str, str]:
        """What callbacks monitor: `min` or `max`."""

    @property
    def differs(self) -> str:
        """What it was made with that has changed since: `config`, `code` or both. Another config is another contest."""


AnyJob = TypeVar("AnyJob", bound=Job)


def sweeper_direction(get: Callable[[str], Any]) -> str | None:
    """Return what the sweeper does to the returned value, minimize or maximize; None where it doesn't say.

    Args:
        get: gives a value of the `hydra` node by its dotted name, None where there is none.
    """
    direction = get("sweeper.direction")  # Optuna's
    text = str(getattr(direction, "name", direction)).lower()
    if text in MODES:
        return text
    maximize, minimize = get("sweeper.optim.maximize"), get("sweeper.ax_config.experiment.minimize")
    if isinstance(maximize, bool):  # nevergrad's
        return MAXIMIZE if maximize else MINIMIZE
    if isinstance(minimize, bool):  # Ax's
        return MINIMIZE if minimize else MAXIMIZE
    return None


def mode_of(jobs: Iterable[Job], metric: str | None, direction: str | None) -> str | None:
    """Return at which end a metric is best, `min` or `max`; None where nothing says, or not all say the same.

    Args:
        jobs: all of the sweep.
        metric: which one; None: what the tasks returned.
        direction: the sweeper's.
    """
    if metric is None and direction is not None:
        return MODES[direction]
    jobs = list(jobs)
    monitors = {(name, mode) for job in jobs for name, mode in job.monitors.items()}
    if metric is None:
        modes = {mode for name, mode in monitors if _is_what_was_returned(jobs, name)}
    else:
        modes = {mode for name, mode in monitors if name == metric.removeprefix(BEST)}
    return modes.pop() if len(modes) == 1 else None


def _is_what_was_returned(jobs: Iterable[Job], metric: str) -> bool:
    """Tell whether each job has returned this metric, its last value or the best one."""
    compared = [
        any(math.isclose(value, returned, rel_tol=1e-5) for value in known)
        for job in jobs
        for returned in _finite(job.value)
        if (known := _finite(job.metrics.get(metric), job.metrics.get(BEST + metric)))
    ]
    return bool(compared) and all(compared)


def best_of(jobs: Iterable[AnyJob], metric: str | None, mode: str | None) -> AnyJob | None:
    """Return the best job; None where `mode` is, or no job has a finite number."""
    if mode is None:
        return None
    sign = -1.0 if mode == "max" else 1.0
    judged = [job for job in jobs if "config" not in job.differs]
    found = [(sign * number, job.number, job) for job in judged for number in _finite(number_of(job, metric))]
    return min(found, key=lambda each: each[:2])[2] if found else None


def ranked(jobs: Sequence[AnyJob], direction: str | None) -> tuple[list[AnyJob], int | None, str | None]:
    """Return the jobs by what their tasks returned, best first; the best one's number; and minimize or maximize.

    Args:
        jobs: all of the sweep.
        direction: the sweeper's.
    """
    mode = mode_of(jobs, None, direction)
    best = best_of(jobs, None, mode)
    sign = -1.0 if mode == "max" else 1.0

    def key(job: AnyJob) -> tuple[bool, float, int]:
        return not is_finite(job.value), sum(sign * number for number in _finite(job.value)), job.number

    words = {mode: direction for direction, mode in MODES.items()}
    return sorted(jobs, key=key), best.number if best else None, words[mode] if mode else None


def number_of(job: Job, metric: str | None) -> float | None:
    """Return a job's value of a metric, or with None what its task returned, if it is a number."""
    return job.value if metric is None else job.metrics.get(metric)


def is_undecided(jobs: Sequence[Job], said: str | None) -> bool:
    """Tell whether a best job is missing only because nothing has `said` which end is best."""
    return said is None and sum(is_finite(job.value) for job in jobs) > 1


def is_finite(value: Any) -> bool:
    """Tell whether it is a number that can be the best."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _finite(*values: float | None) -> list[float]:
    return [float(value) for value in values if value is not None and is_finite(value)]
