"""A sweep's folder -> its results, while it runs and afterwards, whichever launcher has run it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

from lit_hydra_bridge.errors import ResultsError, SweepFolderError
from lit_hydra_bridge.record.redaction import process_redactor
from lit_hydra_bridge.results.foreign_job import foreign_row
from lit_hydra_bridge.results.hydra_folder import HYDRA, MULTIRUN, HydraNode, read_hydra_node, read_multirun
from lit_hydra_bridge.results.overrides import varying
from lit_hydra_bridge.results.own_job import own_row
from lit_hydra_bridge.results.row import JobRow, Scalar
from lit_hydra_bridge.results.sweep_results import SweepResults
from lit_hydra_bridge.run_file import is_run_folder
from lit_hydra_bridge.sweep.folder import JobFolder, SweepFolder, SweepIdentity, is_aside
from lit_hydra_bridge.sweep.index import read_index
from lit_hydra_bridge.sweep.job import JobState

STATE: Final = "job.json"


def read_sweep(folder: str | os.PathLike[str]) -> SweepResults:
    """Return what came out of a sweep, up to now; it may still run.

    Sweeps by our launchers have it all. Of Hydra's own launchers there is what Hydra, Lightning and our recorder leave
    in the jobs' folders: overrides, config, outcome, checkpoints with their records, metrics. What can't be read is
    named in `problems`.

    Args:
        folder: the sweep's: `hydra.sweep.dir`.

    Raises:
        ResultsError: there is no such folder, or it is no sweep's.
    """
    place = os.path.abspath(os.fsdecode(folder))
    if not os.path.isdir(place):
        raise ResultsError(f"{place}: there is no such folder")
    reader = _Reader(place)
    results = reader.read()
    if not results.rows and not is_sweep(place):
        raise ResultsError(
            f"{place}: it is not the folder of a sweep: no job of one is in it. Expected a folder that "
            "hydra.sweep.dir named, such as multirun/2026-01-31/12-00-00"
        )
    return results


def read_run(folder: str | os.PathLike[str]) -> tuple[JobRow | None, tuple[str, ...]]:
    """Return a single run, or one job alone, as a row; and what could not be read."""
    place = os.path.abspath(os.fsdecode(folder))
    reader = _Reader(os.path.dirname(place))
    rows = reader.rows([place])
    return rows[0] if rows else None, tuple(reader.problems)


def is_sweep(folder: str) -> bool:
    """Tell whether a launcher has left in the folder that it is a sweep's."""
    return os.path.isfile(os.path.join(folder, MULTIRUN)) or os.path.isfile(SweepFolder(Path(folder)).identity_file)


def is_run(folder: str) -> bool:
    """Tell whether a run or a job has had this folder."""
    is_ours = os.path.isfile(os.path.join(folder, STATE)) or is_run_folder(folder)
    return is_ours or os.path.isdir(os.path.join(folder, HYDRA))


