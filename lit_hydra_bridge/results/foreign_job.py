"""A job of somebody else's launcher, or a single run -> its row, from what Hydra and Lightning leave in its folder."""

from __future__ import annotations

import os
from pathlib import Path

from lit_hydra_bridge.errors import ResultsError
from lit_hydra_bridge.results.hydra_folder import HYDRA, read_number, read_overrides
from lit_hydra_bridge.results.row import JobRow
from lit_hydra_bridge.results.training_files import read_training


def foreign_row(folder: str, problems: list[str]) -> JobRow | None:
    """Return the row of a job; None where its folder says nothing. What can't be read is added to `problems`."""
    overrides: tuple[str, ...] | None = None
    number = None
    try:
        overrides = read_overrides(folder)
        number = read_number(folder)
    except ResultsError as error:
        problems.append(str(error))
    training = read_training(folder, problems)
    name = os.path.basename(folder)
    if not overrides and training.overrides:
        overrides = training.overrides
    if number is None:
        number = training.number if training.number is not None else int(name) if name.isdecimal() else 0
    return JobRow(
        number=number,
        folder=Path(folder),
        overrides=overrides or (),
        started=_started(folder),
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
