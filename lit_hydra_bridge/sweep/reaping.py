"""The launcher's side of `reaper.py`: it is told which process groups there are, and outlives the launcher."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path

from lit_hydra_bridge.sweep import reaper
from lit_hydra_bridge.sweep.machine import interpreter


class Reaper:
    """A process that kills what is watched once this one is gone.

    Args:
        token: what stands in the environment of all that the sweep starts.
        keep_open: a file descriptor that stays open until all is gone: the lock of the sweep's folder.
    """

    def __init__(self, token: str, keep_open: int | None = None) -> None:
        # Every fork inherits the reading end, and is known by it.
        self.reading, self._writing = os.pipe()
        kept = [self.reading] if keep_open is None else [self.reading, keep_open]
        self._process = subprocess.Popen(
            [interpreter(), "-I", "-S", str(Path(reaper.__file__)), str(self.reading), token],
            pass_fds=kept,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",  # a folder that somebody may want to unmount is not held
        )

    all_is_well = True
    """False: something is left, and is killed once the reaper is let go."""

    def watch(self, group: int) -> None:
        """Kill this process group, and its session, when this process is gone."""
        self._tell(f"+{group}\n")

    def forget(self, group: int) -> None:
        """The group has ended; its number may come to be another's."""
        self._tell(f"-{group}\n")

    def close(self) -> None:
        """Let the reaper go; nothing is watched any more."""
        if self.all_is_well:
            self._tell(".\n")
        self.leave()
        os.close(self.reading)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(10)

    def leave(self) -> None:
        """In a forked child: the pipe is its parent's, and must end with it."""
        if self._writing >= 0:
            os.close(self._writing)
            self._writing = -1

    def _tell(self, line: str) -> None:
        with suppress(OSError):  # somebody has killed the reaper: jobs still die with their launcher, as Linux does it
            os.write(self._writing, line.encode())
