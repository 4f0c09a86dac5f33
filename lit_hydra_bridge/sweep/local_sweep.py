"""A sweep whose jobs run on this machine: its devices, its slots, and who ends what it leaves."""

from __future__ import annotations

import os
import uuid
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from lit_hydra_bridge.errors import SweepSettingsError
from lit_hydra_bridge.sweep import job_environment, machine
from lit_hydra_bridge.sweep.batch import Batch
from lit_hydra_bridge.sweep.earlier import Job
from lit_hydra_bridge.sweep.job_processes import JobProcesses
from lit_hydra_bridge.sweep.launch import Sweep, log, plain_settings
from lit_hydra_bridge.sweep.program import Program
from lit_hydra_bridge.sweep.settings import LitLocalSettings, checked, needed_devices
from lit_hydra_bridge.sweep.signals import Signals
from lit_hydra_bridge.sweep.slots import SlotPool, sized_pool


def make_sweep(
    hydra_context: Any,
    task_function: Any,
    master: Any,
    given: dict[str, Any],
    write_results: Callable[[Path], object] | None = None,
    warm_up: Callable[[], object] | None = None,
) -> LocalSweep:
    """Return the sweep of a launcher.

    Args:
        hydra_context, task_function: Hydra's.
        master: the multirun's config.
        given: what the launcher's own node of it says, resolved.
        write_results: is called at the sweep's end with its folder, and writes the table of its results there.
        warm_up: is called in the process that jobs are forks of, to import what they will need; it can be pickled.

    Raises:
        SweepError: a setting makes no sense, or the folder can't be this sweep's.
    """
    from omegaconf import OmegaConf

    plain = plain_settings(given)
    # An interpolation there is each job's own, and is read from its config.
    raw = OmegaConf.to_container(master.hydra.launcher, resolve=False)
    if isinstance(raw, dict) and "${" in str(raw.get("devices_per_job")):
        plain["devices_per_job"] = raw["devices_per_job"]
    program = Program(task_function=task_function, hydra_context=hydra_context)
    sweep = LocalSweep(program, master, checked(plain), write_results, warm_up)
    sweep.prepare_folder()
    sweep.prepare_jobs()
    return sweep


class LocalSweep(Sweep):
    """All batches that one launcher runs here; see `Sweep`."""

    _settings: LitLocalSettings

    def __init__(
        self,
        program: Program,
        master: Any,
        settings: LitLocalSettings,
        write_results: Callable[[Path], object] | None = None,
        warm_up: Callable[[], object] | None = None,
    ) -> None:
        super().__init__(program, master, settings, write_results)
        self._devices = _devices(settings)
        self._token = uuid.uuid4().hex
        self._processes = JobProcesses(program, settings, self._folder, warm_up)
        weakref.finalize(self, self._processes.close)  # a sweep that came to nothing

    def prepare_jobs(self) -> None:
        """Begin with what takes its time, beside the sweeper, which composes the config of every job."""
        self._configure_log()  # as it is where Hydra's basic launcher runs a job
        self._processes.prepare()

    def close(self, *, all_is_well: bool = True) -> None:
        self._processes.close(all_is_well=all_is_well)
        super().close()

    def _device_count(self) -> int:
        return len(self._devices)

    def _begin(self) -> None:
        """Have somebody who ends what is left, should this process die."""
        if self._folder.slurm.exists():
            from lit_hydra_bridge.sweep.slurm.cancel import refuse_if_alive

            refuse_if_alive(self._folder)
        self._processes.watch(self._token)

    def _run_batch(self, jobs: list[Job]) -> Batch:
        pool = self._pool(len(jobs))
        self._configure_log()
        self._processes.prepare()  # anew, if they were closed meanwhile
        planner, shown = self._opened()
        jobs = planner.numbered(jobs)
        log.info(f"Launching {len(jobs)} jobs locally, {min(pool.n_jobs, len(jobs))} at a time, in {self._folder.path}")
        with ExitStack() as stack:
            signals = stack.enter_context(Signals())
            starter = self._processes.starter(pool.threads)
            shown.begin(jobs, pool.n_jobs)
            stack.callback(shown.end)
            batch = Batch(
                jobs=jobs,
                settings=self._settings,
                folder=self._folder,
                planner=planner,
                pool=pool,
                starter=starter,
                reaper=self._processes.reaper,
                shown=shown,
                token=self._token,
                masks=machine.mask_names(os.environ) if self._devices or self._hides_devices() else [],
                signals=signals,
                unwritten=self._unwritten,
            )
            batch.run()
        return batch

    def _hides_devices(self) -> bool:
        return self._settings.devices_per_job is not None or self._settings.devices is not None

    def _pool(self, count: int) -> SlotPool:
        settings = self._settings
        asked = settings.devices_per_job
        needed = None if isinstance(asked, str) and "${" in asked else needed_devices(asked, len(self._devices))
        if needed and asked is not None and not self._devices:
            raise SweepSettingsError(
                f"hydra.launcher.devices_per_job={asked}: no accelerator is visible here; leave it at null, or name "
                "them in hydra.launcher.devices"
            )
        return sized_pool(
            self._devices,
            needed,
            jobs=count,
            cores=machine.usable_cores(),
            n_jobs=settings.n_jobs,
            threads=settings.threads_per_job or job_environment.own_threads(os.environ),
        )


def _devices(settings: LitLocalSettings) -> list[str]:
    """Return the ids of the accelerators that the sweep may use.

    Raises:
        SweepSettingsError: more are asked for than are visible.
    """
    visible, asked = machine.visible_devices(os.environ), settings.devices
    if asked is None:
        return visible
    if isinstance(asked, int) or (isinstance(asked, str) and asked.strip().isdigit()):
        return _first(visible, int(asked))
    named = [str(device).strip() for device in (asked.split(",") if isinstance(asked, str) else asked)]
    hidden = [device for device in named if device not in visible]
    mask = next((name for name in machine.MASKS if name in os.environ), None)
    if mask and hidden:
        raise SweepSettingsError(
            f"hydra.launcher.devices={','.join(named)}: {', '.join(hidden)} is not visible here, where "
            f"{mask} has {', '.join(visible) or 'none'}"
        )
    return named


def _first(visible: list[str], count: int) -> list[str]:
    if visible and count > len(visible):
        raise SweepSettingsError(
            f"hydra.launcher.devices={count}: only {len(visible)} are visible here ({', '.join(visible)})"
        )
    return visible[:count] if visible else [str(index) for index in range(count)]
