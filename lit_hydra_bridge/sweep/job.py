"""A job of a sweep, its attempts and how they ended: plain data, as it stands in job.json."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Final

from lit_hydra_bridge.progress import Checkpoints, Progress
from lit_hydra_bridge.typed_data import Seconds, WrongDataError, read_as

FORMAT: Final = 1


class Outcome(str, Enum):
    """How an attempt at a job ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    """The task raised, or the process ended by itself before the task returned."""
    KILLED = "killed"
    """A signal ended the process, and it was not ours."""
    TIMED_OUT = "timed out"
    INTERRUPTED = "interrupted"
    """The sweep was asked to end, or its launcher died."""


@dataclass(frozen=True, kw_only=True)
class Slot:
    """What one job holds while it runs."""

    devices: tuple[str, ...] = ()
    """Accelerator ids, as they stand in CUDA_VISIBLE_DEVICES."""
    share: float = 1.0
    """The part of its one device that the job may use; below 1 it is shared."""
    threads: int = 1

    def __str__(self) -> str:
        share = f" ({self.share:g})" if self.share < 1 else ""
        devices = f"gpu {','.join(self.devices)}{share}, " if self.devices else ""
        return f"{devices}{self.threads} thread{'s' if self.threads != 1 else ''}"


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One start of a job's process."""

    started: Seconds
    """Seconds since the epoch."""
    ended: Seconds | None = None
    outcome: Outcome | None = None
    """None: it runs, or died together with its launcher."""
    reason: str | None = None
    """One line of evidence: the exception, the signal's name, the time limit."""
    traceback: str | None = None
    pid: int | None = None
    host: str | None = None
    slot: Slot = Slot()
    start_method: str | None = None
    """fork, forkserver, spawn or slurm."""
    slurm_job: str | None = None
    """Slurm's id of it, as squeue shows it; the attempts at one that was queued again have the same."""
    seeded: dict[str, str] = field(default_factory=dict)
    """For random, numpy and torch: `afresh`, or `by the app` whose state was kept."""
    resumed_from: str | None = None
    """The checkpoint that the attempt went on from."""


@dataclass(frozen=True, kw_only=True)
class JobState:
    """All that job.json says of one job."""

    number: int
    sweep: str
    """The sweep's id."""
    overrides: tuple[str, ...]
    attempts: tuple[Attempt, ...] = ()
    config: str | None = None
    """`sameness.config_id` of its config."""
    code: str | None = None
    """`code.Code.id` of the app when it was launched."""
    working_dir: str | None = None
    return_value: Any = None
    """As JSON can hold it; of anything else the number that it is, or None, and `return_value_pickle` has it."""
    return_value_pickle: str | None = None
    """cloudpickle in base64."""
    return_value_text: str | None = None
    """For people: the repr of what JSON can't hold, cut."""
    error_pickle: str | None = None
    """Hydra's JobReturn with the exception that the task raised, pickled, in base64; None where it can't be."""
    metrics: dict[str, float] = field(default_factory=dict)
    """The last value of each; the best value of a monitored `val_acc` is called `best.val_acc`."""
    monitors: dict[str, str] = field(default_factory=dict)
    """What callbacks monitor: `min` or `max`, the end at which each metric is best."""
    checkpoints: Checkpoints = field(default_factory=Checkpoints)

    def with_progress(self, progress: Progress | None) -> JobState:
        """Return the state with what the job's training has said last."""
        if progress is None:
            return self
        return replace(self, metrics=progress.results, monitors=progress.monitors, checkpoints=progress.checkpoints)

    @property
    def last(self) -> Attempt | None:
        """The newest attempt."""
        return self.attempts[-1] if self.attempts else None

    @property
    def outcome(self) -> Outcome | None:
        """How the newest attempt ended; None where none has."""
        return self.last.outcome if self.last else None

    def to_dict(self) -> dict[str, Any]:
        """Return what job.json holds."""
        return {
            "format": FORMAT,
            "number": self.number,
            "sweep": self.sweep,
            "overrides": list(self.overrides),
            "config": self.config,
            "code": self.code,
            "outcome": self.outcome.value if self.outcome else None,
            "return_value": self.return_value,
            "return_value_pickle": self.return_value_pickle,
            "return_value_text": self.return_value_text,
            "error_pickle": self.error_pickle,
            "working_dir": self.working_dir,
            "metrics": self.metrics,
            "monitors": self.monitors,
            "checkpoints": self.checkpoints,
            "attempts": [_attempt_dict(attempt) for attempt in self.attempts],
        }

    @classmethod
    def from_dict(cls, data: Any) -> JobState:
        """Read what `to_dict` gave.

        Raises:
            WrongDataError: it is not a job's state, or that of a later version.
        """
        return read_as(cls, of_known_format(data), "the job")


def of_known_format(data: Any) -> Any:
    """Return data if this version knows its format.

    Raises:
        WrongDataError: a later version wrote it.
    """
    number = data.get("format", FORMAT) if isinstance(data, dict) else FORMAT
    if type(number) is not int:
        raise WrongDataError("its format is not a number")
    if number > FORMAT:
        raise WrongDataError(f"a newer lit-hydra-bridge wrote it, in format {number}: upgrade")
    return data


def _attempt_dict(attempt: Attempt) -> dict[str, Any]:
    slot = attempt.slot
    return {
        **vars(attempt),
        "outcome": attempt.outcome.value if attempt.outcome else None,
        "slot": {"devices": list(slot.devices), "share": slot.share, "threads": slot.threads},
    }
