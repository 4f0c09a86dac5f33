"""Slurm as an executor: jobs are submitted through submitit, and watched and cancelled by Slurm's own commands.

submitit's own watcher asks sacct, which needs Slurm's accounting database; squeue is there on every cluster. It knows a
job until some minutes after its end. What has ended longer ago is asked of sacct, should there be one.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any, Final

from lit_hydra_bridge.errors import SweepError
from lit_hydra_bridge.sweep.job_environment import allocation_names
from lit_hydra_bridge.sweep.slurm.folder import Submission, SubmittedJob
from lit_hydra_bridge.sweep.slurm.settings import COMMON, OURS, LitSlurmSettings
from lit_hydra_bridge.sweep.slurm.task import SlurmTask

_ANSWER_S: Final = 60.0
_MOST_IDS: Final = 200
"""In one command line."""
_MOST_IN_ARRAY: Final = 1000
"""Slurm's default MaxArraySize is one more."""

_WAITING: Final = {
    "PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD",
}  # fmt: skip
_RUNNING: Final = {"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING"}


class SlurmSilentError(SweepError):
    """Slurm does not answer now; its controller may be restarting."""


@dataclass(frozen=True, kw_only=True)
class SlurmState:
    """What Slurm says of a job."""

    state: str
    """Its word, such as PENDING or OUT_OF_MEMORY; GONE where it does not know the job any more."""
    nodes: str = ""
    reason: str = ""
    """Why it waits."""

    @property
    def is_waiting(self) -> bool:
        return self.state in _WAITING

    @property
    def is_running(self) -> bool:
        return self.state in _RUNNING

    @property
    def is_alive(self) -> bool:
        return self.is_waiting or self.is_running


GONE: Final = SlurmState(state="GONE")


def check_here() -> None:
    """See that there is a Slurm to submit to.

    Raises:
        SweepError: there is none, or submitit is not installed.
    """
    try:
        import submitit  # noqa: F401
    except ImportError:
        raise SweepError(
            'hydra/launcher=lit_slurm needs submitit, which is not installed: pip install "lit-hydra-bridge[slurm]"'
        ) from None
    if missing := [name for name in ("sbatch", "squeue", "srun") if shutil.which(name) is None]:
        raise SweepError(
            f"hydra/launcher=lit_slurm: there is no {missing[0]} here. Run this on a login node of a Slurm cluster; on "
            "a machine without Slurm take hydra/launcher=lit_local"
        )


def submit(submission: Submission, settings: LitSlurmSettings) -> list[str]:
    """Submit the jobs of a submission, as one job array; return Slurm's id of each.

    Raises:
        SweepError: Slurm refuses them; the message has its own words.
    """
    import submitit
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    executor = submitit.AutoExecutor(
        folder=submission.path, cluster="slurm", slurm_max_num_timeout=settings.max_num_timeout
    )
    try:
        executor.update_parameters(**_parameters(settings, submission.token))
        with _outside_of_allocation(), executor.batch():
            jobs = [
                executor.submit(SlurmTask(str(submission.path), job.number, settings.signal_delay_s))
                for job in submission.jobs()
            ]
    except (FailedJobError, FailedSubmissionError) as error:
        words = " / ".join(line.strip() for line in str(error).splitlines() if line.strip())
        raise SweepError(f"Slurm refused the jobs: {words or error}") from None
    except (TypeError, ValueError, NameError) as error:
        raise SweepError(f"submitit does not take the settings: {error}") from None
    return [str(job.job_id) for job in jobs]


@contextmanager
def _outside_of_allocation() -> Iterator[None]:
    """The variables of an allocation in which the launcher itself runs would be taken for options of the new ones."""
    names = allocation_names(os.environ) if "SLURM_JOB_ID" in os.environ else []
    kept = {name: os.environ.pop(name) for name in names}
    try:
        yield
    finally:
        os.environ.update(kept)


def _parameters(settings: LitSlurmSettings, token: str) -> dict[str, Any]:
    """Return the settings as submitit's `update_parameters` wants them."""
    given = {name: value for name, value in asdict(settings).items() if name not in OURS and value is not None}
    given["comment"] = f"{given.get('comment', '')} {token}".strip()
    given["stderr_to_stdout"] = True
    # A rank that has failed leaves the others waiting for it; and newer versions of srun don't ask sbatch how many
    # cores a task has.
    own = ["--kill-on-bad-exit=1", *([f"--cpus-per-task={settings.cpus_per_task}"] if settings.cpus_per_task else [])]
    given["srun_args"] = [*own, *given.get("srun_args", [])]
    return {name if name in COMMON else f"slurm_{name}": value for name, value in given.items()}


