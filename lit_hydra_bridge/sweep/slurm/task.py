"""What runs in a Slurm job: submitit calls it in each task, and it runs the worker as any job's process does.

With several tasks each is a rank of one job. They have one config and one folder; the first of them writes job.json.
"""

from __future__ import annotations

import os
import pickle
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from lit_hydra_bridge.sweep import fresh, job_environment, machine, worker
from lit_hydra_bridge.sweep.checkpoints import continue_from, newest_checkpoint, to_go_on_from
from lit_hydra_bridge.sweep.folder import JobFolder
from lit_hydra_bridge.sweep.frozen_config import as_rank
from lit_hydra_bridge.sweep.job import Attempt, JobState, Outcome, Slot
from lit_hydra_bridge.sweep.program import Program, loads
from lit_hydra_bridge.sweep.seeding import RandomState
from lit_hydra_bridge.sweep.slurm import hpc_checkpoint, requeue
from lit_hydra_bridge.sweep.slurm.folder import Submission, newest_submission_of

START_METHOD: Final = "slurm"
_JOB_ID: Final = "hydra.job.id="


@dataclass(frozen=True)
class SlurmTask:
    """A job, as submitit holds it; the work itself lies in the submission's folder."""

    submission: str
    number: int
    signal_delay_s: float
    """From Slurm's signal to the time limit."""

    def __call__(self) -> None:
        """Run the job in this process.

        Raises:
            SystemExit: it has not completed.
        """
        import logging

        logging.getLogger("submitit").setLevel(logging.ERROR)
        if code := _run(Submission(Path(self.submission)), self.number, self.signal_delay_s):
            sys.exit(code)

    def checkpoint(self) -> Any:
        """For submitit, which queues the job again: the same once more, since what was saved is found by itself."""
        from submitit.core.utils import DelayedSubmission

        return DelayedSubmission(self)


def slurm_id() -> str:
    """Return this Slurm job's id as people see it: `123_4` in an array."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ["SLURM_JOB_ID"]


def _run(submission: Submission, number: int, delay_s: float) -> int:
    packed_spec, packed_config = pickle.loads(submission.job(number).read_bytes())
    if newest_submission_of(submission, number) != submission:
        print(f"job {number} was submitted again since, and this one has nothing to do", file=sys.stderr)
        return 0
    spec: worker.JobSpec = pickle.loads(packed_spec)
    rank = int(os.environ.get("SLURM_PROCID", "0"))
    if rank:
        return _run_rank(spec, packed_config, submission, rank, delay_s)
    submission.forget_ranks(number)
    signals = requeue.Signals(Path(spec.folder), delay_s=delay_s)
    spec = _begun(spec)
    worker.enter(spec)
    signals.install()
    seeded = RandomState().apply()
    program = submission.program.read_bytes()

    def load() -> tuple[Program, Any]:
        return signals.guarded(fresh.unpacked(program, seeded)), _config(packed_config, spec)

    code = worker.run(spec, load, seeded)
    return signals.settle(code)


def _begun(spec: worker.JobSpec) -> worker.JobSpec:
    """Return what the worker is told: the attempts up to now, and the one that begins."""
    folder = Path(spec.folder)
    id = slurm_id()
    slot = Slot(devices=tuple(machine.visible_devices(os.environ)), threads=_threads())
    again = _attempts_at_this(spec, id)
    attempt = replace(spec.state.attempts[-1], started=time.time(), slot=slot, slurm_job=id)
    earlier = again or spec.state.attempts[:-1]
    if not earlier:  # what lies there is of another job
        hpc_checkpoint.remove(folder)
    elif saved := _saved(folder, earlier, is_again=bool(again)):
        requeue.trust(saved)
        attempt = replace(attempt, resumed_from=str(saved))
    state = replace(spec.state, attempts=(*earlier, attempt))
    argv = [text for text in spec.argv if not text.startswith(_JOB_ID)]
    return replace(
        spec, state=state, argv=[*argv, f'{_JOB_ID}"{id}"'], environment=_environment(state, slot, spec.folder)
    )


def _saved(folder: Path, attempts: Sequence[Attempt], *, is_again: bool) -> Path | None:
    """Return the checkpoint that Lightning goes on from by itself, or that the config's `ckpt_path` is to name."""
    newest, saved = newest_checkpoint(folder), hpc_checkpoint.saved_in(folder)
    if saved is not None and (is_again or saved == newest):
        return saved
    hpc_checkpoint.remove(folder)  # the job has gone on since, in an attempt that did not save at its end
    return to_go_on_from(folder, attempts) if is_again else None


