"""A job's log while the job writes it: kept from filling the disk, and read line by line."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TAIL: Final = 1 << 16
_MOST_AT_ONCE: Final = 1 << 20


def bounded(path: Path, limit: int) -> None:
    """Leave the middle of a log out if it is longer than `limit` bytes: its beginning and its end stay.

    The job appends, so it goes on writing at the new end.
    """
    with suppress(OSError):
        size = path.stat().st_size
        if size <= limit:
            return
        with path.open("r+b") as file:
            kept, tail = limit // 2, min(_TAIL, limit // 4)
            file.seek(size - tail)
            end = file.read()[-tail:]  # with what was written meanwhile, as that may be the last line
            size = file.tell()
            mark = f"\n[lit-hydra-bridge: {size - kept - len(end):,} bytes left out: log_limit_mib]\n".encode()
            file.truncate(kept)
            file.seek(0, os.SEEK_END)
            file.write(mark + end)


@dataclass
class LogReader:
    """Reads what was added since the last time."""

    path: Path
    _position: int = 0
    _rest: bytes = b""

    def new_lines(self, *, all_of_it: bool = False) -> list[str]:
        """Return the lines that are whole; with `all_of_it` also one that does not end."""
        data = b""
        with suppress(OSError), self.path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            if size < self._position:  # its middle was left out
                self._position, self._rest = size, b""
            file.seek(self._position)
            data = file.read(_MOST_AT_ONCE)
            self._position += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        if all_of_it and self._rest:
            lines.append(self._rest)
            self._rest = b""
        return [line.decode("utf-8", "replace").rstrip("\r") for line in lines]
