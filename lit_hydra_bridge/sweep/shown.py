"""What has happened in a sweep, counted and put into words for its board."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from lit_hydra_bridge.progress import Progress
from lit_hydra_bridge.record.redaction import process_redactor
from lit_hydra_bridge.sweep.board.board import Board
from lit_hydra_bridge.sweep.board.state import EndedRow, RunningRow, Snapshot
from lit_hydra_bridge.sweep.earlier import EarlierJob
from lit_hydra_bridge.sweep.folder import JobFolder
from lit_hydra_bridge.sweep.job import JobState, Outcome
from lit_hydra_bridge.sweep.private import shown_text


class Watched(Protocol):
    """A job that runs, whoever runs it."""

    @property
    def state(self) -> JobState:
        """With the attempts before this one."""

    @property
    def place(self) -> str:
        """Where it runs, for people."""

    @property
    def started(self) -> float:
        """By the monotonic clock."""

    @property
    def asked(self) -> tuple[Outcome, str] | None:
        """Why it was asked to end."""

    @property
    def progress(self) -> Progress | None:
        """How far it is."""


@dataclass
class Shown:
    """Counts over all batches of a sweep; hands the board what it shows.

    Args:
        board: the one that shows it.
        folder: the sweep's.
        given: the multirun's own overrides; what every job of a batch has of them is not worth showing.
    """

    board: Board
    folder: Path
    given: Sequence[str] = ()
    rows: list[EndedRow] = field(default_factory=list)
    """Every job that has ended."""
    differs: dict[int, str] = field(default_factory=dict)
    """By number, of jobs that were made with what has changed since; see `IndexedJob`."""

    def __post_init__(self) -> None:
        self._begun = time.monotonic()
        self._common: set[str] = set()
        self._launched = 0
        self._jobs_at_a_time = 1
        self._skipped = 0
        self._counts = dict.fromkeys(Outcome, 0)
        self._busy_s = 0.0
        self._failures: list[EndedRow] = []

    def begin(self, jobs: Sequence[tuple[int, Sequence[str]]], jobs_at_a_time: int) -> None:
        """Another batch begins."""
        self._launched += len(jobs)
        self._jobs_at_a_time = max(1, jobs_at_a_time)
        self._common = _constant(_common(overrides for _, overrides in jobs), self.given)
        self.board.start()

    def end(self) -> None:
        """The batch has ended."""
        self.board.stop()

    def started(self, running: Watched) -> None:
        """A job's process has begun."""
        self.board.started(self._running_row(running))

    def retrying(self, state: JobState, folder: JobFolder, attempt: int, attempts: int) -> None:
        """An attempt has ended, and another one will follow."""
        self.board.retrying(self._ended_row(state, folder), attempt, attempts)

    def skipped(self, job: EarlierJob) -> None:
        """A job had been completed before."""
        row = self.earlier_row(job)
        self._skipped += 1
        self._counts[Outcome.COMPLETED] += 1
        self.rows.append(row)
        self.board.skipped(row)

    def earlier_row(self, job: EarlierJob) -> EndedRow:
        """Return the row of a job that an earlier launch has completed."""
        assert job.state is not None
        self.differs[job.number] = job.differs
        return self._ended_row(job.state, job.folder, skipped=True)

    def ended(self, state: JobState, folder: JobFolder | None) -> None:
        """A job has ended for the last time."""
        row = self._ended_row(state, folder)
        outcome = state.outcome or Outcome.INTERRUPTED
        self._counts[outcome] += 1
        self._busy_s += row.seconds
        self.rows.append(row)
        if outcome not in (Outcome.COMPLETED, Outcome.INTERRUPTED):
            self._failures.append(row)
        self.board.ended(row)

    def update(self, running: Sequence[Watched], waiting: int, stopping: str) -> None:
        """Show this moment, if it is time."""
        self.board.update(self._snapshot(running, waiting, stopping))

    def say(self, text: str) -> None:
        """Tell a person something."""
        self.board.say(text)

    def output(self, number: int, line: str) -> None:
        """Show a line that a job has printed."""
        self.board.output(number, line)

    def _snapshot(self, running: Sequence[Watched], waiting: int, stopping: str) -> Snapshot:
        counts = self._counts
        return Snapshot(
            folder=str(self.folder),
            total=self._launched,
            completed=counts[Outcome.COMPLETED],
            skipped=self._skipped,
            failed=counts[Outcome.FAILED] + counts[Outcome.KILLED] + counts[Outcome.TIMED_OUT],
            interrupted=counts[Outcome.INTERRUPTED],
            waiting=waiting,
            elapsed_s=time.monotonic() - self._begun,
            remaining_s=None if stopping else self._remaining_s(running, waiting),
            running=LazyRows(lambda: [self._running_row(each) for each in running], len(running)),
            failures=self._failures,
            notice=stopping,
        )

    def _remaining_s(self, running: Sequence[Watched], waiting: int) -> float | None:
        """Every job takes what those that have ended took; those that run have a part of it behind them."""
        ended = len(self.rows) - self._skipped
        if not ended or not (running or waiting):
            return None
        mean = self._busy_s / ended
        now = time.monotonic()
        left = sum(max(0.0, mean - (now - each.started)) for each in running)
        return (waiting * mean + left) / min(self._jobs_at_a_time, max(1, waiting + len(running)))

    def _running_row(self, running: Watched) -> RunningRow:
        return RunningRow(
            number=running.state.number,
            overrides=self._varying(running.state.overrides),
            slot=running.place,
            seconds=time.monotonic() - running.started,
            attempt=len(running.state.attempts) + 1,
            state="asked to end" if running.asked else "running",
            progress=running.progress,
        )

    def _ended_row(self, state: JobState, folder: JobFolder | None, *, skipped: bool = False) -> EndedRow:
        attempt = state.last
        seconds = (attempt.ended or attempt.started) - attempt.started if attempt else 0.0
        value = state.return_value if isinstance(state.return_value, int | float) else state.return_value_text
        if value is None and state.return_value is not None:
            value = str(state.return_value)
        best = state.checkpoints.get("best") or state.checkpoints.get("last")
        return EndedRow(
            number=state.number,
            overrides=self._varying(state.overrides),
            outcome=state.outcome or Outcome.INTERRUPTED,
            seconds=seconds,
            attempts=len(state.attempts),
            return_value=shown_text(value) if isinstance(value, str) else value,
            reason=shown_text(attempt.reason) if attempt and attempt.reason else None,
            log=str(folder.log) if folder else "",
            folder=str(folder.path) if folder else "",
            checkpoint=str(best) if best else None,
            metrics=state.metrics,
            monitors=state.monitors,
            skipped=skipped,
            differs=self.differs.get(state.number, ""),
        )

    def _varying(self, overrides: Sequence[str]) -> str:
        redactor = process_redactor()
        return " ".join(redactor.override(text) for text in overrides if text not in self._common)


class LazyRows(Sequence[Any]):
    """Rows that are made when the board looks, which it does not do each time that it is told."""

    def __init__(self, make: Callable[[], list[Any]], count: int) -> None:
        self._make, self._count = make, count
        self._made: list[Any] | None = None

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        if self._made is None:
            self._made = self._make()
        return self._made[index]


def _common(all_overrides: Iterable[Sequence[str]]) -> set[str]:
    """Return what every job of several is given alike."""
    common: set[str] | None = None
    count = 0
    for overrides in all_overrides:
        count += 1
        common = set(overrides) if common is None else common & set(overrides)
    return common or set() if count > 1 else set()


def _constant(texts: set[str], given: Sequence[str]) -> set[str]:
    """Return those of the texts that say what the multirun was given; sweepers write `test=false` as `test=False`."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parser = OverridesParser.create()

    def read(text: str) -> Any:
        try:
            override = parser.parse_override(text)
        except Exception:  # it is for the sweeper to say
            return text
        return (
            None
            if override.is_sweep_override()
            else (override.get_key_element(), None if override.is_delete() else override.value())
        )

    constants = [read(text) for text in given]
    return {text for text in texts if read(text) in constants}
