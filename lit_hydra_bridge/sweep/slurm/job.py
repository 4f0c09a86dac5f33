"""A job at Slurm, as its launcher sees it: by the files that it writes, and by what Slurm says of it."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from lit_hydra_bridge.progress import Progress
from lit_hydra_bridge.sweep.folder import JobFolder
from lit_hydra_bridge.sweep.job import Attempt, JobState, Outcome
from lit_hydra_bridge.sweep.running import ProgressFile, in_one_line, last_printed
from lit_hydra_bridge.sweep.slurm.executor import SlurmState
from lit_hydra_bridge.sweep.slurm.folder import Submission
from lit_hydra_bridge.sweep.slurm.task import START_METHOD
from lit_hydra_bridge.sweep.worker import JobSpec

# How long a verdict is waited for that a job may have written and that a network file system does not show yet.
_FILES_S: Final = {"COMPLETED": 60.0, "FAILED": 10.0, "GONE": 10.0}
_OTHERS_S: Final = 3.0

_SAID: Final = {
    "TIMEOUT": (Outcome.TIMED_OUT, "Slurm ended it at its time limit"),
    "DEADLINE": (Outcome.TIMED_OUT, "Slurm ended it at its deadline"),
    "OUT_OF_MEMORY": (Outcome.KILLED, "out of memory: it took more than mem_gb allows it"),
    "NODE_FAIL": (Outcome.KILLED, "its node failed"),
    "BOOT_FAIL": (Outcome.KILLED, "its node did not start"),
    "LAUNCH_FAILED": (Outcome.KILLED, "its node could not launch it"),
    "PREEMPTED": (Outcome.KILLED, "it was preempted, and not queued again"),
    "REVOKED": (Outcome.KILLED, "Slurm has revoked it"),
    "CANCELLED": (Outcome.KILLED, "it was cancelled (scancel)"),
    "GONE": (Outcome.KILLED, "Slurm does not know it any more, and it has left no verdict"),
}


def submitted_job(submission: Submission, number: int, id: str) -> SlurmJob | None:
    """Return a job that an earlier launcher has submitted; None where what it wrote can't be read."""
    try:
        spec: JobSpec = pickle.loads(pickle.loads(submission.job(number).read_bytes())[0])
    except Exception:
        return None
    return SlurmJob(
        number=number,
        id=id,
        submission=submission,
        folder=JobFolder(Path(spec.folder)),
        submitted=replace(spec.state, attempts=spec.state.attempts[:-1]),
    )


