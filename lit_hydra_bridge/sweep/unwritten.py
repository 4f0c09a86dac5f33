"""Files of a sweep that could not be written, such as on a full disk: they are kept, and tried again."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from lit_hydra_bridge.files import patiently
from lit_hydra_bridge.sweep.folder import JobFolder
from lit_hydra_bridge.sweep.job import JobState

_BETWEEN_S: Final = 1.0
_AT_THE_END_S: Final = 5.0


@dataclass
class Unwritten:
    """Writes files, and keeps what could not be written.

    Args:
        say: tells a person.
    """

    say: Callable[[str], None]
    _waiting: dict[Path, tuple[Callable[[], object], str]] = field(default_factory=dict)
    """By file: how it is written, and why it could not be."""
    _tried: float = 0.0

    def write(self, path: Path, write: Callable[[], object]) -> None:
        """Write a file by calling `write`; if that fails, keep it for later."""
        try:
            write()
            self.forget(path)
        except OSError as error:
            if not self._waiting:
                self.say(f"{path}: it can't be written now ({error.strerror or error}); it is tried again.")
            self._waiting[path] = write, str(error.strerror or error)

    def write_state(self, folder: JobFolder, state: JobState) -> None:
        """Write a job's state."""
        self.write(folder.state_file, lambda: folder.write(state))

    def forget(self, path: Path) -> None:
        """Something newer will be written there."""
        self._waiting.pop(path, None)

    def try_again(self) -> None:
        """Write what could not be written, if it is time."""
        now = time.monotonic()
        if self._waiting and now - self._tried > _BETWEEN_S:
            self._tried = now
            self._write_all()
            if not self._waiting:
                self.say("All files that could not be written are written now.")

    def settle(self) -> None:
        """Try for the last time, and with some patience."""
        for write, _ in list(self._waiting.values())[:1]:
            with suppress(OSError):
                patiently(write, _AT_THE_END_S)
        self._write_all()

    @property
    def left(self) -> list[str]:
        """A line about each file that is not written."""
        return [f"{path} ({why})" for path, (_, why) in self._waiting.items()]

    def _write_all(self) -> None:
        for path, (write, _) in list(self._waiting.items()):
            try:
                write()
                self.forget(path)
            except OSError as error:
                self._waiting[path] = write, str(error.strerror or error)