def _attempts_at_this(spec: worker.JobSpec, id: str) -> tuple[Attempt, ...]:
    """Return the attempts at this very Slurm job, which was queued again; nothing where it has not begun before."""
    try:
        there = JobFolder(Path(spec.folder)).read()
    except Exception:  # damaged; what is known from the submission must do
        return ()
    if there is None or there.sweep != spec.state.sweep or there.last is None or there.last.slurm_job != id:
        return ()
    last = there.last
    if last.outcome is None:
        last = replace(last, ended=time.time(), outcome=Outcome.KILLED, reason="Slurm ended it and queued it again")
    return (*there.attempts[:-1], last)


def _environment(state: JobState, slot: Slot, folder: str) -> dict[str, str | None]:
    return job_environment.changes(
        os.environ,
        slot,
        masks=[],
        token=f"{state.sweep}:{state.number}:{len(state.attempts)};",
        progress=str(JobFolder(Path(folder)).progress),
        frozen_config="",
    )


def _threads() -> int:
    """What the user's own environment says; else what Slurm gives a task."""
    own = job_environment.own_threads(os.environ)
    given = os.environ.get("SLURM_CPUS_PER_TASK", "")
    if own or given.isdigit():
        return own or max(1, int(given))
    tasks = os.environ.get("SLURM_NTASKS_PER_NODE", "1")
    return max(1, machine.usable_cores() // max(1, int(tasks) if tasks.isdigit() else 1))


def _config(packed: bytes, spec: worker.JobSpec) -> Any:
    """Return the job's config, in which Slurm's id is the job's."""
    from omegaconf import open_dict, read_write

    config = loads(packed)
    checkpoint = spec.state.attempts[-1].resumed_from
    if checkpoint and hpc_checkpoint.saved_in(Path(spec.folder)) is None:
        continue_from(config, Path(checkpoint))
    with read_write(config), open_dict(config):
        config.hydra.job.id = slurm_id()
    return config


def _run_rank(spec: worker.JobSpec, packed_config: bytes, submission: Submission, rank: int, delay_s: float) -> int:
    """Run a further rank. What it prints goes to the job's log, on the first node; each other one has a log of its own.

    Appending to one file from two machines loses lines on a network file system.
    """
    folder = JobFolder(Path(spec.folder))
    node = os.environ.get("SLURM_NODEID", "0")
    folder.path.mkdir(parents=True, exist_ok=True)
    slot = Slot(threads=_threads())
    request = {
        "log": str(folder.log if node == "0" else folder.path / f"job-node{node}.log"),
        "env": _applied(_environment(spec.state, slot, spec.folder)),
        "cwd": os.getcwd(),
        "argv": [*(text for text in spec.argv if not text.startswith(_JOB_ID)), f'{_JOB_ID}"{slurm_id()}"'],
    }
    worker.enter_rank(request)
    signals = requeue.Signals(folder.path, delay_s=delay_s, is_first=False)
    signals.install()
    seeded = RandomState().apply()
    program = submission.program.read_bytes()

    def tell(error: BaseException) -> None:
        submission.note_failed_rank(spec.state.number, rank, f"{type(error).__name__}: {error}")

    return signals.settle(
        worker.run_as_rank(
            lambda: signals.guarded(fresh.unpacked(program, seeded)),
            lambda: as_rank(_config(packed_config, spec), rank),
            tell=tell,
        )
    )


def _applied(changes: dict[str, str | None]) -> dict[str, str]:
    """Return this process's environment with changes."""
    kept = {name: value for name, value in os.environ.items() if name not in changes}
    return {**kept, **{name: value for name, value in changes.items() if value is not None}}
