"""The signals that end a sweep: counted, so that the loop decides what they mean."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import Any


class Signals:
    """SIGINT, SIGTERM and SIGHUP, counted instead of obeyed; readable in select when one has come."""

    def __init__(self) -> None:
        self.count = 0
        self.first: int | None = None
        self._reading, self._writing = os.pipe()
        for descriptor in (self._reading, self._writing):
            os.set_blocking(descriptor, False)
        self._before: dict[int, Any] = {}

    @property
    def name(self) -> str:
        """Of the first one."""
        return signal.Signals(self.first).name if self.first is not None else ""

    def fileno(self) -> int:
        """For select."""
        return self._reading

    def __enter__(self) -> Signals:
        with suppress(ValueError):  # only the main thread may; elsewhere signals do what they did
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self.close()

    def seen(self) -> int:
        """Return how many have come; `select` waits for the next."""
        with suppress(OSError):
            os.read(self._reading, 100)
        return self.count

    def close(self) -> None:
        """Close the pipe."""
        for descriptor in (self._reading, self._writing):
            with suppress(OSError):
                os.close(descriptor)

    def _note(self, number: int, _: object) -> None:
        self.count += 1
        self.first = self.first or number
        with suppress(OSError):
            os.write(self._writing, b"!")
