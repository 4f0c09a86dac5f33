"""The progress file of a job: the recorder's callback writes it, a sweep reads it.

Nothing is written unless a launcher asks for it, by naming the file in LIT_HYDRA_BRIDGE_PROGRESS.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

PROGRESS: Final = "LIT_HYDRA_BRIDGE_PROGRESS"
"""Environment variable: where to write the progress of the training that runs in this process."""
LEAST_SECONDS_BETWEEN: Final = 0.5
BEST: Final = "best."
BEFORE: Final = "progress-before.json"
"""Beside the progress file: what it held at the end of the attempt from whose checkpoint this one goes on."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a training is."""

    stage: str = ""
    """train, validate, test, predict; empty before any."""
    epoch: int = 0
    max_epochs: int | None = None
    """None: no limit is known."""
    step: int = 0
    """Batches done in this epoch."""
    steps: int | None = None
    """Batches in an epoch."""
    global_step: int = 0
    max_steps: int | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    """The last value of each, of all Trainers of the task up to now."""
    best: dict[str, float] = field(default_factory=dict)
    """The best value of each metric that a callback monitors."""
    monitors: dict[str, str] = field(default_factory=dict)
    """What callbacks monitor: `min` or `max`, the end at which each metric is best."""
    checkpoints: dict[str, Any] = field(default_factory=dict)
    """best, last: paths; monitor, mode, score."""
    fits: int = 0
    """How many trainings have begun."""
    fit: dict[str, Any] = field(default_factory=dict)
    """The last of them, once it has ended: `global_step`, `metrics`, and whether it `trained` at all."""
    time: float = 0.0
    """Seconds since the epoch."""

    @property
    def results(self) -> dict[str, float]:
        """All metrics, what is monitored first; the best value of `val_acc` is called `best.val_acc`."""
        first: dict[str, float] = {}
        for name, value in self.best.items():
            first |= {name: self.metrics[name]} if name in self.metrics else {}
            first[BEST + name] = value
        return first | self.metrics


def read_progress(path: Path) -> Progress | None:
    """Return what the file says; None where there is none that can be read."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        known: Mapping[str, Any] = {key: data[key] for key in Progress.__dataclass_fields__ if key in data}
        return Progress(**known)
    except (OSError, ValueError, TypeError):
        return None


def write_progress(path: str, progress: Progress) -> None:
    """Write beside and rename, so that no reader sees half a file."""
    text = json.dumps({**asdict(progress), "time": time.time()})
    beside = f"{path}.{os.getpid()}.tmp"
    try:
        with open(beside, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(beside, path)
    except OSError:  # a full disk must not end a training; the board shows an older state
        pass
