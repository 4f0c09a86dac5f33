"""The processes that a sweep on this machine has beside its jobs, the same for all its batches.

the starter   makes the jobs (local.py)
the reaper    ends them, should the launcher die (reaping.py)
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

from lit_hydra_bridge.errors import SweepError
from lit_hydra_bridge.sweep.folder import SweepFolder
from lit_hydra_bridge.sweep.forkserver_client import Forks
from lit_hydra_bridge.sweep.local import Starter, make_starter, may_fork
from lit_hydra_bridge.sweep.program import Program
from lit_hydra_bridge.sweep.reaping import Reaper

log = logging.getLogger(__name__)


class Helpers:
    """Makes them when they are needed, or before, and ends them together.

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
        if may_fork(self._settings):
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
        starter = self._starter or make_starter(
            self._program,
            self._settings,
            self._forks,
            threads=threads,
            mark=self.reaper.reading,
            warm_up=self._warm_up,
            say=log.info,
        )
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

    def _forks(self) -> Forks:
        reaper, folder = self.reaper, self._folder  # there before the fork, which has to have its pipe

        def leave() -> None:
            """In the fork: these are the launcher's own."""
            reaper.leave()
            folder.leave()

        prepared, self._prepared = self._prepared, None
        return prepared or Forks(self._program, leave, self._warm_up)
