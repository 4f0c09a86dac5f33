"""A job of one of our launchers -> its row: job.json, and progress.json while it runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from lit_hydra_bridge.files import DamagedFileError
from lit_hydra_bridge.progress import Progress, read_progress
from lit_hydra_bridge.results.row import INTERRUPTED, RUNNING, JobAttempt, JobRow, Scalar
from lit_hydra_bridge.sweep.folder import JobFolder
from lit_hydra_bridge.sweep.job import Attempt, JobState, Outcome
from lit_hydra_bridge.text import one_line

_ORPHANED: Final = "its launcher has ended, and it has left no word"


def own_row(
    state: JobState, folder: str, varying: Mapping[str, Scalar], problems: list[str], *, is_running: bool, now: float
) -> JobRow:
    """Return the row of a job.

    Args:
        state: what its job.json says.
        folder: where that stands.
        varying: those of its overrides that vary in the sweep.
        problems: what can't be read is added to them.
        is_running: whether a launcher is at work in the sweep's folder.
        now: seconds since the epoch.
    """
    attempts = tuple(_attempt(each, is_running) for each in state.attempts)
    last = attempts[-1] if attempts else None
    path = Path(folder)
    if last and not state.outcome:
        state = state.with_progress(_progress(JobFolder(path), problems))
    checkpoints = _present(state.checkpoints, folder)
    best = checkpoints.get("best") or checkpoints.get("last")
    value = state.return_value
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    durations = [taken for each in attempts if (taken := each.duration_s(now)) is not None]
    return JobRow(
        number=state.number,
        folder=path,
        overrides=state.overrides,
        varying=varying,
        outcome=last.outcome if last else RUNNING if is_running else INTERRUPTED,
        attempts=attempts,
        started=attempts[0].started if attempts else None,
        ended=last.ended if last else None,
        duration_s=sum(durations) if durations else None,
        return_value=state.return_value_text if state.return_value_text is not None else value,
        value=_float(value) if is_number else None,
        metrics=state.metrics,
        monitors={name: mode for name, mode in state.monitors.items() if mode in ("min", "max")},
        checkpoint=Path(best) if best else None,
        checkpoints=checkpoints,
        reason=last.reason if last and last.outcome != Outcome.COMPLETED.value else "",
    )


def _progress(folder: JobFolder, problems: list[str]) -> Progress | None:
    try:
        return read_progress(folder.progress)
    except DamagedFileError as error:
        problems.append(str(error))
        return None


def _attempt(attempt: Attempt, is_running: bool) -> JobAttempt:
    outcome = attempt.outcome.value if attempt.outcome else RUNNING if is_running else INTERRUPTED
    return JobAttempt(
        started=attempt.started,
        ended=attempt.ended,
        outcome=outcome,
        reason=one_line(attempt.reason or "") or ("" if attempt.outcome or is_running else _ORPHANED),
        devices=attempt.slot.devices,
        threads=attempt.slot.threads,
        host=attempt.host,
        resumed_from=attempt.resumed_from,
    )


def _present(checkpoints: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """Return the checkpoints with their paths as they are now: the sweep's folder may have been moved."""
    return {
        name: found_again(value, folder) if name in ("best", "last") else value
        for name, value in checkpoints.items()
        if value is not None
    }


def found_again(path: str, folder: str) -> str:
    """Return a path that was written down by a job, as it is now that the job's folder is here.

    Of `/before/sweep/3/checkpoints/a.ckpt` the part after the job's folder is looked for in the folder of today.
    """
    if path.startswith(folder + os.sep) or os.path.exists(path):
        return path
    parts, name = path.split(os.sep), os.path.basename(folder)
    for at in (index for index, part in enumerate(parts) if part == name):
        here = os.path.join(folder, *parts[at + 1 :])
        if os.path.exists(here):
            return here
    return path


def _float(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None
