"""What a sweep keeps about Slurm: for each submission a folder in `.sweep/slurm`.

<sweep>/.sweep/slurm/0/jobs.json          which jobs were submitted together, and Slurm's ids of them
<sweep>/.sweep/slurm/0/program.pickle     the app, for all of them
<sweep>/.sweep/slurm/0/job-3.pickle       one job: what it is told, and its config
<sweep>/.sweep/slurm/0/rank-3-1           why a further rank of it has failed
<sweep>/.sweep/slurm/0/ended              that the jobs were cancelled by us
<sweep>/.sweep/slurm/0/…                  submitit's own: its pickles, the script for sbatch, what came before job.log

jobs.json is written before Slurm is asked, and again with its answer. A launcher that dies in between leaves jobs
that are found by a token in their comment.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from lit_hydra_bridge.files import DamagedFileError, read_json, read_text, write_json
from lit_hydra_bridge.sweep.folder import SweepFolder
from lit_hydra_bridge.sweep.private import shown_text
from lit_hydra_bridge.typed_data import read_as

_MOST_SAID = 20_000


@dataclass(frozen=True, kw_only=True)
class SubmittedJob:
    """One job of a submission."""

    number: int
    overrides: tuple[str, ...]
    id: str | None = None
    """Slurm's, such as 123_4; None: Slurm has not answered yet."""


@dataclass(frozen=True, kw_only=True)
class _Submitted:
    """What jobs.json says."""

    token: str = ""
    jobs: tuple[SubmittedJob, ...] = ()


@dataclass(frozen=True)
class Submission:
    """The folder of one submission."""

    path: Path

    @property
    def program(self) -> Path:
        return self.path / "program.pickle"

    @property
    def token(self) -> str:
        """Stands in the comment of its jobs, and of no others."""
        return f"lit-hydra:{self._read().token}"

    def job(self, number: int) -> Path:
        """One job, packed."""
        return self.path / f"job-{number}.pickle"

    def jobs(self) -> list[SubmittedJob]:
        """Return what was submitted; nothing where that can't be read."""
        return list(self._read().jobs)

    def write(self, jobs: list[SubmittedJob], token: str | None = None) -> None:
        """Write which jobs are submitted together."""
        known = _Submitted(token=self._read().token if token is None else token, jobs=tuple(jobs))
        write_json(self.path / "jobs.json", asdict(known), private=True)

    def name_jobs(self, ids: list[str]) -> list[SubmittedJob]:
        """Note Slurm's ids, in the order of the jobs."""
        jobs = [replace(job, id=id) for job, id in zip(self.jobs(), ids, strict=True)]
        self.write(jobs)
        return jobs

    def _read(self) -> _Submitted:
        with suppress(DamagedFileError):
            found = read_json(self.path / "jobs.json", lambda data: read_as(_Submitted, data, "the submission"))
            return found or _Submitted()
        return _Submitted()

    def note_failed_rank(self, number: int, rank: int, text: str) -> None:
        """Say why a further rank of a job has failed."""
        with suppress(OSError):
            self._rank(number, rank).write_text(shown_text(text[-_MOST_SAID:]), encoding="utf-8", errors="replace")

    def failed_rank(self, number: int) -> tuple[float, int, str] | None:
        """Return when the first of a job's further ranks has failed, which one it is, and why."""
        found = []
        for path in self.path.glob(f"rank-{number}-*"):
            with suppress(OSError, ValueError):
                found.append((path.stat().st_mtime, int(path.name.rpartition("-")[2]), path.read_text("utf-8")))
        return min(found, default=None)

    def forget_ranks(self, number: int) -> None:
        """A job begins again."""
        for path in self.path.glob(f"rank-{number}-*"):
            with suppress(OSError):
                path.unlink()

    def tidy(self, number: int, id: str) -> None:
        """Remove what a completed job does not need any more; which jobs were submitted stays."""
        for path in (self.job(number), *self.path.glob(f"{id}_*submitted.pkl"), *self.path.glob(f"{id}_*result.pkl")):
            with suppress(OSError):
                path.unlink()
        if not any(self.path.glob("job-*.pickle")):
            for path in (self.program, *self.path.glob(".submission_file_*.sh")):
                with suppress(OSError):
                    path.unlink()

    def _rank(self, number: int, rank: int) -> Path:
        return self.path / f"rank-{number}-{rank}"

    def note_end(self, reason: str) -> None:
        """Say that its jobs are cancelled by us."""
        with suppress(OSError):
            (self.path / "ended").write_text(reason, encoding="utf-8")

    @property
    def why_ended(self) -> str | None:
        """Why its jobs were cancelled by us; None where they were not."""
        with suppress(DamagedFileError):
            return read_text(self.path / "ended")
        return None

    def early_output(self, id: str) -> str:
        """Return what a job printed before its own log began, such as the errors of `setup`."""
        texts = []
        for path in sorted(self.path.glob(f"{id}_*_log.*")):
            with suppress(OSError):
                texts.append(path.read_text(encoding="utf-8", errors="replace"))
        return "\n".join(texts)


def submissions(folder: SweepFolder) -> list[Submission]:
    """Return the submissions of a sweep, the oldest first."""
    return [Submission(path) for path in sorted(_numbered(folder), key=lambda path: int(path.name))]


def new_submission(folder: SweepFolder, jobs: list[SubmittedJob]) -> Submission:
    """Make the folder of another one."""
    number = max((int(path.name) for path in _numbered(folder)), default=-1) + 1
    submission = Submission(folder.slurm / str(number))
    submission.path.mkdir(parents=True, mode=0o700)  # submitit's script tells what `setup` exports
    submission.write(jobs, token=os.urandom(8).hex())
    return submission


def newest_submission_of(beside: Submission, number: int) -> Submission | None:
    """Return the submission that a job belongs to now, among those in the same folder."""
    folder = SweepFolder(beside.path.parents[2])
    return next((each for each in reversed(submissions(folder)) if any(j.number == number for j in each.jobs())), None)


def _numbered(folder: SweepFolder) -> Iterator[Path]:
    with suppress(OSError):
        yield from (path for path in folder.slurm.iterdir() if path.name.isdecimal())
