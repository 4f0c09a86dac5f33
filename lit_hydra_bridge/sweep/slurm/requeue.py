"""A Slurm job is told to make room: it saves, ends, is queued again, and goes on from what it saved.

    SIGUSR2   its time limit is near, or it is preempted   -> save, end, and submitit queues it again
    SIGTERM   it is cancelled, or being killed             -> save, if there is time, and end

Who does what: submitit installs its handler before it calls us, and calls `scontrol requeue` in it; it counts time
limits against max_num_timeout. Ours stands in front and postpones that until the training has saved between two
batches, all its callbacks have ended, and job.json is written. Lightning sees that its signal is taken, and leaves its
own auto-requeue alone. requeue_lightning.py has the saving.
"""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from lit_hydra_bridge.sweep.folder import JobFolder
from lit_hydra_bridge.sweep.job import Outcome
from lit_hydra_bridge.sweep.program import Program
from lit_hydra_bridge.sweep.verdict import AskedToEnd
from lit_hydra_bridge.trusted import named_trusted, naming

_SPARE_S: Final = 15.0
"""Before Slurm kills it, a job that has found no moment to save is queued again nevertheless."""
_MOST_WAITED_S: Final = 60.0
_TRIES: Final = 5


class Stopped(AskedToEnd):
    """The training ends here, as Slurm wants its place."""

    def __init__(self, reason: str) -> None:
        super().__init__(1)
        self.reason = reason


class Signals:
    """What Slurm has asked of this process.

    Args:
        folder: the job's.
        delay_s: seconds from the signal to the time limit.
        is_first: whether it is the first of the job's tasks; it queues the job again.
    """

    def __init__(self, folder: Path, *, delay_s: float = 90.0, is_first: bool = True) -> None:
        self._folder = JobFolder(folder)
        self._delay_s, self.is_first = delay_s, is_first
        self._pid = os.getpid()
        self._began = time.monotonic()
        self._queue_again: Callable[[int, Any], None] | None = None
        self.usual: int = signal.SIGUSR2
        """The signal by which Slurm asks: submitit's."""
        self.asked: int | None = None
        """The signal that has come."""
        self.stopped: Stopped | None = None
        """Why the training was stopped, once it was."""

    def install(self) -> None:
        """Take the signals, from submitit too, and have Lightning save for them."""
        from submitit import JobEnvironment

        from lit_hydra_bridge.sweep.slurm import requeue_lightning

        self.usual = int(JobEnvironment._usr_sig())
        before = signal.getsignal(self.usual)
        self._queue_again = before if callable(before) else None
        for number in {self.usual, int(signal.SIGUSR1)}:
            signal.signal(number, self._on_user_signal)
        signal.signal(signal.SIGTERM, self._on_sigterm)
        requeue_lightning.install(self, self._folder.path)

    def guarded(self, program: Program) -> Program:
        """Return the program with a task that can't complete by catching what stops it."""
        task = program.task_function

        @functools.wraps(task)
        def run(config: Any) -> Any:
            value = task(config)
            if self.stopped is not None:
                raise self.stopped
            return value

        return replace(program, task_function=run)

    def stop(self, what: str) -> Stopped:
        """Return what is to be raised, now that `what` was done."""
        name = signal.Signals(self.asked).name if self.asked is not None else "nobody"
        self.stopped = Stopped(f"Slurm asked by {name} after {time.monotonic() - self._began:.0f} s; {what}")
        return self.stopped

    def settle(self, code: int) -> int:
        """After the job's end: queue it again where that was asked; return the exit code."""
        if self.stopped is None:
            return code
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is how Slurm ends what it queues again
        if not self.is_first:  # the first of the tasks ends us all; to end before it would look like a failure
            time.sleep(_MOST_WAITED_S)
            return 1
        if self.asked == signal.SIGTERM and not _is_preempted():
            return 1
        return self._queued_again(self.usual, self._queue_again) if self._queue_again is not None else 1

    def _queued_again(self, number: int, queue: Callable[[int, Any], None]) -> int:
        from submitit.core.utils import UncompletedJobError

        for attempt in range(_TRIES):
            try:
                queue(number, None)
            except UncompletedJobError as error:  # too many time limits
                self._end(Outcome.TIMED_OUT, f"{self._reason()}; {str(error).rstrip('.')}")
                return 1
            except SystemExit:  # submitit's way to end a job that is queued again
                return 1
            except Exception as error:  # the controller may be restarting
                print(f"lit-hydra-bridge: it can't be queued again ({error})", file=sys.stderr, flush=True)
                time.sleep(min(2.0**attempt, 10.0))
        self._end(Outcome.KILLED, f"{self._reason()}; Slurm could not queue it again")
        return 1

    def _reason(self) -> str:
        return str(self.stopped.reason) if self.stopped else ""

    def _end(self, outcome: Outcome, reason: str) -> None:
        """Write another verdict than the worker has written."""
        with suppress(Exception):
            state = self._folder.read()
            if state is not None and state.last is not None:
                last = replace(state.last, outcome=outcome, reason=reason)
                self._folder.write(replace(state, attempts=(*state.attempts[:-1], last)))

    def _on_user_signal(self, number: int, frame: Any) -> None:
        if os.getpid() != self._pid:  # a worker of a data loader, to which Slurm sends it as well
            return
        if self.stopped is None and self._is_late:
            raise self.stop("there was no moment to save before the time limit")
        if self.asked is None:
            self.asked = number
            self._asked_at = time.monotonic()
            print(f"lit-hydra-bridge: Slurm sent {signal.Signals(number).name}; saving", file=sys.stderr, flush=True)
            timer = threading.Timer(self._patience_s, os.kill, (self._pid, number))
            timer.daemon = True
            timer.start()

    @property
    def _patience_s(self) -> float:
        return max(self._delay_s - _SPARE_S, self._delay_s / 2)

    @property
    def _is_late(self) -> bool:
        return self.asked is not None and time.monotonic() - self._asked_at >= self._patience_s - 0.1

    def _on_sigterm(self, number: int, frame: Any) -> None:
        if os.getpid() != self._pid:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        if self.asked is None:
            self.asked = number
        caller = sys._getframe(1)
        if "signal_connector" in str(caller.f_globals.get("__name__")) and self.stopped is None:
            return  # a training: it saves after the step
        raise AskedToEnd(128 + number)


def _is_preempted() -> bool:
    """Tell whether SIGTERM was the beginning of a preemption's grace time: a job that ends then is not queued again."""
    command = ["scontrol", "show", "job", "--oneliner", os.environ.get("SLURM_JOB_ID", "")]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL).stdout
    except (OSError, subprocess.SubprocessError):
        return False
    facts = dict(word.partition("=")[::2] for word in said.split())
    return facts.get("JobState") == "RUNNING" and facts.get("PreemptTime", "None") not in ("None", "N/A", "Unknown")


def trust(checkpoint: Path) -> None:
    """Let this process load its own job's checkpoint whole."""
    os.environ.update(naming([*named_trusted(), str(checkpoint)]))
