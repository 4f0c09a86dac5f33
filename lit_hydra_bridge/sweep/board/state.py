"""What a board shows: one moment of a sweep, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lit_hydra_bridge.progress import Progress
from lit_hydra_bridge.sweep.job import Outcome


@dataclass(frozen=True, kw_only=True)
class RunningRow:
    """A job that runs."""

    number: int
    overrides: str
    """Those that vary in the sweep, in one line."""
    slot: str
    seconds: float
    """Since the attempt began."""
    attempt: int = 1
    state: str = "running"
    """running, or why it is about to end: `asked to end`, `ending`."""
    progress: Progress | None = None


@dataclass(frozen=True, kw_only=True)
class EndedRow:
    """A job that has ended, for the last time."""

    number: int
    overrides: str
    outcome: Outcome
    seconds: float
    attempts: int = 1
    return_value: Any = None
    """A number, where the task returned one; else what is there for people as text, or None."""
    reason: str | None = None
    log: str = ""
    """The path of the job's log."""
    folder: str = ""
    checkpoint: str | None = None
    """The best one, else the last."""
    metrics: dict[str, float] = field(default_factory=dict)
    monitors: dict[str, str] = field(default_factory=dict)
    """What callbacks monitor: `min` or `max`, the end at which each metric is best."""
    skipped: bool = False
    """It had completed in an earlier launch, and was not run again."""
    differs: str = ""
    """What has changed since it was run: `config`, `code`, or both."""

    @property
    def value(self) -> float | None:
        """What the task returned, if it completed and that is a number."""
        value = self.return_value
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return value if is_number and self.outcome is Outcome.COMPLETED else None


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """One moment of a sweep."""

    folder: str
    total: int
    completed: int = 0
    """With those that an earlier launch has completed."""
    skipped: int = 0
    """Of the completed ones, those that an earlier launch has completed."""
    failed: int = 0
    """Failed, killed or timed out, for the last time."""
    interrupted: int = 0
    waiting: int = 0
    elapsed_s: float = 0.0
    remaining_s: float | None = None
    """An estimate for the whole; None: too early to tell."""
    running: Sequence[RunningRow] = ()
    failures: Sequence[EndedRow] = ()
    notice: str = ""
    """What the sweep is doing besides: `stopping: jobs may finish their step, 12 s left`."""
