"""One batch of jobs at Slurm. The loop of a sweep whose jobs run elsewhere, and go on without it.

    take up   jobs that an earlier launcher has submitted, and that Slurm still knows
    submit    the others that have not been completed before, as one job array
    wait      for a signal, or a moment to pass
    settle    what has ended: its outcome, another submission

Files are looked at all the time, since the jobs themselves write them; Slurm is asked now and then.
"""

from __future__ import annotations

import pickle
import select
import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from lit_hydra_bridge.errors import SweepError
from lit_hydra_bridge.files import patiently, write_file
from lit_hydra_bridge.sweep.batch import RETRIED
from lit_hydra_bridge.sweep.changes import CONFIG, named
from lit_hydra_bridge.sweep.folder import JobFolder, SweepFolder
from lit_hydra_bridge.sweep.fresh import pack_job
from lit_hydra_bridge.sweep.frozen_config import pin_random_nodes
from lit_hydra_bridge.sweep.index import IndexedJob
from lit_hydra_bridge.sweep.job import Attempt, JobState, Outcome
from lit_hydra_bridge.sweep.plan import JobPlan, Planner
from lit_hydra_bridge.sweep.program import Program, pack
from lit_hydra_bridge.sweep.sameness import job_key
from lit_hydra_bridge.sweep.shown import Shown
from lit_hydra_bridge.sweep.signals import Signals
from lit_hydra_bridge.sweep.slurm import executor
from lit_hydra_bridge.sweep.slurm.folder import Submission, SubmittedJob, new_submission, submissions
from lit_hydra_bridge.sweep.slurm.job import SlurmJob, submitted_job
from lit_hydra_bridge.sweep.slurm.settings import LitSlurmSettings
from lit_hydra_bridge.sweep.slurm.task import START_METHOD
from lit_hydra_bridge.sweep.unwritten import Unwritten
from lit_hydra_bridge.sweep.worker import JobSpec

_TICK_S: Final = 0.5
_TICK_PER_JOB_S: Final = 0.01
"""Files of many jobs on a network file system are looked at less often."""
_SOON_S: Final = 1.0
"""After how many seconds Slurm is asked of a job whose file says that it has failed."""


