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
    checkpoints: dict[str, Any] = field(default_factory=dict)
    """best, last: paths; monitor, mode, score."""
    time: float = 0.0
    """Seconds since the epoch."""


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
