"""A job that runs, as its launcher sees it; and what its end means."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from lit_hydra_bridge.progress import Progress, read_progress
from lit_hydra_bridge.sweep.job import Attempt, JobState, Outcome
from lit_hydra_bridge.sweep.job_log import LogReader
from lit_hydra_bridge.sweep.plan import JobPlan

_TAIL_LINES: Final = 5
_TAIL_BYTES: Final = 4096


@dataclass
class Running:
    """One attempt at a job, from its start to its end."""

    plan: JobPlan
    attempt: Attempt
    pid: int
    line: socket.socket
    """The launcher's end of the connection with the job."""
    started: float = field(default_factory=time.monotonic)
    asked: tuple[Outcome, str] | None = None
    """Why it was asked to end."""
    kill_at: float | None = None
    ranks: dict[int, int] = field(default_factory=dict)
    """pid of each further rank that was started for it -> its LOCAL_RANK."""
    failed_rank: tuple[int, int] | None = None
    """LOCAL_RANK and exit status of the first further rank that failed."""
    reader: LogReader | None = None
    """Of its log, where that is shown."""
    _rest: bytes = b""
    _progress: ProgressFile = field(default_factory=lambda: ProgressFile())

    @property
    def number(self) -> int:
        """The job's."""
        return self.plan.state.number

    @property
    def state(self) -> JobState:
        """The job's, with the attempts before this one."""
        return self.plan.state

    @property
    def place(self) -> str:
        """Where it runs, for people."""
        return str(self.attempt.slot)

    @property
    def progress(self) -> Progress | None:
        """How far the job is, by what it has written last."""
        return self._progress.read(self.plan.folder.progress)

    def messages(self) -> Iterator[dict[str, Any]]:
        """Give what the job has sent; ends the connection where the job has."""
        try:
            data = self.line.recv(1 << 20)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.line.close()
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            with suppress(ValueError):
                yield json.loads(line)

    def tell(self, message: dict[str, Any]) -> None:
        """Send something to the job."""
        with suppress(OSError):  # it is gone
            self.line.sendall(json.dumps(message).encode() + b"\n")

    def verdict(self, status: int) -> JobState:
        """Return the job's state now that all of its processes are gone.

        What the job itself has written counts; what it could not write is concluded from how its process ended.
        """
        state = self._written()
        attempt = state.attempts[-1]
        if attempt.outcome is Outcome.COMPLETED:
            return state
        outcome, reason = self._outcome(attempt, status)
        ended = replace(attempt, pid=self.pid, outcome=outcome, reason=reason, ended=attempt.ended or time.time())
        state = replace(state, attempts=(*state.attempts[:-1], ended))
        if progress := self.progress:
            state = replace(state, metrics=progress.metrics, checkpoints=progress.checkpoints)
        self.plan.folder.write(state)
        return state

    def _written(self) -> JobState:
        started = replace(self.plan.state, attempts=(*self.plan.state.attempts, self.attempt))
        with suppress(Exception):  # damaged by the job itself, or never written
            found = self.plan.folder.read()
            if found and found.sweep == started.sweep and found.attempts[-1].started == self.attempt.started:
                return found
        return started

    def _outcome(self, attempt: Attempt, status: int) -> tuple[Outcome, str]:
        if self.asked is not None:
            return self.asked
        if self.failed_rank is not None:
            return Outcome.FAILED, f"rank {self.failed_rank[0]} {ended_with(self.failed_rank[1])}{self._tail()}"
        if attempt.outcome is Outcome.FAILED:
            return Outcome.FAILED, attempt.reason or "it failed"
        if attempt.outcome is Outcome.INTERRUPTED and attempt.reason == KeyboardInterrupt.__name__:
            return Outcome.FAILED, "KeyboardInterrupt: the task raised it, or somebody has sent it SIGINT"
        if attempt.outcome is Outcome.INTERRUPTED:  # by a signal that was not ours
            return Outcome.KILLED, "somebody has sent it SIGTERM"
        if status < 0:
            hint = " (out of memory?)" if status == -signal.SIGKILL else ""
            return Outcome.KILLED, f"{ended_with(status)}{hint}{self._tail()}"
        return Outcome.FAILED, f"its process {ended_with(status)} before the task returned{self._tail()}"

    def _tail(self) -> str:
        return last_printed(self.plan.folder.log)


@dataclass
class ProgressFile:
    """A job's progress file, read when it has changed."""

    _read: Progress | None = None
    _time: int = 0

    def read(self, path: Path) -> Progress | None:
        """Return what it says."""
        with suppress(OSError):
            changed = path.stat().st_mtime_ns
            if changed != self._time:
                self._time, self._read = changed, read_progress(path)
        return self._read


def last_printed(log: Path) -> str:
    """Return the last lines that a job has printed, in one."""
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            return in_one_line(file.read().decode("utf-8", "replace"))
    except OSError:
        return ""


def in_one_line(text: str) -> str:
    """Return the last lines of a text in one, as evidence."""
    lines = text.strip().splitlines()[-_TAIL_LINES:]
    kept = " / ".join(line.strip()[:200] for line in lines if line.strip())
    return f"; it last printed: {kept}" if kept else "; it has printed nothing"


def ended_with(status: int) -> str:
    """Return in words how a process ended: its exit code, or the signal."""
    if status >= 0:
        return f"ended with exit code {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"was ended by {name}"
