"""A job's overrides -> its folder, its config and its command; and whether it has been completed before."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lit_hydra_bridge.errors import SweepError, SweepFolderError
from lit_hydra_bridge.sweep.checkpoints import continue_from, to_go_on_from
from lit_hydra_bridge.sweep.command import job_argv
from lit_hydra_bridge.sweep.compose import FrozenConfigs, job_dir, set_job_dir
from lit_hydra_bridge.sweep.folder import JobFolder, SweepFolder, aside
from lit_hydra_bridge.sweep.job import JobState, Outcome
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
        device_count: how many accelerators there are.
        resume: whether completed jobs are left alone.
    """

    def __init__(
        self, configs: FrozenConfigs, master: Any, folder: SweepFolder, sweep: str, *, device_count: int, resume: bool
    ) -> None:
        self._configs, self._master = configs, master
        self._folder, self._sweep = folder, sweep
        self._device_count = device_count
        self._resume = resume
        self._known: dict[int, tuple[JobState, JobFolder]] = {}
        self._owners: dict[Path, int] = {}

    def read_folder(self) -> list[str]:
        """Read what earlier launches have left; return a line about each job's file that can't be read."""
        problems = []
        for folder in self._folder.job_folders():
            try:
                state = folder.read()
            except SweepFolderError as error:
                problems.append(f"{error}; the job is run again")
                continue
            if state is not None and state.sweep == self._sweep:
                self._known[state.number] = (state, folder)
        return problems

    def completed_before(self, number: int, overrides: Sequence[str]) -> tuple[JobState, JobFolder] | None:
        """Return the job as an earlier launch has completed it; None where it has to be run."""
        known = self._known.get(number)
        if not self._resume or known is None:
            return None
        state, _ = known
        return known if state.outcome is Outcome.COMPLETED and state.overrides == tuple(overrides) else None

    def config(self, number: int, overrides: Sequence[str]) -> Any:
        """Return a job's config."""
        return self._configs.job_config(self._master, overrides, number)

    def finished_config(self, number: int, overrides: Sequence[str], folder: Path | None) -> Any:
        """Return a job's config as the job itself had it in the end."""
        from omegaconf import open_dict, read_write

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
        folder = JobFolder(Path(os.path.abspath(job_dir(config))))
        owner = self._owners.setdefault(folder.path, number)
        if owner != number:
            raise SweepError(
                f"jobs {owner} and {number} would have the same folder {folder.path}, and they run at the same time: "
                "let hydra.sweep.subdir differ, such as ${hydra.job.num}"
            )
        state = attempts or self._earlier(folder, number, overrides)
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

    def _earlier(self, folder: JobFolder, number: int, overrides: Sequence[str]) -> JobState:
        fresh = JobState(number=number, sweep=self._sweep, overrides=tuple(overrides))
        try:
            earlier = folder.read()
        except SweepFolderError:
            return fresh
        if earlier is None:
            return fresh
        if earlier.sweep == self._sweep and earlier.overrides == fresh.overrides and self._resume:
            return JobState(number=number, sweep=self._sweep, overrides=fresh.overrides, attempts=earlier.attempts)
        if earlier.outcome is Outcome.COMPLETED:
            folder.path.rename(aside(folder.path))  # what a completed job has left is not written over
        return fresh

    def _devices(self, config: Any) -> float:
        from omegaconf import OmegaConf

        if not self._device_count:
            return 0.0
        asked = OmegaConf.select(config, "hydra.launcher.devices_per_job", default=None)
        plain = OmegaConf.to_container(asked, resolve=True) if OmegaConf.is_config(asked) else asked
        return needed_devices(plain, self._device_count)
