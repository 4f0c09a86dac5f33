"""The progress file of a job: the recorder's callback writes it, a sweep reads it.

Nothing is written unless a launcher asks for it, by naming the file in LIT_HYDRA_BRIDGE_PROGRESS.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, TypedDict

from lit_hydra_bridge.files import DamagedFileError, read_json, write_json
from lit_hydra_bridge.typed_data import read_as

PROGRESS: Final = "LIT_HYDRA_BRIDGE_PROGRESS"
"""Environment variable: where to write the progress of the training that runs in this process."""
LEAST_SECONDS_BETWEEN: Final = 0.5
BEST: Final = "best."
BEFORE: Final = "progress-before.json"
"""Beside the progress file: what it held at the end of the attempt from whose checkpoint this one goes on."""


class Checkpoints(TypedDict, total=False):
    """What a ModelCheckpoint has saved."""

    best: str | None
    """A path, as that of the last one."""
    last: str | None
    monitor: str | None
    """What the best one is best at."""
    mode: str | None
    score: float | None


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
    checkpoints: Checkpoints = field(default_factory=Checkpoints)
    best: dict[str, float] = field(default_factory=dict)
    """The best value of each metric that a callback monitors."""
    monitors: dict[str, str] = field(default_factory=dict)
    """What callbacks monitor: `min` or `max`, the end at which each metric is best."""
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
    """Return what the file says; None where there is none.

    Raises:
        DamagedFileError: it can't be read.
    """
    return read_json(path, lambda data: read_as(Progress, data, "the progress"))


def last_progress(path: Path) -> Progress | None:
    """Return what the file says; None where there is none that can be read."""
    with suppress(DamagedFileError):
        return read_progress(path)
    return None


def write_progress(path: str, progress: Progress) -> None:
    """Write how far a training is."""
    with suppress(OSError):  # a full disk must not end a training; the board shows an older state
        write_json(path, {**asdict(progress), "time": time.time()})
