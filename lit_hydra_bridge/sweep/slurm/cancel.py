"""Ends what a sweep has at Slurm, whether or not its launcher is there."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from lit_hydra_bridge.errors import SweepError, SweepFolderError
from lit_hydra_bridge.sweep.folder import SweepFolder
from lit_hydra_bridge.sweep.slurm import executor
from lit_hydra_bridge.sweep.slurm.folder import Submission, submissions
from lit_hydra_bridge.sweep.slurm.job import SlurmJob, submitted_job

_REASON: Final = "lit-hydra resume --cancel"
_MOST_WAITED_S: Final = 120.0
_PAUSE_S: Final = 0.5


def cancel_sweep(folder: SweepFolder, say: Callable[[str], object]) -> int:
    """Cancel all jobs of a sweep that Slurm still has; return how many.

    Args:
        folder: the sweep's.
        say: is told what takes longer.

    Raises:
        SweepError: it has none at Slurm, or Slurm does not answer.
    """
    if not submissions(folder):
        raise SweepFolderError(
            f"{folder.path}: it has submitted nothing to Slurm; a sweep on this machine ends with its launcher"
        )
    executor.check_here()
    jobs = _alive(folder)
    if not jobs:
        return 0
    for path in {job.submission.path for job in jobs}:
        Submission(path).note_end(_REASON)
    executor.cancel(job.id for job in jobs)
    say(f"Waiting for {len(jobs)} jobs to end.")
    left = _wait(jobs)
    _conclude(folder, [job for job in jobs if job not in left])
    if left:
        raise SweepError(f"{len(left)} of {len(jobs)} jobs have not ended yet: {', '.join(job.id for job in left[:5])}")
    return len(jobs)


def refuse_if_alive(folder: SweepFolder) -> None:
    """See that another launcher's jobs would not meet those that a sweep has at Slurm.

    Raises:
        SweepFolderError: some of them wait or run.
    """
    try:
        jobs = _alive(folder) if submissions(folder) else []
    except SweepError:  # no Slurm here, or it does not answer: who moves a sweep to another machine knows
        return
    if jobs:
        raise SweepFolderError(
            f"hydra.sweep.dir={folder.path}: {len(jobs)} of its jobs wait or run at Slurm; go on there, or end "
            "them with lit-hydra resume --cancel"
        )


def _alive(folder: SweepFolder) -> list[SlurmJob]:
    """Return the jobs that wait or run."""
    known = [(each, job) for each in submissions(folder) for job in executor.jobs_of(each) if job.id]
    states = executor.look(str(job.id) for _, job in known)
    alive = [submitted_job(each, job.number, str(job.id)) for each, job in known if states[str(job.id)].is_alive]
    return [job for job in alive if job is not None]


def _wait(jobs: list[SlurmJob]) -> list[SlurmJob]:
    """Wait until Slurm has let go of them; return those of which it has not."""
    deadline = time.monotonic() + _MOST_WAITED_S
    while True:
        states = executor.look(job.id for job in jobs)
        for job in jobs:
            job.look(states[job.id])
        left = [job for job in jobs if job.slurm.is_alive]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(_PAUSE_S)


def _conclude(folder: SweepFolder, jobs: list[SlurmJob]) -> None:
    """Write how they ended, unless a launcher is there to do so."""
    try:
        folder.lock(wait_s=0.0)
    except SweepFolderError:
        return
    try:
        for job in jobs:
            job.conclude()
    finally:
        folder.unlock()