@dataclass
class _Reader:
    """Reads one sweep's folder, and collects what it can't read."""

    place: str
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._folder = SweepFolder(Path(self.place))
        self._now = time.time()
        self._is_running: bool | None = None

    @property
    def is_running(self) -> bool:
        """Whether a launcher of ours is at work; asked of the system only where it matters."""
        if self._is_running is None:
            self._is_running = self._folder.is_in_use()
        return self._is_running

    def read(self) -> SweepResults:
        identity = self._identity()
        index = read_index(self.place)
        hydra = self._attempted(lambda: read_multirun(self.place)) or HydraNode(node={})
        jobs = list(job_folders(self.place, is_flat=hydra.has_flat_folders))
        if not hydra.node and jobs:
            hydra = self._attempted(lambda: read_hydra_node(jobs[0])) or hydra
        known = set(jobs)
        elsewhere = [folder for folder in index if folder not in known and self._is_of(identity, folder)]
        marks = {folder: job.differs for folder, job in index.items() if job.differs}
        rows = self.rows([*jobs, *elsewhere], marks)
        return SweepResults(
            folder=Path(self.place),
            name=_name(self.place),
            launcher=hydra.launcher or ("lit_local" if identity else ""),
            command=tuple(process_redactor().arguments(identity.command)) if identity else (),
            cwd=identity.cwd if identity else str(hydra.get("runtime.cwd") or ""),
            created=identity.created if identity else _created(self.place, rows),
            direction=hydra.direction,
            is_running=identity is not None and any(row.ended is None for row in rows) and self.is_running,
            rows=tuple(rows),
            problems=tuple(self.problems),
        )

    def _is_of(self, identity: SweepIdentity | None, folder: str) -> bool:
        """Tell whether a job that the index names is this sweep's; another may have taken its folder."""
        state = self._state(folder)
        return identity is not None and state is not None and state.sweep == identity.id

    def rows(self, folders: Sequence[str], marks: Mapping[str, str] | None = None) -> list[JobRow]:
        """Return a row for each job's folder, by number; a folder in which nothing can be read has none.

        Args:
            folders: the jobs'.
            marks: by folder: `JobRow.differs`.
        """
        found: list[tuple[str, JobState | JobRow]] = []
        shown = cache(process_redactor().override)  # jobs have most of their overrides in common
        for folder in folders:
            job = self._state(folder) or foreign_row(folder, self.problems)
            if job is not None:
                overrides = tuple(map(shown, job.overrides))
                found.append((folder, job if overrides == job.overrides else replace(job, overrides=overrides)))
        all_varying = varying([job.overrides for _, job in found])
        rows = [self._row(folder, job, own) for (folder, job), own in zip(found, all_varying, strict=True)]
        if marks:
            rows = [replace(row, differs=marks.get(str(row.folder), "")) for row in rows]
        return sorted(rows, key=lambda row: row.number)

    def _row(self, folder: str, job: JobState | JobRow, own: Mapping[str, Scalar]) -> JobRow:
        if isinstance(job, JobRow):
            return replace(job, varying=own)
        is_running = job.outcome is None and self.is_running
        return _without_secrets(own_row(job, folder, own, self.problems, is_running=is_running, now=self._now))

    def _state(self, folder: str) -> JobState | None:
        try:
            return JobFolder(Path(folder)).read(shown=True)
        except SweepFolderError as error:
            self.problems.append(str(error))
            return None

    def _identity(self) -> SweepIdentity | None:
        try:
            return self._folder.read_identity(shown=True)
        except SweepFolderError as error:
            self.problems.append(str(error).partition("; take another")[0])
            return None

    def _attempted(self, read: Any) -> HydraNode | None:
        try:
            node: HydraNode = read()
            return node
        except ResultsError as error:
            self.problems.append(str(error))
            return None


def _without_secrets(row: JobRow) -> JobRow:
    """What a job said may be of a version that wrote it down as it was."""
    if not row.reason and not any(each.reason for each in row.attempts) and not isinstance(row.return_value, str):
        return row
    redactor = process_redactor()
    attempts = tuple(replace(each, reason=redactor.text(each.reason)) for each in row.attempts)
    value = redactor.plain(row.return_value)
    return replace(row, reason=redactor.text(row.reason), attempts=attempts, return_value=value)


def job_folders(sweep: str, *, is_flat: bool) -> Iterator[str]:
    """Return every job's folder, wherever `hydra.sweep.subdir` has put it; without those that were kept aside.

    Args:
        sweep: its folder.
        is_flat: that no job's folder is in another's is known, so what is in them need not be looked at.
    """
    names = _folders_in(sweep)
    for name in sorted(names, key=_by_number):
        path = os.path.join(sweep, name)
        if is_aside(name, names):
            continue
        is_job = is_run(path)
        if is_job:
            yield path
        if not (is_job and is_flat):
            yield from job_folders(path, is_flat=is_flat)


def _folders_in(folder: str) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.name[0] != "." and entry.is_dir(follow_symlinks=False)}
    except OSError:
        return set()


def _by_number(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isascii() and name.isdigit() and len(name) < 10 else (1 << 40, name)


def _name(folder: str) -> str:
    """Return `2026-01-31/12-00-00` of Hydra's own pattern; else the folder's name."""
    parts = Path(folder).parts
    is_dated = len(parts) > 1 and len(parts[-2]) == 10 and parts[-2].replace("-", "").isdigit()
    return "/".join(parts[-2:]) if is_dated else parts[-1]


def _created(folder: str, rows: Sequence[JobRow]) -> float | None:
    started = [row.started for row in rows if row.started is not None]
    if started:
        return min(started)
    try:
        return os.stat(folder).st_mtime
    except OSError:
        return None