def most_in_array() -> int:
    """Return how many jobs one array may have."""
    with suppress(SweepError, ValueError):
        found = re.search(r"MaxArraySize\s*=\s*(\d+)", _asked("scontrol", "show", "config"))
        if found:
            return max(1, int(found[1]) - 1)
    return _MOST_IN_ARRAY


def look(ids: Iterable[str]) -> dict[str, SlurmState]:
    """Return the state of each job.

    Raises:
        SlurmSilentError: Slurm does not answer now.
    """
    wanted = set(ids)
    arrays = sorted({id.partition("_")[0] for id in wanted})
    found: dict[str, SlurmState] = {}
    for some in _chunks(arrays):
        command = (
            "squeue",
            "--noheader",
            "--array",
            "--states=all",
            "--format=%i|%T|%N|%r",
            f"--jobs={','.join(some)}",
        )
        for line in _asked(*command, unknown="Invalid job id").splitlines():
            id, state, nodes, reason = (*line.strip().split("|", 3), "", "", "")[:4]
            found[id] = SlurmState(state=state, nodes=nodes, reason="" if reason == "None" else reason)
    missing = sorted(wanted - set(found))
    return {**dict.fromkeys(missing, GONE), **_long_ended(missing), **found}


def _long_ended(ids: Sequence[str]) -> dict[str, SlurmState]:
    """Ask the accounting database, where the cluster has one."""
    found: dict[str, SlurmState] = {}
    for some in _chunks(ids) if shutil.which("sacct") else ():
        with suppress(SweepError):
            command = (
                "sacct",
                "-X",
                "--noheader",
                "--parsable2",
                "--format=JobID,State,NodeList",
                "-j",
                ",".join(some),
            )
            for line in _asked(*command).splitlines():
                id, state, nodes = (*line.split("|"), "", "")[:3]
                if id in ids and state:  # "CANCELLED by 1000"
                    found[id] = SlurmState(state=state.split()[0], nodes=nodes)
    return found


def find_by_token(token: str) -> list[str]:
    """Return the ids of the jobs that have a token in their comment, in the order of their array.

    Raises:
        SlurmSilentError: Slurm does not answer now.
    """
    said = _asked("squeue", "--noheader", "--array", "--states=all", "--format=%i|%k", f"--user={os.getuid()}")
    found = [id for id, _, comment in (line.strip().partition("|") for line in said.splitlines()) if token in comment]
    return sorted(found, key=lambda id: int(id.partition("_")[2] or 0))


def jobs_of(submission: Submission) -> list[SubmittedJob]:
    """Return a submission's jobs; their ids are asked of Slurm where a launcher had no time to note them.

    Raises:
        SlurmSilentError: Slurm does not answer now.
    """
    jobs = submission.jobs()
    if jobs and all(job.id is None for job in jobs):
        ids = find_by_token(submission.token)
        return submission.name_jobs(ids) if len(ids) == len(jobs) else []
    return jobs


def cancel(ids: Iterable[str]) -> None:
    """Cancel jobs.

    Raises:
        SlurmSilentError: Slurm does not answer now.
    """
    for some in _chunks(sorted(ids)):
        _asked("scancel", *some, unknown="Invalid job id")


def _asked(*command: str, unknown: str = "") -> str:
    """Return what a command of Slurm's prints.

    Raises:
        SlurmSilentError: it fails, unless its error has `unknown` in it.
    """
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_ANSWER_S, stdin=subprocess.DEVNULL, errors="replace"
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise SlurmSilentError(f"Slurm does not answer: {command[0]}: {error}") from None
    if done.returncode and not (unknown and unknown in done.stderr):
        words = " / ".join(line.strip() for line in done.stderr.splitlines() if line.strip())
        raise SlurmSilentError(
            f"Slurm does not answer: {words or f'{command[0]} ended with exit code {done.returncode}'}"
        )
    return done.stdout


def _chunks(items: Sequence[str]) -> Iterable[Sequence[str]]:
    return (items[start : start + _MOST_IDS] for start in range(0, len(items), _MOST_IDS))
