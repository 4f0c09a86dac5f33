"""One batch of jobs: what a sweeper hands to its launcher at a time. The loop of a sweep.

    fill     the next job that has not been completed before, once a slot is free
    wait     for a process to end, a job to ask for a rank, a signal, or a moment to pass
    settle   what has ended: its outcome, another attempt, its slot

A single thread, as a fork of it has no other: jobs are forks of one.
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

from lit_hydra_bridge.errors import SweepError
from lit_hydra_bridge.files import PATIENCE_S, may_pass
from lit_hydra_bridge.sweep import job_environment
from lit_hydra_bridge.sweep.board.board import paused
from lit_hydra_bridge.sweep.folder import JobFolder, SweepFolder
from lit_hydra_bridge.sweep.job import Attempt, JobState, Outcome
from lit_hydra_bridge.sweep.job_log import LogReader, bounded
from lit_hydra_bridge.sweep.local import Starter
from lit_hydra_bridge.sweep.plan import JobPlan, Planner
from lit_hydra_bridge.sweep.reaping import Reaper
from lit_hydra_bridge.sweep.running import Running
from lit_hydra_bridge.sweep.settings import LitLocalSettings
from lit_hydra_bridge.sweep.shown import Shown
from lit_hydra_bridge.sweep.signals import Signals
from lit_hydra_bridge.sweep.slots import SlotPool
from lit_hydra_bridge.sweep.unwritten import Unwritten
from lit_hydra_bridge.sweep.worker import JobSpec

_TICK_S: Final = 0.25
RETRIED: Final = (Outcome.FAILED, Outcome.KILLED, Outcome.TIMED_OUT)


@dataclass(kw_only=True)
class Batch:
    """The jobs of one launch."""

    jobs: Sequence[tuple[int, Sequence[str]]]
    """Number and overrides of each."""
    settings: LitLocalSettings
    folder: SweepFolder
    planner: Planner
    pool: SlotPool
    starter: Starter
    reaper: Reaper
    shown: Shown
    token: str
    masks: list[str]
    signals: Signals
    unwritten: Unwritten
    ended: dict[int, tuple[JobState, JobFolder | None]] = field(default_factory=dict)
    """By number: what each job came to, and where."""

    def __post_init__(self) -> None:
        self._waiting = deque(self.jobs)
        self._again: deque[tuple[int, Sequence[str], JobState]] = deque()
        self._next: JobPlan | None = None
        self._running: dict[int, Running] = {}
        self._stopping: tuple[Outcome, str] | None = None
        self._looked_at_logs = 0.0
        self._tries: Counter[int] = Counter()
        self._no_room_since: float | None = None

    @property
    def stopped_by(self) -> int | None:
        """The signal that has ended the sweep."""
        return self.signals.first

    def run(self) -> None:
        """Run all jobs to their end."""
        try:
            while True:
                self._fill()
                self._show()
                if not self._running and self._next is None:
                    break
                self._wait()
                self._settle()
                self._watch()
        finally:
            for running in self._running.values():
                self.starter.kill(running.pid)

    # --- fill ---------------------------------------------------------------------------------------------

    def _fill(self) -> None:
        while not self._stopping and self.pool.has_room:
            self._look_at_signals()
            plan = self._next or self._next_plan()
            if plan is None or self._stopping:
                return
            slot = self.pool.take(plan.devices)
            self._next = plan if slot is None else None
            if slot is None:
                return
            try:
                self._start(plan, slot)
                self._no_room_since = None
            except (OSError, SweepError) as error:  # no folder, no more processes: this job's failure, not the sweep's
                self.pool.give_back(slot)
                if self._waits_for_room(plan, error):
                    return
                self._give_up(plan.state, error, plan.folder)

    def _waits_for_room(self, plan: JobPlan, error: Exception) -> bool:
        """Tell whether a job that can't be started now is to be started later: else all would fail on a full disk."""
        if not may_pass(error):
            return False
        now = time.monotonic()
        if self._no_room_since is None:
            self._no_room_since = now
            self.shown.say(f"Job {plan.state.number} can't be started now: {error}; it is tried again.")
        waits = now - self._no_room_since < PATIENCE_S
        self._next = plan if waits else None
        return waits

    def _next_plan(self) -> JobPlan | None:
        """Plan the next job that has to be run; those that were completed before are skipped."""
        while self._again or self._waiting:
            if self._again:
                number, overrides, state = self._again.popleft()
            else:
                number, overrides = self._waiting.popleft()
                state = None
                if (done := self.planner.completed_before(number)) and done.state:
                    self.ended[number] = (done.state, done.folder)
                    self.shown.skipped(done)
                    self._show()
                    if self._stopping:
                        return None
                    continue
            try:
                plan = self.planner.plan(number, overrides, state)
                self.pool.check(plan.devices)
                return plan
            except (OSError, SweepError) as error:
                self._give_up(state or JobState(number=number, sweep="", overrides=tuple(overrides)), error)
        return None

    def _give_up(self, state: JobState, error: Exception, folder: JobFolder | None = None) -> None:
        """A job that can't even be started has failed."""
        now = time.time()
        reason = f"it could not be started: {error}"
        attempt = Attempt(started=now, ended=now, outcome=Outcome.FAILED, reason=reason)
        state = replace(state, attempts=(*state.attempts, attempt))
        if folder is not None and folder.state_file.exists():
            self.unwritten.write_state(folder, state)
        self._finish(state, None)

    def _start(self, plan: JobPlan, slot: Any) -> None:
        number = plan.state.number
        attempt = Attempt(
            started=time.time(), slot=slot, start_method=self.starter.name, resumed_from=plan.resumed_from
        )
        token = f"{self.token}:{number}:{len(plan.state.attempts) + 1};"
        state = replace(plan.state, attempts=(*plan.state.attempts, attempt))
        plan.folder.write(state)  # without room for this the job would come to nothing
        self.unwritten.forget(plan.folder.state_file)
        frozen = str(self.folder.frozen_config(number))
        changes = job_environment.changes(
            os.environ,
            slot,
            masks=self.masks,
            token=token,
            progress=str(plan.folder.progress),
            frozen_config=frozen,
            strip_slurm=self.settings.strip_slurm,
        )
        spec = JobSpec(
            state=state,
            folder=str(plan.folder.path),
            argv=plan.argv,
            environment=changes,
            frozen_config=frozen,
        )
        mine, its = socket.socketpair()
        with its, paused(self.shown.board):
            pid = self.starter.start(spec, plan.config, its, token)
        self.reaper.watch(pid)
        mine.setblocking(False)
        running = Running(plan=replace(plan, config=None), attempt=attempt, pid=pid, line=mine)
        if self.settings.output == "tee":
            size = plan.folder.log.stat().st_size if plan.folder.log.exists() and plan.state.attempts else 0
            running.reader = LogReader(plan.folder.log, size)
        self._running[pid] = running
        self._tries[number] += 1
        self.shown.started(running)

    # --- wait ---------------------------------------------------------------------------------------------

    def _wait(self) -> None:
        lines = [running.line for running in self._running.values() if running.line.fileno() >= 0]
        sources: list[Any] = [*self.starter.descriptors(), *lines, self.signals]
        waits = [wait for wait in (self.starter.wait_s(), _TICK_S) if wait is not None]
        poller = select.poll()
        for source in sources:
            poller.register(source, select.POLLIN)
        poller.poll(1000 * min(waits))

    def _settle(self) -> None:
        for running in list(self._running.values()):
            if running.line.fileno() >= 0:
                for message in running.messages():
                    self._answer(running, message)
        for ended in self.starter.ended():
            if ended.is_first:
                running = self._running.pop(ended.pid)
                if ended.reason and running.asked is None:
                    running.asked = (Outcome.KILLED, ended.reason)
                self._end(running, ended.status)
            else:
                self._rank_ended(ended.pid, ended.status)
            self.reaper.forget(ended.pid)

    def _answer(self, running: Running, message: dict[str, Any]) -> None:
        if "rank_failed" in message:
            running.note_failed_rank(*map(int, message["rank_failed"]))
        if "rank" in message:
            request = message["rank"]
            rank = {
                **request,
                "log": str(running.plan.folder.log),
                "config": str(self.folder.frozen_config(running.number)),
            }
            token = f"{self.token}:{running.number}:{len(running.plan.state.attempts) + 1};"
            with paused(self.shown.board):
                pid = self.starter.start_rank(running.pid, rank, token)
            if pid is not None:
                self.reaper.watch(pid)
                running.ranks[pid] = int(request["env"].get("LOCAL_RANK", 0))
            running.tell({"pid": pid})

    def _rank_ended(self, pid: int, status: int) -> None:
        for running in self._running.values():
            if pid in running.ranks:
                if status:
                    running.note_failed_rank(running.ranks[pid], status)
                running.tell({"ended": pid, "status": status})

    def _end(self, running: Running, status: int) -> None:
        running.close()
        state = running.verdict(status, self.unwritten.write_state)
        self.pool.give_back(running.attempt.slot)
        with suppress(OSError):
            self.folder.frozen_config(running.number).unlink()
        self._bound_log(running)
        self._tee(running, all_of_it=True)
        for pid in running.ranks:
            self.reaper.forget(pid)
        tries = self._tries[state.number]
        if state.outcome in RETRIED and tries <= int(self.settings.max_retries) and not self._stopping:
            self._again.append((state.number, state.overrides, state))
            self.shown.retrying(state, running.plan.folder, tries + 1, int(self.settings.max_retries) + 1)
        else:
            self._finish(state, running.plan.folder)

    def _finish(self, state: JobState, folder: JobFolder | None) -> None:
        self.ended[state.number] = (state, folder)
        self.shown.ended(state, folder)
        if state.outcome is not Outcome.COMPLETED and self.settings.on_failure == "stop" and not self._stopping:
            self._stop(f"job {state.number} {state.outcome.value if state.outcome else ''}, and on_failure=stop")

    # --- watch --------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        now = time.monotonic()
        self._look_at_signals()
        self.unwritten.try_again()
        for running in self._running.values():
            limit = self.settings.timeout_min
            if running.asked is None and limit is not None and now - running.started > 60 * limit:
                self._ask(running, Outcome.TIMED_OUT, f"it ran longer than hydra.launcher.timeout_min={limit:g}")
            if running.kill_at is not None and now >= running.kill_at:
                self.starter.kill(running.pid)
        if now - self._looked_at_logs > 1.0:
            self._looked_at_logs = now
            for running in self._running.values():
                self._bound_log(running)
        for running in self._running.values():
            self._tee(running)

    def _bound_log(self, running: Running) -> None:
        bounded(running.plan.folder.log, int(self.settings.log_limit_mib * (1 << 20)))

    def _tee(self, running: Running, *, all_of_it: bool = False) -> None:
        if running.reader is not None:
            for line in running.reader.new_lines(all_of_it=all_of_it):
                self.shown.output(running.number, line)

    def _look_at_signals(self) -> None:
        count, name = self.signals.seen(), self.signals.name
        if count and self._stopping is None:
            self._stop(f"the launcher got {name}")
        if count > 1:
            for running in self._running.values():
                running.kill_at = 0.0

    def _stop(self, reason: str) -> None:
        self._stopping = (Outcome.INTERRUPTED, reason)
        self._next = None
        for running in self._running.values():
            if running.asked is None:
                self._ask(running, Outcome.INTERRUPTED, reason)
        left = f"{self.settings.grace_s:g} s"
        self.shown.say(f"Stopping: {reason}. {len(self._running)} jobs have {left} to end by themselves.")

    def _ask(self, running: Running, outcome: Outcome, reason: str) -> None:
        running.asked = (outcome, reason)
        running.kill_at = time.monotonic() + float(self.settings.grace_s)
        self.starter.ask(running.pid)

    def _show(self) -> None:
        self._look_at_signals()
        waiting = len(self._waiting) + len(self._again) + (self._next is not None)
        self.shown.update(list(self._running.values()), waiting, self._stopping[1] if self._stopping else "")
