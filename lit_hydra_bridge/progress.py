"""The progress file of a job: the recorder's callback writes it, a sweep reads it.

Nothing is written unless a launcher asks for it, by naming the file in LIT_HYDRA_BRIDGE_PROGRESS.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, TypedDict

from lit_hydra_bridge.files import read_json, write_json
from lit_hydra_bridge.typed_data import read_as

PROGRESS: Final = "LIT_HYDRA_BRIDGE_PROGRESS"
"""Environment variable: where to write the progress of the training that runs in this process."""
LEAST_SECONDS_BETWEEN: Final = 0.5


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
    checkpoints: Checkpoints = field(default_factory=Checkpoints)
    time: float = 0.0
    """Seconds since the epoch."""


def read_progress(path: Path) -> Progress | None:
    """Return what the file says; None where there is none.

    Raises:
        DamagedFileError: it can't be read.
    """
    return read_json(path, lambda data: read_as(Progress, data, "the progress"))


def write_progress(path: str, progress: Progress) -> None:
    """Write how far a training is."""
    with suppress(OSError):  # a full disk must not end a training; the board shows an older state
        write_json(path, {**asdict(progress), "time": time.time()})
