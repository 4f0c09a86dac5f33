"""`hydra/launcher=lit_local` and `lit_slurm`: the door to lit_hydra_bridge.sweep.

Hydra executes this module at the start of every app on the machine, so it imports next to nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from hydra.errors import CompactHydraException
from hydra.plugins.launcher import Launcher

from hydra_plugins.lit_hydra_bridge import or_without

if TYPE_CHECKING:
    from pathlib import Path

    from hydra.core.utils import JobReturn
    from hydra.types import HydraContext, TaskFunction
    from omegaconf import DictConfig

    from lit_hydra_bridge.sweep.launch import Sweep


class LauncherError(CompactHydraException):  # type: ignore[misc]
    """A sweep can't be launched; Hydra shows a compact error as its message alone, without a traceback."""


class LitLocalLauncher(Launcher):  # type: ignore[misc]
    """Runs a multirun's jobs in parallel on this machine, each in a process of its own."""

    def __init__(self, **settings: Any) -> None:
        self._given = settings
        self._sweep: Sweep | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Check the settings, and freeze the config files.

        Raises:
            LauncherError: a setting makes no sense, or this is Windows.
        """
        from lit_hydra_bridge.errors import SweepError
        from lit_hydra_bridge.switch import unsupported

        if reason := unsupported():
            raise LauncherError(reason)
        try:
            self._sweep = self._make(hydra_context, task_function, config)
        except SweepError as error:
            raise LauncherError(str(error)) from None

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run a batch of jobs.

        Raises:
            LauncherError: it can't be launched.
        """
        from lit_hydra_bridge.errors import SweepError

        assert self._sweep is not None, "Hydra calls setup before launch"
        try:
            return self._sweep.launch(job_overrides, initial_job_idx)
        except SweepError as error:
            raise LauncherError(str(error)) from None

    def _make(self, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> Sweep:
        from lit_hydra_bridge.record.factories import import_recorders
        from lit_hydra_bridge.sweep.local_sweep import make_sweep

        return make_sweep(hydra_context, task_function, config, self._given, _write_results, import_recorders)


class LitSlurmLauncher(LitLocalLauncher):
    """Runs a multirun's jobs on a Slurm cluster, as one job array."""

    def _make(self, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> Sweep:
        from lit_hydra_bridge.sweep.slurm.sweep import make_slurm_sweep

        return make_slurm_sweep(hydra_context, task_function, config, self._given, _write_results)


def _write_results(folder: Path) -> None:
    """At a sweep's end, and not imported before: `sweep` itself knows nothing of tables."""
    from lit_hydra_bridge.results.table_file import write_results

    write_results(folder)


def _store() -> None:
    """Hydra executes plugin modules anew, and its newer versions warn of an entry that is there already."""
    from lit_hydra_bridge.sweep.settings import LitLocalSettings
    from lit_hydra_bridge.sweep.slurm.settings import LitSlurmSettings

    launchers = getattr(ConfigStore.instance(), "repo", {}).get("hydra", {}).get("launcher", {})
    for name, node in (("lit_local", LitLocalSettings), ("lit_slurm", LitSlurmSettings)):
        if f"{name}.yaml" not in launchers:
            ConfigStore.instance().store(group="hydra/launcher", name=name, node=node, provider="lit-hydra-bridge")


with or_without("hydra/launcher=lit_local or lit_slurm"):
    _store()
