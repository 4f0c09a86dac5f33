"""What has changed since jobs of earlier launches were run: found, said, and noted in the sweep's index."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any, Final

from lit_hydra_bridge.sweep.code import Code
from lit_hydra_bridge.sweep.compose import FrozenConfigs
from lit_hydra_bridge.sweep.earlier import EarlierJob
from lit_hydra_bridge.sweep.folder import SweepFolder, aside
from lit_hydra_bridge.sweep.index import IndexedJob
from lit_hydra_bridge.sweep.sameness import config_changes

log = logging.getLogger(__name__)

CONFIG: Final = "config"
CODE: Final = "code"
OVERRIDES: Final = "overrides"
"""Of `hydra.launcher.resume`: jobs are the same though their config has changed."""
_MOST_COMPARED: Final = 20
"""Jobs whose configs are compared key by key, which takes some milliseconds each."""
_MOST_NAMED: Final = 10


class Changes:
    """Compares jobs of earlier launches with what they would be today.

    Args:
        folder: the sweep's.
        configs: gives the config of each job as it is today.
        master: the multirun's config.
        code: the app's today.
        resume: the launcher's setting.
    """

    def __init__(
        self, folder: SweepFolder, configs: FrozenConfigs, master: Any, code: Code, resume: bool | str
    ) -> None:
        self._folder, self._configs, self._master = folder, configs, master
        self._code, self._resume = code, resume

    def find(self, jobs: Iterable[EarlierJob]) -> None:
        """Find out what has changed since the jobs were run, say it, and note it of those whose results are kept."""
        began = [job for job in jobs if job.state is not None and job.state.attempts]
        if not self._resume:
            self._say_run_again([job for job in began if job.is_completed and job.is_named])
            began = [job for job in began if not job.is_named]
        before = {job.number: job.differs for job in began}
        for job in began:
            job.differs = self._differs(job)
        self._say_config([job for job in began if CONFIG in job.differs])
        kept = [job for job in began if job.is_completed and not self.is_run_again(job)]
        self._say_code([job for job in kept if CODE in job.differs])
        changed = [job for job in kept if job.differs != before[job.number]]
        self._folder.note(_indexed(job) for job in changed)

    def is_run_again(self, job: EarlierJob) -> bool:
        """Tell whether a job that has been completed is run once more."""
        return job.is_named and (not self._resume or (self._resume != OVERRIDES and CONFIG in job.differs))

    def _differs(self, job: EarlierJob) -> str:
        assert job.state is not None
        try:
            config = job.state.config in (None, self._configs.config_id(self._master, job.overrides))
        except Exception:  # the app has no such key any more
            config = False
        code = self._code.changed_since(self._folder, job.state.code) == []
        return ", ".join([*([] if config else [CONFIG]), *([] if code else [CODE])])

    def _say_run_again(self, jobs: Sequence[EarlierJob]) -> None:
        if jobs:
            log.warning(f"hydra.launcher.resume=false: {_of(jobs)} had been completed. {_kept_beside(jobs)}")

    def _say_config(self, jobs: Sequence[EarlierJob]) -> None:
        for is_named, is_completed in ((True, True), (True, False), (False, True)):
            some = [job for job in jobs if (job.is_named, job.is_completed) == (is_named, is_completed)]
            for what, group in self._by_changes(some).items():
                log.warning(f"The config has changed since {_of(group)} ran: {what}. {self._consequence(group)}")

    def _consequence(self, jobs: Sequence[EarlierJob]) -> str:
        if not jobs[0].is_completed:
            return "Not completed then, so run " + (
                "on with the config of today." if self._resume == OVERRIDES else "from the beginning."
            )
        if self.is_run_again(jobs[0]):
            return f"{_kept_beside(jobs)} hydra.launcher.resume=overrides keeps such results."
        return "The results are kept; tables mark them, and never take one for the best."

    def _by_changes(self, jobs: Sequence[EarlierJob]) -> dict[str, list[EarlierJob]]:
        groups: dict[str, list[EarlierJob]] = {}
        for job in jobs[:_MOST_COMPARED]:
            groups.setdefault(self._compared(job), []).append(job)
        if rest := jobs[_MOST_COMPARED:]:
            groups.setdefault("not compared key by key, as they are many", []).extend(rest)
        return groups

    def _compared(self, job: EarlierJob) -> str:
        assert job.state is not None
        try:
            config = self._configs.job_config(self._master, job.overrides, job.number)
        except Exception as error:
            return f"it can't be composed any more ({type(error).__name__}: {str(error).partition(chr(10))[0]})"
        given = [attempt.resumed_from for attempt in job.state.attempts]
        changes = config_changes(job.folder.path, config, given)
        return listed(changes, "; ") or "the old one was not saved, so the keys are not known"

    def _say_code(self, jobs: Sequence[EarlierJob]) -> None:
        if not jobs:
            return
        found = [self._code.changed_since(self._folder, job.state.code if job.state else None) for job in jobs]
        files = sorted({name for names in found for name in names or ["unknown files"]})
        log.warning(
            f"The code has changed since {_of(jobs)} ran: {listed(files)}. The results are kept, and tables mark "
            "them; hydra.launcher.resume=false runs the jobs again."
        )


def _indexed(job: EarlierJob) -> IndexedJob:
    return IndexedJob(number=job.number, overrides=job.overrides, folder=str(job.folder.path), differs=job.differs)


def _of(jobs: Sequence[EarlierJob]) -> str:
    return named([job.number for job in jobs])


def named(numbers: Sequence[int]) -> str:
    """Return `job 3`, or `jobs 1, 2, 3`."""
    return f"job{'s' if len(numbers) > 1 else ''} {listed([str(number) for number in numbers])}"


def listed(names: Sequence[str], sep: str = ", ") -> str:
    """Return the first few names, and how many more there are."""
    more = len(names) - _MOST_NAMED
    return sep.join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _kept_beside(jobs: Sequence[EarlierJob]) -> str:
    such = "" if len(jobs) == 1 else "such as "
    return f"Run again; the old results are kept beside ({such}{aside(jobs[0].folder.path)})."
