"""What starts the jobs of a sweep on this machine, and what ends them should the launcher die; for all its batches.

the starter   makes the jobs' processes in the way that was asked for, or the first that is proven safe (local.py)
the reaper    outlives the launcher (reaping.py)
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

from lit_hydra_bridge.errors import SweepError
from lit_hydra_bridge.sweep.folder import SweepFolder
from lit_hydra_bridge.sweep.forkserver_client import Forks, ForkServer, UnsafeForkError
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
        self._reaper: Reaper | None = None
        self._prepared: Forks | None = None
        self._starter: Starter | None = None

    def prepare(self) -> None:
        """Start what takes its time, and will most likely be needed."""
        if self._may_fork:
            with suppress(SweepError):  # tried again, and told, when jobs are to be started
                self._prepared = self._forks()

    @property
    def reaper(self) -> Reaper:
        """Is told of all jobs."""
        if self._reaper is None:
            self._reaper = Reaper()
        return self._reaper

    def watch(self, token: str) -> None:
        """Let the reaper begin; the folder has been taken.

        Args:
            token: what stands in the environment of all that the sweep starts.
        """
        self.reaper.start(token, self._folder.lock_handle)

    @contextmanager
    def starter(self, threads: int) -> Iterator[Starter]:
        """What starts the jobs of a batch.

        Args:
            threads: the thread budget of each.

        Raises:
            SweepError: the start method that was asked for is not safe, or not possible.
        """
        starter = self._starter or self._first_safe(threads)
        if starter.name == "spawn":  # others have prepared what is good for all batches
            with closing(starter):
                yield starter
            return
        self._starter = starter
        yield starter

    def close(self, *, all_is_well: bool = True) -> None:
        """End them.

        Args:
            all_is_well: no job is left; else the reaper kills what is.
        """
        for starter in (self._starter, self._prepared):
            if starter is not None:
                starter.close()
        if self._reaper is not None:
            self._reaper.close(all_is_well=all_is_well)
        self._starter = self._prepared = self._reaper = None

    @property
    def _may_fork(self) -> bool:
        return self._settings.start_method in ("auto", "fork")

    def _first_safe(self, threads: int) -> Starter:
        wanted = self._settings.start_method
        if self._may_fork:
            try:
                return _begun(self._forks(), threads)
            except UnsafeForkError as why:
                if wanted == "fork":
                    raise SweepError(
                        f"hydra.launcher.start_method=fork is not safe here: {why}; leave it at auto"
                    ) from None
                log.info(f"jobs are not forked from this process: {why}")
        if wanted in ("auto", "forkserver"):
            try:
                return _begun(self._forkserver(threads), threads)
            except SweepError as error:
                if wanted == "forkserver":
                    raise
                log.info(f"jobs are started from scratch: {error}")
        return Spawns(self._program)

    def _forkserver(self, threads: int) -> ForkServer:
        preload = libraries() if self._settings.preload == "auto" else list(self._settings.preload)
        return ForkServer(self._program, preload, threads, self.reaper.reading, self._warm_up)

    def _forks(self) -> Forks:
        reaper, folder = self.reaper, self._folder  # there before the fork, which has to have its pipe

        def leave() -> None:
            """In the fork: these are the launcher's own."""
            reaper.leave()
            folder.leave()

        prepared, self._prepared = self._prepared, None
        return prepared or Forks(self._program, leave, self._warm_up)


def _begun(server: Forks | ForkServer, threads: int) -> Starter:
    server.begin(threads)
    return server