@dataclass
class SlurmJob:
    """One submitted job, until it has ended for good."""

    number: int
    id: str
    """Slurm's, such as 123_4."""
    submission: Submission
    folder: JobFolder
    submitted: JobState
    """The job's state when it was submitted."""
    slurm: SlurmState = field(default_factory=lambda: SlurmState(state="SUBMITTED"))
    asked: tuple[Outcome, str] | None = None
    """Why we have cancelled it."""
    was_shown: int = 0
    """Of how many of its attempts the start was shown."""
    written: JobState | None = None
    """What job.json said last, if it is of this submission."""
    _ended_at: float | None = None
    _written_time: int = 0
    _progress: ProgressFile = field(default_factory=ProgressFile)

    @property
    def state(self) -> JobState:
        """The job's, without the attempt that runs."""
        known = self.written or self.submitted
        return replace(known, attempts=known.attempts[:-1] if self._is_of_this(known.last) else known.attempts)

    @property
    def place(self) -> str:
        """Where it runs, for people."""
        return f"{self.id} on {self.slurm.nodes}" if self.slurm.nodes else self.id

    @property
    def started(self) -> float:
        """When its attempt began, by the monotonic clock."""
        last = self.attempt
        return time.monotonic() - (time.time() - last.started if last else 0.0)

    @property
    def progress(self) -> Progress | None:
        """How far it is, by what it has written last."""
        return self._progress.read(self.folder.progress)

    @property
    def attempt(self) -> Attempt | None:
        """The newest that has begun."""
        last = (self.written or self.submitted).last
        return last if self._is_of_this(last) else None

    @property
    def runs(self) -> bool:
        """Whether an attempt has begun and not ended."""
        return self.attempt is not None and self.attempt.outcome is None

    @property
    def says_it_has_failed(self) -> bool:
        """Whether an attempt has ended, and Slurm has not said yet what it makes of that."""
        return self.attempt is not None and self.attempt.outcome is not None and not self.slurm.is_waiting

    def _is_of_this(self, attempt: Attempt | None) -> bool:
        return attempt is not None and attempt.slurm_job == self.id

    def read(self) -> None:
        """Read job.json, if it has changed."""
        with suppress(Exception):  # not there, damaged, or being replaced
            changed = self.folder.state_file.stat().st_mtime_ns
            if changed != self._written_time:
                found = self.folder.read()
                self._written_time = changed
                if found and found.sweep == self.submitted.sweep and self._is_of_this(found.last):
                    self.written = found

    def look(self, seen: SlurmState | None) -> None:
        """Take note of what Slurm says; None where it was not asked."""
        if seen is not None:
            self.slurm = seen
            self._ended_at = None if seen.is_alive else self._ended_at or time.monotonic()

    def verdict(self, write: Callable[[JobFolder, JobState], object]) -> JobState | None:
        """Return how it has ended for good, as its own file then says; None while it has not.

        What is completed is so by its own word. All else is final only when Slurm has let go of it as well, since
        Slurm may queue it again. `write` writes what the job has not.
        """
        self.read()
        if self.written and self.written.outcome is Outcome.COMPLETED:
            return self.written
        if self._ended_at is None or (self._is_unclear(self.written) and not self._has_waited()):
            return None
        return self.conclude(write)

    def conclude(self, write: Callable[[JobFolder, JobState], object] = JobFolder.write) -> JobState:
        """Return how it has ended, now that it has; `write` writes it, where the job has not."""
        self.read()
        if self.written and self.written.outcome is Outcome.COMPLETED:
            return self.written
        ended = self._ended(self.written)
        if ended != self.written:
            write(self.folder, ended)
        return ended

    def _is_unclear(self, written: JobState | None) -> bool:
        return not (written and written.outcome is Outcome.FAILED and self.slurm.state == "FAILED")

    def _has_waited(self) -> bool:
        since = time.monotonic() - (self._ended_at or 0.0)
        return since >= _FILES_S.get(self.slurm.state, _OTHERS_S)

    def _ended(self, written: JobState | None) -> JobState:
        now = time.time()
        if written is None or written.last is None:
            never = Attempt(started=now, start_method=START_METHOD, slurm_job=self.id)
            written = replace(self.submitted, attempts=(*self.submitted.attempts, never))
        attempt = written.attempts[-1]
        outcome, reason = self._outcome(attempt)
        ended = replace(attempt, outcome=outcome, reason=reason, ended=attempt.ended or now)
        state = replace(written, attempts=(*written.attempts[:-1], ended))
        return state.with_progress(self.progress)

    def _outcome(self, attempt: Attempt) -> tuple[Outcome, str]:
        has_begun = attempt.pid is not None
        if self.slurm.state == "CANCELLED" and (why := self.submission.why_ended) and self.asked is None:
            self.asked = (Outcome.INTERRUPTED, why)
        if self.asked is not None:
            return self.asked
        if self.slurm.state in _SAID and attempt.outcome in (None, Outcome.INTERRUPTED, Outcome.KILLED):
            outcome, reason = _SAID[self.slurm.state]
            where = f" ({self.slurm.nodes})" if self.slurm.nodes else ""
            saved = f"; {attempt.reason}" if attempt.reason and " saved" in attempt.reason else ""
            return outcome, f"{reason}{where}{'' if has_begun else ', before it had begun'}{saved}"
        failed = self.submission.failed_rank(self.number)
        if failed and (attempt.outcome is not Outcome.FAILED or failed[0] < (attempt.ended or 0.0)):
            return Outcome.FAILED, f"rank {failed[1]} failed: {failed[2]}"[:500]
        if attempt.outcome is Outcome.INTERRUPTED:
            return Outcome.KILLED, f"somebody has ended it ({attempt.reason})"
        if attempt.outcome is not None:
            return attempt.outcome, attempt.reason or "it failed"
        if not has_begun:
            return Outcome.FAILED, f"it could not be started{in_one_line(self.submission.early_output(self.id))}"
        return Outcome.FAILED, f"its process ended before the task returned{last_printed(self.folder.log)}"
