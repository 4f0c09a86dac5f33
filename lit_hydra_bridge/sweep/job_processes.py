"""What starts the jobs of a sweep on this machine, and what ends them should the launcher die; for all its batches.

the starter   makes the jobs' processes in the way that was asked for, or the first that is proven safe (local.py)
the reaper    outlives the launcher (reaping.py)
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from lit_hydra_bridge.errors import SweepError
from lit_hydra_bridge.sweep.folder import SweepFolder
from lit_hydra_bridge.sweep.forkserver_client import Forks, ForkServer
from lit_hydra_bridge.sweep.local import Spawns, Starter, libraries
from lit_hydra_bridge.sweep.program import Program
from lit_hydra_bridge.sweep.reaping import Reaper

log = logging.getLogger(__name__)


class JobProcesses:
    """Makes both when they are needed, or before, and ends them together.

    Args:
        program: the app.
        settings: the launcher's.
        folder: the sweep's.
        warm_up: is called in the process that jobs are forks of, to import what they will need.
    """

    def __init__(
        self, program: Program, settings: Any, folder: SweepFolder, warm_up: Callable[[], object] | None = None
    ) -> None:
        self._program, self._settings, self._folder, self._warm_up = program, settings, folder, warm_up
        self.reaper = Reaper()
        """Is told of all jobs."""
        self._prepared: Forks | SweepError | None = None
        self._starter: Starter | None = None

    def prepare(self) -> None:
        """Start what takes its time, and will most likely be needed; before the launcher opens files of its own."""
        if self._may_fork and self._prepared is None and self._starter is None:
            try:
                self._prepared = Forks(self._program, self._leave, self._warm_up)
            except SweepError as why:  # told when jobs are to be started
                self._prepared = why

    def watch(self, token: str) -> None:
        """Let the reaper begin; the folder has been taken.

        Args:
            token: what all that the sweep starts is known by.

        Raises:
            SweepError: it can't be started.
        """
        self.reaper.start(token, self._folder.lock_handle)

    def starter(self, threads: int) -> Starter:
        """Return what starts the jobs of all batches.

        Args:
            threads: the thread budget of each.

        Raises:
            SweepError: the start method that was asked for is not safe, or not possible.
        """
        if self._starter is None:
            self._starter = self._first_possible(threads)
        return self._starter

    def close(self, *, all_is_well: bool = True) -> None:
        """End them.

        Args:
            all_is_well: no job is left; else the reaper kills what is.
        """
        for starter in (self._starter, self._prepared):
            if starter is not None and not isinstance(starter, SweepError):
                starter.close()
        self._starter = self._prepared = None
        self.reaper.close(all_is_well=all_is_well)

    @property
    def _may_fork(self) -> bool:
        return self._settings.start_method in ("auto", "fork")

    def _first_possible(self, threads: int) -> Starter:
        """Why it is not an earlier one is told."""
        wanted = self._settings.start_method
        if self._may_fork:
            try:
                return self._forking(threads)
            except SweepError as why:
                if wanted == "fork":
                    raise SweepError(
                        f"hydra.launcher.start_method=fork can't be used here: {why}; leave it at auto"
                    ) from None
                log.info(f"jobs are not forked from this process: {why}")
        if wanted != "spawn":
            try:
                preload = libraries() if self._settings.preload == "auto" else list(self._settings.preload)
                server = ForkServer(self._program, preload, threads, self._warm_up)
                server.begin(threads)
                return server
            except SweepError as why:
                if wanted == "forkserver":
                    raise
                log.info(f"jobs are started from scratch: {why}")
        return Spawns(self._program)

    def _forking(self, threads: int) -> Forks:
        prepared, self._prepared = self._prepared, None
        if isinstance(prepared, SweepError):
            raise prepared
        assert prepared is not None, "prepare comes first"
        prepared.begin(threads)
        return prepared

    def _leave(self) -> None:
        """In the fork: these are the launcher's own."""
        self.reaper.leave()
        self._folder.leave()
