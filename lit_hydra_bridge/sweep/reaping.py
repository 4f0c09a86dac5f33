"""The launcher's side of `reaper.py`: it is told which process groups there are, and outlives the launcher."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path

from lit_hydra_bridge.errors import SweepError
from lit_hydra_bridge.sweep import reaper
from lit_hydra_bridge.sweep.machine import interpreter


class Reaper:
    """A process that kills what is watched once this one is gone."""

    def __init__(self) -> None:
        self._writing: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, token: str, keep_open: int | None = None) -> None:
        """Start the process.

        Args:
            token: what stands in the environment of all that the sweep starts.
            keep_open: a file descriptor that stays open until all is gone: the lock of the sweep's folder.

        Raises:
            SweepError: it can't be started.
        """
        try:
            reading, self._writing = os.pipe()
            try:
                self._process = subprocess.Popen(
                    [interpreter(), "-I", "-S", str(Path(reaper.__file__)), str(reading), token],
                    pass_fds=[reading] if keep_open is None else [reading, keep_open],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                    cwd="/",  # a folder that somebody may want to unmount is not held
                )
            finally:
                os.close(reading)
        except OSError as error:
            raise SweepError(f"the process that ends what jobs leave behind can't be started: {error}") from None

    def watch(self, group: int) -> None:
        """Kill this process group, and its session, when this process is gone."""
        self._tell(f"+{group}\n")

    def forget(self, group: int) -> None:
        """The group has ended; its number may come to be another's."""
        self._tell(f"-{group}\n")

    def close(self, *, all_is_well: bool = True) -> None:
        """Let the reaper go.

        Args:
            all_is_well: nothing is watched any more; else it is killed.
        """
        if all_is_well:
            self._tell(".\n")
        self.leave()
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(10)

    def leave(self) -> None:
        """In a forked child: the pipe is its parent's, and must end with it."""
        if self._writing is not None:
            os.close(self._writing)
            self._writing = None

    def _tell(self, line: str) -> None:
        if self._writing is None:
            return
        with suppress(OSError):  # somebody has killed the reaper: jobs still die with their launcher, as Linux does it
            os.write(self._writing, line.encode())
