"""A job's overrides -> its folder, its config and its command; and whether it has been completed before."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lit_hydra_bridge.errors import SweepError, SweepFolderError
from lit_hydra_bridge.sweep.changes import CONFIG, OVERRIDES, Changes
from lit_hydra_bridge.sweep.checkpoints import continue_from, newest_checkpoint, to_go_on_from
from lit_hydra_bridge.sweep.code import Code
from lit_hydra_bridge.sweep.command import job_argv
from lit_hydra_bridge.sweep.compose import FrozenConfigs, job_place, saved_config, set_job_dir, set_subdir
from lit_hydra_bridge.sweep.earlier import EarlierJob, EarlierJobs, Job
from lit_hydra_bridge.sweep.folder import JobFolder, SweepFolder, aside
from lit_hydra_bridge.sweep.index import IndexedJob
from lit_hydra_bridge.sweep.job import JobState
from lit_hydra_bridge.sweep.settings import needed_devices


@dataclass(frozen=True, kw_only=True)
class JobPlan:
    """A job that is about to be started."""

    state: JobState
    """With the attempts of earlier launches."""
    folder: JobFolder
    config: Any
    argv: list[str]
    devices: float
    """How many it needs."""
    resumed_from: str | None = None


class Planner:
    """Plans the jobs of one sweep.

    Args:
        configs: gives each job's.
        master: the multirun's config.
        folder: the sweep's.
        sweep: its id.
        code: the app's.
        device_count: how many accelerators there are.
        resume: the launcher's setting.
        tell_of_own_dirs: is called when a job's config puts it into another folder than the sweep's.
    """

    def __init__(
        self,
        configs: FrozenConfigs,
        master: Any,
        folder: SweepFolder,
        sweep: str,
        code: Code,
        *,
        device_count: int,
        resume: bool | str,
        tell_of_own_dirs: Callable[[], object],
    ) -> None:
        self._configs, self._master = configs, master
        self._folder, self._sweep = folder, sweep
        self._code, self._device_count = code, device_count
        self._resume, self._tell_of_own_dirs = resume, tell_of_own_dirs
        self._earlier = EarlierJobs()
        self._changes = Changes(folder, configs, master, code, resume)
        self._owners: dict[Path, int] = {}
        self._places: dict[int, JobFolder] = {}

    def read_folder(self) -> list[str]:
        """Read what earlier launches have left; return a line about each job's file that can't be read."""
        return self._earlier.read(self._folder, self._sweep)

    def numbered(self, jobs: Sequence[Job]) -> list[Job]:
        """Return a batch's jobs with the numbers that they have in this sweep, and say what has changed since then."""
        numbered = self._earlier.numbered(jobs)
        found = [self._earlier.get(number) for number, _ in numbered]
        self._changes.find(job for job in found if job is not None)
        return numbered

    def not_in_this_launch(self, *, compare: bool) -> list[EarlierJob]:
        """Return the jobs that only earlier launches have completed.

        Args:
            compare: say what has changed since then; that takes some milliseconds a job.
        """
        jobs = self._earlier.completed_and_unnamed()
        if compare:
            self._changes.find(jobs)
        return jobs

    def completed_before(self, number: int) -> EarlierJob | None:
        """Return the job as an earlier launch has completed it; None where it has to be run."""
        job = self._earlier.get(number)
        return job if job is not None and job.is_completed and not self._changes.is_run_again(job) else None

    def has_other_config(self, state: JobState, overrides: Sequence[str]) -> bool:
        """Tell whether a job was begun with another config than it has today."""
        return state.config not in (None, self._configs.config_id(self._master, overrides))

    def config(self, number: int, overrides: Sequence[str]) -> Any:
        """Return a job's config."""
        return self._configs.job_config(self._master, overrides, number)

    def finished_config(self, number: int, overrides: Sequence[str], folder: Path | None) -> Any:
        """Return a job's config as the job itself had it in the end."""
        from omegaconf import open_dict, read_write

        done = self.completed_before(number)
        if done is not None and CONFIG in done.differs and (saved := saved_config(done.folder.path)) is not None:
            return saved
        config = self.config(number, overrides)
        if folder is not None:
            set_job_dir(config, folder)
            with read_write(config), open_dict(config):
                config.hydra.runtime.output_dir = str(folder)
        return config

    def plan(self, number: int, overrides: Sequence[str], attempts: JobState | None = None) -> JobPlan:
        """Plan a job.

        Args:
            number: the job's.
            overrides: the job's.
            attempts: of this launch; None before the first.

        Raises:
            SweepError: its folder is another job's, or it needs what is not there.
        """
        config = self.config(number, overrides)
        sweep, asked = job_place(config)
        if sweep != self._folder.path:
            self._tell_of_own_dirs()
        folder = self._places.get(number) or self._place(asked, number)
        if folder.path != asked:
            set_subdir(config, sweep, folder.path)
        state = attempts or self._begun(folder, number, tuple(overrides))
        set_job_dir(config, folder.path)
        checkpoint = to_go_on_from(folder.path, state.attempts) if state.attempts else None
        resumed = checkpoint is not None and continue_from(config, checkpoint)
        return JobPlan(
            state=state,
            folder=folder,
            config=config,
            argv=job_argv(config, folder.path, number),
            devices=self._devices(config),
            resumed_from=str(checkpoint) if resumed else None,
        )

    def _place(self, asked: Path, number: int) -> JobFolder:
        """Return the job's folder: its own of an earlier launch, or one in which no other job's results lie."""
        earlier = self._earlier.get(number)
        path = earlier.folder.path if earlier else self._free(asked)
        owner = self._owners.setdefault(path, number)
        if owner != number:
            raise SweepError(
                f"jobs {owner} and {number} would have the same folder {path}, and they run at the same time: "
                "let hydra.sweep.subdir differ, such as ${hydra.job.num}"
            )
        self._places[number] = JobFolder(path)
        return self._places[number]

    def _free(self, asked: Path) -> Path:
        names = itertools.chain([asked], (asked.with_name(f"{asked.name}-{count}") for count in itertools.count(2)))
        return next(path for path in names if not self._is_anothers(path))

    def _is_anothers(self, path: Path) -> bool:
        if path in self._earlier.folders:
            return True
        with suppress(SweepFolderError):
            state = JobFolder(path).read()
            return state is not None and state.sweep != self._sweep
        return False

    def _begun(self, folder: JobFolder, number: int, overrides: tuple[str, ...]) -> JobState:
        """Return the job's state before its first attempt of this launch, and make room for it."""
        earlier, config = self._earlier.get(number), self._configs.config_id(self._master, overrides)
        fresh = JobState(number=number, sweep=self._sweep, overrides=overrides, config=config, code=self._code.id)
        self._folder.note([IndexedJob(number=number, overrides=overrides, folder=str(folder.path))])
        if earlier is None or earlier.state is None:
            return fresh
        same = self._resume and (self._resume == OVERRIDES or CONFIG not in earlier.differs)
        if not same and (earlier.is_completed or newest_checkpoint(folder.path)):
            try:
                folder.path.rename(aside(folder.path))
            except FileNotFoundError:  # it has been removed since
                pass
            except OSError as error:
                raise SweepError(f"{folder.path}: the old results can't be put aside ({error})") from None
            return fresh
        return replace(fresh, attempts=earlier.state.attempts) if self._resume else fresh

    def _devices(self, config: Any) -> float:
        from omegaconf import OmegaConf

        if not self._device_count:
            return 0.0
        asked = OmegaConf.select(config, "hydra.launcher.devices_per_job", default=None)
        plain = OmegaConf.to_container(asked, resolve=True) if OmegaConf.is_config(asked) else asked
        return needed_devices(plain, self._device_count)