@dataclass(kw_only=True)
class SlurmBatch:
    """The jobs of one launch."""

    jobs: Sequence[tuple[int, Sequence[str]]]
    """Number and overrides of each."""
    settings: LitSlurmSettings
    program: Program
    folder: SweepFolder
    planner: Planner
    shown: Shown
    signals: Signals
    unwritten: Unwritten
    ended: dict[int, tuple[JobState, JobFolder | None]] = field(default_factory=dict)
    """By number: what each job came to, and where."""

    def __post_init__(self) -> None:
        self._alive: dict[int, SlurmJob] = {}
        self._again: list[tuple[int, Sequence[str], JobState]] = []
        self._tries: Counter[int] = Counter()
        self._stopping = ""
        self._asked_slurm = time.monotonic()
        self._silence = ""

    @property
    def stopped_by(self) -> int | None:
        """The signal that has ended the launcher."""
        return self.signals.first

    @property
    def left_alone(self) -> list[SlurmJob]:
        """The jobs that go on by themselves."""
        return list(self._alive.values())

    def run(self) -> None:
        """Run all jobs to their end, or leave them when a signal comes.

        Raises:
            SweepError: Slurm refuses them, or does not answer at the start.
        """
        self._take_up()
        taken = {job.number for job in self.left_alone}
        self._submit([(number, overrides, None) for number, overrides in self.jobs if number not in taken])
        while self._alive and not self.signals.seen():
            self._show()
            self._wait()
            self._look()
            self._settle()
            self.unwritten.try_again()
            if self._again and not self._stopping:
                again, self._again = self._again, []
                self._submit_again(again)
        self._show()

    # --- take up ------------------------------------------------------------------------------------------

    def _take_up(self) -> None:
        """Find what earlier launchers have submitted; each job belongs to the newest submission that has it."""
        if not self.settings.resume:
            return
        overrides_of = {number: tuple(overrides) for number, overrides in self.jobs}
        keys = {number: job_key(overrides) for number, overrides in self.jobs}
        found: dict[int, tuple[Submission, str]] = {}
        for submission in submissions(self.folder):
            for job in executor.jobs_of(submission):
                if job.id and keys.get(job.number) == job_key(job.overrides):
                    found[job.number] = (submission, job.id)
        open_ones = [(number, *each) for number, each in found.items() if not self.planner.completed_before(number)]
        states = executor.look(id for _, _, id in open_ones)
        for number, submission, id in open_ones:
            earlier = submitted_job(submission, number, id)
            if earlier is None:  # damaged; it is run again
                continue
            earlier.look(states[id])
            earlier.read()
            if earlier.slurm.is_alive:
                self._alive[number] = earlier
            elif earlier.attempt is None or earlier.attempt.outcome is None:
                earlier.conclude(self.unwritten.write_state)  # it ended while nobody looked
        if self._alive:
            self.shown.say(f"{len(self._alive)} jobs that were submitted before are taken up.")
        self._mark_changed(overrides_of)

    def _mark_changed(self, overrides_of: Mapping[int, Sequence[str]]) -> None:
        """A job at Slurm keeps the config that it was submitted with."""
        for number, job in self._alive.items():
            if self.planner.has_other_config(job.submitted, overrides_of[number]):
                self.shown.differs[number] = CONFIG
                overrides = tuple(overrides_of[number])
                place = str(job.folder.path)
                self.folder.note([IndexedJob(number=number, overrides=overrides, folder=place, differs=CONFIG)])
        if changed := sorted(self.shown.differs.keys() & self._alive.keys()):
            self.shown.say(
                f"The config has changed since {named(changed)} began to wait at Slurm. They keep the "
                f"old one; to submit them anew, cancel them: lit-hydra resume {self.folder.path} --cancel"
            )

    # --- submit -------------------------------------------------------------------------------------------

    def _submit(self, jobs: Sequence[tuple[int, Sequence[str], JobState | None]]) -> None:
        """Submit what has not been completed before."""
        plans = [plan for plan in (self._plan(*job) for job in jobs) if plan is not None]
        size = executor.most_in_array() if plans else 1
        packed = pickle.dumps(pack(self.program)) if plans else b""
        for start in range(0, len(plans), size):
            self._submit_array(plans[start : start + size], packed)

    def _submit_again(self, jobs: Sequence[tuple[int, Sequence[str], JobState]]) -> None:
        try:
            self._submit(jobs)
        except SweepError as error:  # the others go on
            for _, _, state in jobs:
                if state.number not in self._alive:
                    self._give_up(state, error)

    def _plan(self, number: int, overrides: Sequence[str], state: JobState | None) -> JobPlan | None:
        if state is None and (done := self.planner.completed_before(number)) and done.state:
            self.ended[number] = (done.state, done.folder)
            self.shown.skipped(done)
            return None
        try:
            return self.planner.plan(number, overrides, state)
        except (OSError, SweepError) as error:
            self._give_up(state or JobState(number=number, sweep="", overrides=tuple(overrides)), error)
            return None

    def _give_up(self, state: JobState, error: Exception) -> None:
        """A job that can't even be submitted has failed."""
        now = time.time()
        reason = f"it could not be submitted: {error}"
        attempt = Attempt(started=now, ended=now, outcome=Outcome.FAILED, reason=reason)
        self._finish(replace(state, attempts=(*state.attempts, attempt)), None)

    def _submit_array(self, plans: Sequence[JobPlan], program: bytes) -> None:
        named = [SubmittedJob(number=plan.state.number, overrides=plan.state.overrides) for plan in plans]
        try:
            submission = patiently(lambda: self._packed_array(named, plans, program))
        except OSError as error:  # these jobs' failure: others may be at work
            for plan in plans:
                self._give_up(plan.state, error)
            return
        try:
            ids = executor.submit(submission, self.settings)
        except SweepError:
            shutil.rmtree(submission.path, ignore_errors=True)
            raise
        self.unwritten.write(submission.path / "jobs.json", lambda: submission.name_jobs(ids))
        for plan, id in zip(plans, ids, strict=True):
            self._tries[plan.state.number] += 1
            self._alive[plan.state.number] = SlurmJob(
                number=plan.state.number, id=id, submission=submission, folder=plan.folder, submitted=plan.state
            )
        array = ids[0].partition("_")[0]
        self.shown.say(f"{len(ids)} job{'s' if len(ids) != 1 else ''} submitted to Slurm as {array}.")

    def _packed_array(self, named: list[SubmittedJob], plans: Sequence[JobPlan], program: bytes) -> Submission:
        submission = new_submission(self.folder, named)
        try:
            write_file(submission.program, program, private=True)
            for plan in plans:
                write_file(submission.job(plan.state.number), _packed(plan), private=True)
        except OSError:
            shutil.rmtree(submission.path, ignore_errors=True)
            raise
        return submission

    # --- wait ---------------------------------------------------------------------------------------------

    def _wait(self) -> None:
        poller = select.poll()
        poller.register(self.signals, select.POLLIN)
        running = sum(job.runs for job in self.left_alone)
        poller.poll(1000 * max(_TICK_S, _TICK_PER_JOB_S * running))

    def _look(self) -> None:
        """Ask Slurm, if it is time."""
        now = time.monotonic()
        says_failed = any(job.says_it_has_failed for job in self.left_alone)
        pause = min(_SOON_S, self.settings.poll_s) if says_failed else self.settings.poll_s
        if now - self._asked_slurm < pause:
            return
        self._asked_slurm = now
        try:
            states = executor.look(job.id for job in self.left_alone)
        except executor.SlurmSilentError as error:
            if not self._silence:
                self.shown.say(f"{error}. Jobs go on by themselves; it is asked again.")
            self._silence = str(error)
            return
        if self._silence:
            self.shown.say("Slurm answers again.")
        self._silence = ""
        for job in self.left_alone:
            job.look(states[job.id])

    # --- settle -------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        for job in self.left_alone:
            if job.slurm.is_waiting:  # nothing to read
                continue
            ended = job.verdict(self.unwritten.write_state)
            count = len(job.state.attempts) + (job.attempt is not None)
            if job.runs and count > job.was_shown:
                job.was_shown = count
                self.shown.started(job)
            if ended:
                del self._alive[job.number]
                self._end(job, ended)

    def _end(self, job: SlurmJob, state: JobState) -> None:
        if state.outcome is Outcome.COMPLETED:
            job.submission.tidy(job.number, job.id)
        tries = self._tries[job.number]
        if state.outcome in RETRIED and tries <= int(self.settings.max_retries) and not self._stopping:
            self._again.append((state.number, state.overrides, state))
            self.shown.retrying(state, job.folder, tries + 1, int(self.settings.max_retries) + 1)
        else:
            self._finish(state, job.folder)

    def _finish(self, state: JobState, folder: JobFolder | None) -> None:
        self.ended[state.number] = (state, folder)
        self.shown.ended(state, folder)
        if state.outcome is not Outcome.COMPLETED and self.settings.on_failure == "stop" and not self._stopping:
            self._stop(f"job {state.number} {state.outcome.value if state.outcome else ''}, and on_failure=stop")

    def _stop(self, reason: str) -> None:
        """Cancel all."""
        self._stopping = reason
        self.shown.say(f"Stopping: {reason}. {len(self._alive)} jobs are cancelled.")
        for job in self.left_alone:
            job.asked = (Outcome.INTERRUPTED, reason)
        try:
            executor.cancel(job.id for job in self.left_alone)
        except executor.SlurmSilentError as error:
            self.shown.say(f"They could not be cancelled: {error}")

    def _show(self) -> None:
        running = [job for job in self.left_alone if job.runs]
        waiting = [job for job in self.left_alone if not job.runs]
        notice = self._stopping or self._silence or _why_waiting(waiting)
        self.shown.update(running, len(waiting) + len(self._again), notice)


def _packed(plan: JobPlan) -> bytes:
    """Pack a job. What would differ each time that it is asked for is settled now, for all ranks and attempts."""
    pin_random_nodes(plan.config)
    attempt = Attempt(started=time.time(), start_method=START_METHOD, resumed_from=plan.resumed_from)
    spec = JobSpec(
        state=replace(plan.state, attempts=(*plan.state.attempts, attempt)),
        folder=str(plan.folder.path),
        argv=plan.argv,
    )
    return pack_job(spec, plan.config)


def _why_waiting(jobs: Sequence[SlurmJob]) -> str:
    """Return what Slurm says of those that wait, if it says so of all that it has a reason for."""
    reasons = Counter(job.slurm.reason for job in jobs if job.slurm.is_waiting and job.slurm.reason)
    usual = {"JobArrayTaskLimit", "Resources", "Priority", "None", "BeginTime"}
    return ", ".join(f"{count} wait at Slurm: {reason}" for reason, count in reasons.items() if reason not in usual)
