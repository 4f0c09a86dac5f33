"""A job that runs, as its launcher sees it; and what its end means."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from lit_hydra_bridge.files import DamagedFileError, opened
from lit_hydra_bridge.progress import Progress, read_progress
from lit_hydra_bridge.sweep.folder import JobFolder
from lit_hydra_bridge.sweep.job import Attempt, JobState, Outcome
from lit_hydra_bridge.sweep.job_log import LogReader
from lit_hydra_bridge.sweep.plan import JobPlan
from lit_hydra_bridge.sweep.private import shown_text

_TAIL_LINES: Final = 5
_TAIL_BYTES: Final = 4096
# The line after the last frame of a traceback.
_EXCEPTION: Final = re.compile(r'^  File "[^\n]+", line \d+(?:, in [^\n]+)?\n(?:  [^\n]*\n)*(\S)', re.MULTILINE)


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
    failed_rank: str | None = None
    """How the first further rank failed that did."""
    reader: LogReader | None = None
    """Of its log, where that is shown."""
    said: JobState | None = None
    """How it ended, where the job could not write that itself."""
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
        *lines, self._rest = (self._rest + self._received()).split(b"\n")
        for line in lines:
            with suppress(ValueError):
                message = json.loads(line)
                if "verdict" in message:
                    self.said = JobState.from_dict(message["verdict"])
                else:
                    yield message

    def _received(self) -> bytes:
        chunks = []
        try:
            while chunk := self.line.recv(1 << 20):
                chunks.append(chunk)
            self.line.close()
        except BlockingIOError:
            pass
        except OSError:
            self.line.close()
        return b"".join(chunks)

    def tell(self, message: dict[str, Any]) -> None:
        """Send something to the job."""
        with suppress(OSError):  # it is gone
            self.line.sendall(json.dumps(message).encode() + b"\n")

    def close(self) -> None:
        """End the connection with a job that has ended."""
        if self.line.fileno() >= 0:
            list(self.messages())
        self.line.close()

    def note_failed_rank(self, rank: int, status: int) -> None:
        """One of its ranks has failed; Lightning ends the others because of it, and they print as well."""
        if self.failed_rank is None:
            self.failed_rank = f"rank {rank} {ended_with(status)}{self._tail()}"

    def verdict(self, status: int, write: Callable[[JobFolder, JobState], object]) -> JobState:
        """Return the job's state now that all of its processes are gone.

        What the job itself has said counts; what it could not say is concluded from how its process ended.

        Args:
            status: how it ended.
            write: writes the state.
        """
        state = self.said or self._written()
        attempt = state.attempts[-1]
        if attempt.outcome is Outcome.COMPLETED:
            if self.said is not None:
                write(self.plan.folder, state)
            return state
        outcome, reason = self._outcome(attempt, status)
        ended = replace(attempt, pid=self.pid, outcome=outcome, reason=reason, ended=attempt.ended or time.time())
        state = replace(state, attempts=(*state.attempts[:-1], ended))
        state = state.with_progress(self.progress)
        write(self.plan.folder, state)
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
            return Outcome.FAILED, self.failed_rank
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
        with suppress(OSError, DamagedFileError):
            changed = path.stat().st_mtime_ns
            if changed != self._time:
                self._time = changed
                self._read = read_progress(path)
        return self._read


def last_printed(log: Path) -> str:
    """Return the last lines that a job has printed, in one."""
    try:
        with opened(log) as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            return in_one_line(file.read().decode("utf-8", "replace"))
    except OSError:
        return ""


def in_one_line(text: str) -> str:
    """Return the last lines of a text in one, as evidence; those of a traceback before its exception say less."""
    text = shown_text(text)
    lines = [line for line in text.splitlines() if line.strip()]
    raised = list(_EXCEPTION.finditer(text))
    after = [line for line in text[raised[-1].start(1) :].splitlines() if line.strip()] if raised else lines
    kept = " / ".join(line.strip()[:200] for line in (after if len(after) < _TAIL_LINES else lines)[-_TAIL_LINES:])
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
