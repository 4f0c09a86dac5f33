"""A job of somebody else's launcher, or a single run -> its row.

It is put together of what Hydra, Lightning and our recorder (run.json) leave in its folder.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from lit_hydra_bridge.errors import ResultsError
from lit_hydra_bridge.results.hydra_folder import HYDRA, read_number, read_overrides
from lit_hydra_bridge.results.row import RUNNING, JobRow
from lit_hydra_bridge.results.training_files import read_training
from lit_hydra_bridge.run_file import RunFile, read_run_file
from lit_hydra_bridge.text import one_line


def foreign_row(folder: str, problems: list[str]) -> JobRow | None:
    """Return the row of a job; None where its folder says nothing. What can't be read is added to `problems`."""
    overrides: tuple[str, ...] | None = None
    number = None
    try:
        overrides = read_overrides(folder)
        number = read_number(folder)
    except ResultsError as error:
        problems.append(str(error))
    run = read_run_file(folder) or RunFile()
    training = read_training(folder, run, problems)
    outcome, reason = run.outcome_now
    started = run.started if run.started is not None else _started(folder)
    until = run.ended if run.ended is not None else time.time() if outcome == RUNNING else None
    name = os.path.basename(folder)
    if not overrides and training.overrides:
        overrides = training.overrides
    if number is None:
        number = training.number if training.number is not None else int(name) if name.isdecimal() else 0
    return JobRow(
        number=number,
        folder=Path(folder),
        overrides=overrides or (),
        outcome=outcome,
        reason=one_line(reason),
        started=started,
        ended=run.ended,
        duration_s=None if started is None or until is None else max(0.0, until - started),
        metrics=training.metrics,
        checkpoint=Path(training.best) if training.best else None,
        monitors=training.monitors,
        checkpoints=training.checkpoints,
    )


def _started(folder: str) -> float | None:
    """Return when Hydra wrote the job's config, before it ran the task."""
    for name in ("config.yaml", "overrides.yaml"):
        try:
            return os.stat(os.path.join(folder, HYDRA, name)).st_mtime
        except OSError:
            continue
    return None
