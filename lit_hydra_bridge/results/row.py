"""A job of a sweep as its folder shows it: plain data, whichever launcher has run it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lit_hydra_bridge.errors import ResultsError
from lit_hydra_bridge.text import shortened

if TYPE_CHECKING:
    from omegaconf import DictConfig

Scalar = str | float | int | bool | None

COMPLETED: Final = "completed"
RUNNING: Final = "running"
INTERRUPTED: Final = "interrupted"
UNKNOWN: Final = "unknown"
"""Nothing says how it ended: no Trainer was made, or it began on another machine, or nothing was recorded."""

_MOST_SHOWN: Final = 4


@dataclass(frozen=True, kw_only=True)
class JobAttempt:
    """One start of a job's process."""

    started: float
    """Seconds since the epoch."""
    ended: float | None = None
    outcome: str = UNKNOWN
    """completed, failed, killed, timed out, interrupted or running."""
    reason: str = ""
    devices: tuple[str, ...] = ()
    threads: int | None = None
    host: str | None = None
    resumed_from: str | None = None
    """The checkpoint that it went on from."""

    def duration_s(self, now: float | None = None) -> float | None:
        """Return how long it took; of a running one, up to `now`."""
        end = self.ended if self.ended is not None else now if self.outcome == RUNNING else None
        return None if end is None else max(0.0, end - self.started)


@dataclass(frozen=True, kw_only=True)
class JobRow:
    """One job of a sweep, or a single run."""

    number: int
    """Hydra's job number; 0 for a single run."""
    folder: Path
    overrides: tuple[str, ...] = ()
    """All that the job was given, as text."""
    varying: Mapping[str, Scalar] = field(default_factory=dict)
    """Those that vary in the sweep, by key; None where this job has none, or null."""
    outcome: str = UNKNOWN
    """completed, failed, killed, timed out, interrupted, running, or unknown."""
    attempts: tuple[JobAttempt, ...] = ()
    """Of launchers that keep count of them."""
    started: float | None = None
    """Seconds since the epoch, of the first attempt."""
    ended: float | None = None
    duration_s: float | None = None
    """What its attempts took in all; of a running one, up to when the folder was read."""
    return_value: Any = None
    """What the task returned, as JSON can hold it; of anything else its text."""
    value: float | None = None
    """What the task returned, if it is a number."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """The last value of each; the best value of a monitored `val_acc` is called `best.val_acc`."""
    monitors: Mapping[str, str] = field(default_factory=dict)
    """What callbacks monitor: `min` or `max`, the end at which each metric is best."""
    checkpoint: Path | None = None
    """The best one, else the last one."""
    checkpoints: Mapping[str, Any] = field(default_factory=dict)
    """`best`, `last`: paths; `monitor`, `mode`, `score`: what the best one is best at."""
    reason: str = ""
    """Why it did not complete, in one line."""
    differs: str = ""
    """What has changed since it was run, by the sweep's last launch, which has kept it: `config`, `code`, or both."""

    def __repr__(self) -> str:
        metrics = (f"{name}={value:.4g}" for name, value in islice(self.metrics.items(), _MOST_SHOWN))
        given = self.varying or self.overrides
        values = (f"{key}={value}" for key, value in given.items()) if isinstance(given, Mapping) else iter(given)
        parts = [f"#{self.number}", self.outcome, *islice(values, _MOST_SHOWN), *metrics]
        return shortened(f"<JobRow {' '.join(parts)}>")

    def config(self, resolve: bool = False) -> DictConfig:
        """Return the job's config, as its checkpoint's record has it; without one, as Hydra has saved it.

        Args:
            resolve: False keeps the interpolations.

        Raises:
            ResultsError: the folder has neither.
        """
        from lit_hydra_bridge.results.hydra_folder import saved_config

        return saved_config(self.folder, self.checkpoint, resolve)

    def load_model(self, **overrides: Any) -> Any:
        """Return the LightningModule of the job's best checkpoint; see `lit_hydra_bridge.load_model`.

        Raises:
            ResultsError: there is no checkpoint.
        """
        if self.checkpoint is None:
            raise ResultsError(f"job {self.number} has no checkpoint in {self.folder}")
        from lit_hydra_bridge.reload.model.load import load_model

        return load_model(self.checkpoint, **overrides)
