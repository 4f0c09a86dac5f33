"""What earlier launches of a sweep have left, and which of it is which job of this launch.

A job keeps the number and the folder that it had. One that is new gets the number that the sweeper gave it, or where
that is taken, the next free one.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lit_hydra_bridge.errors import SweepFolderError
from lit_hydra_bridge.sweep.command import given_overrides
from lit_hydra_bridge.sweep.folder import JobFolder, SweepFolder
from lit_hydra_bridge.sweep.job import JobState, Outcome
from lit_hydra_bridge.sweep.sameness import job_key

Job = tuple[int, tuple[str, ...]]
"""Its number and its overrides."""


@dataclass
class EarlierJob:
    """A job of an earlier launch."""

    number: int
    overrides: tuple[str, ...]
    folder: JobFolder
    state: JobState | None
    """None: it has not begun, or its file is gone or damaged."""
    differs: str = ""
    """See `IndexedJob`."""
    is_named: bool = False
    """Whether this launch has it too."""

    @property
    def is_completed(self) -> bool:
        """Whether its last attempt was."""
        return self.state is not None and self.state.outcome is Outcome.COMPLETED


class EarlierJobs:
    """The jobs of earlier launches."""

    def __init__(self) -> None:
        self._by_number: dict[int, EarlierJob] = {}
        self._taken: set[int] = set()
        self._free = itertools.count()

    def read(self, folder: SweepFolder, sweep: str) -> list[str]:
        """Read them; return a line about each job's file that can't be read.

        Args:
            folder: the sweep's.
            sweep: its id; what lies in its folder may be another's.
        """
        index, problems = folder.index(), []
        for place in folder.job_folders():
            known, state = index.get(str(place.path)), None
            try:
                state = place.read()
            except SweepFolderError as error:
                problems.append(f"{error}; the job is run again")
            if state is not None and state.sweep == sweep:
                self._add(EarlierJob(state.number, state.overrides, place, state, known.differs if known else ""))
            elif known is not None and state is None:
                self._add(EarlierJob(known.number, known.overrides, place, None))
        self._taken = set(self._by_number)
        return problems

    def _add(self, job: EarlierJob) -> None:
        there = self._by_number.get(job.number)
        if there is None or (job.is_completed and not there.is_completed):
            self._by_number[job.number] = job

    def numbered(self, jobs: Sequence[Job]) -> list[Job]:
        """Return a batch's jobs with the numbers that they have in this sweep."""
        if not self._by_number:
            return list(jobs)
        found = [self._claim(overrides) for _, overrides in jobs]
        pairs = zip(jobs, found, strict=True)
        return [(job.number if job else self._free_number(given), own) for (given, own), job in pairs]

    def _claim(self, overrides: tuple[str, ...]) -> EarlierJob | None:
        """Of several with the same overrides, each is one job; those that have been completed come first."""
        job = _first(self._by_text.get(overrides, ())) or _first(self._by_key.get(job_key(overrides), ()))
        if job is not None:
            job.is_named = True
        return job

    @cached_property
    def _by_text(self) -> dict[tuple[str, ...], list[EarlierJob]]:
        return _grouped((job.overrides, job) for job in self._ordered())

    @cached_property
    def _by_key(self) -> dict[tuple[str, ...], list[EarlierJob]]:
        return _grouped((job_key(job.overrides), job) for job in self._ordered())

    def _ordered(self) -> list[EarlierJob]:
        return sorted(self._by_number.values(), key=lambda job: (not job.is_completed, job.number))

    def _free_number(self, given: int) -> int:
        number = given if given not in self._taken else next(each for each in self._free if each not in self._taken)
        self._taken.add(number)
        return number

    def get(self, number: int) -> EarlierJob | None:
        """Return the job of a number, if this launch has it too."""
        job = self._by_number.get(number)
        return job if job is not None and job.is_named else None

    def completed_and_unnamed(self) -> list[EarlierJob]:
        """Return the completed jobs that this launch does not have."""
        return [job for job in self._by_number.values() if job.is_completed and not job.is_named]

    @cached_property
    def folders(self) -> frozenset[Path]:
        """Where they are."""
        return frozenset(job.folder.path for job in self._by_number.values())


def _grouped(pairs: Iterable[tuple[tuple[str, ...], EarlierJob]]) -> dict[tuple[str, ...], list[EarlierJob]]:
    groups: dict[tuple[str, ...], list[EarlierJob]] = {}
    for key, job in pairs:
        groups.setdefault(key, []).append(job)
    return groups


def _first(jobs: Iterable[EarlierJob]) -> EarlierJob | None:
    return next((job for job in jobs if not job.is_named), None)


def id_of_jobs(folder: SweepFolder) -> str | None:
    """Return a sweep's id by its jobs' files, for when our own is gone; None where there are none."""
    if not (folder.path / "multirun.yaml").exists() and not any(folder.path.glob("*/job.json")):
        return None  # it may be any folder, and large
    ids: Counter[str] = Counter()
    for job in folder.job_folders():
        with suppress(SweepFolderError):
            state = job.read()
            ids.update([state.sweep] if state else [])
    return ids.most_common(1)[0][0] if ids else None


def another_in_multirun_yaml(folder: Path, master: Any) -> str | None:
    """Return what makes the sweep that Hydra has written down another one; None where it is the same, or not known.

    Args:
        folder: the sweep's.
        master: the multirun's config, which Hydra has not yet written there.
    """
    from omegaconf import OmegaConf

    try:
        saved = OmegaConf.load(folder / "multirun.yaml")
        given, its = given_overrides(saved, "task"), given_overrides(master, "task")
        if job_key(given) != job_key(its):
            return f"it has the overrides {' '.join(given)!r}, and this one {' '.join(its)!r}"
        job = saved.hydra.job
        if (job.name, job.config_name) != (master.hydra.job.name, master.hydra.job.config_name):
            return f"it has the program {job.name!r} and the config {job.config_name!r}"
    except Exception:  # not there, or damaged
        return None
    return None
