"""What was open before a fork: its forks share one place in each file, so that one job's `seek` moves all others'.

Files that are only read or appended to are opened anew in each job, at the same place. Anything else that a fork would
share is a reason not to fork.
"""

from __future__ import annotations

import fcntl
import os
import re
import socket
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from lit_hydra_bridge.errors import SweepError

_FOLDER: Final = "/proc/self/fd"
_MOST_NAMED: Final = 3
_SQLITE: Final = b"SQLite format 3\0"
# The C library and its like hold these open, and open them anew after a fork.
_OF_LIBRARIES: Final = re.compile(r"/(var/lib/sss|(var/)?run/(nscd|nslcd|winbindd|samba|systemd/journal)|dev/log$)")
# Where libffi keeps the code of ctypes' callbacks on hardened systems.
_OF_LIBFFI: Final = re.compile(r".*/(memfd:lib)?ffi\w* \(deleted\)$")
_DEVICES: Final = re.compile(r"/dev/(?!shm/|zero )")


@dataclass(frozen=True)
class _Open:
    descriptor: int
    name: str
    """As /proc shows it."""
    status: os.stat_result
    flags: int
    is_inherited: bool
    """From the shell or whoever has started this program; what Python opens itself is closed in other programs."""

    @property
    def is_regular(self) -> bool:
        return stat.S_ISREG(self.status.st_mode) or stat.S_ISDIR(self.status.st_mode)

    @property
    def can_be_opened_anew(self) -> bool:
        return self.is_regular and (self.flags & os.O_ACCMODE == os.O_RDONLY or bool(self.flags & os.O_APPEND))

    def open_anew(self) -> None:
        """Give the descriptor a place of its own in the file, which is where the shared one is.

        Raises:
            SweepError: the file can't be opened any more.
        """
        try:
            new = self._opened_again()
            try:
                os.lseek(new, os.lseek(self.descriptor, 0, os.SEEK_CUR), os.SEEK_SET)
                os.dup2(new, self.descriptor, inheritable=self.is_inherited)
            finally:
                os.close(new)
        except OSError as error:
            raise SweepError(f"{self.name} was open before the launch, and can't be opened again: {error}") from None

    def _opened_again(self) -> int:
        return os.open(f"{_FOLDER}/{self.descriptor}", self.flags & ~os.O_NOFOLLOW)

    def why_shared(self) -> str | None:
        """Return what a fork would share, in words; None where that does no harm."""
        kind, access = stat.S_IFMT(self.status.st_mode), self.flags & os.O_ACCMODE
        if self.can_be_opened_anew:
            try:
                os.close(self._opened_again())
            except OSError:
                return f"{self.name}, which can't be opened again"
            return f"the database {self.name}" if _begins_with(self.descriptor, _SQLITE) else None
        if self.is_regular:
            is_shells = self.is_inherited and access == os.O_WRONLY
            return None if is_shells or _OF_LIBFFI.match(self.name) else f"{self.name}, which is open for writing"
        if stat.S_ISSOCK(kind):
            peer = _peer(self.descriptor)
            return None if self.is_inherited or _OF_LIBRARIES.match(peer) else f"a socket{peer and f' to {peer}'}"
        if stat.S_ISFIFO(kind):  # what is written to a pipe is appended
            return None if self.is_inherited or access == os.O_WRONLY else "a pipe"
        return self.name if not kind else None  # epoll, inotify and so on; what is left are devices


def open_anew() -> None:
    """In a fork: open anew what can be.

    Raises:
        SweepError: a file can't be opened any more.
    """
    for each in _open_files():
        if each.can_be_opened_anew:
            each.open_anew()


def why_shared() -> str | None:
    """Return what forks of this process would share, in words; None where there is nothing."""
    found = {name: f"the memory of {name}" for name in _shared_memory()}
    found |= {
        each.name: f"{why} (descriptor {each.descriptor})" for each in _open_files() if (why := each.why_shared())
    }
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    return f"jobs would share {', '.join(list(found.values())[:_MOST_NAMED])}{more}" if found else None


def _open_files() -> Iterator[_Open]:
    """Give what is open, besides the three standard streams and what is the same file as one of them."""
    streams = set()
    for descriptor in range(3):
        with suppress(OSError):
            streams.add(_identity(os.fstat(descriptor)))
    for name in os.listdir(_FOLDER) if os.path.isdir(_FOLDER) else ():
        descriptor = int(name)
        with suppress(OSError):  # that with which the folder was listed
            status = os.fstat(descriptor)
            flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
            if descriptor > 2 and _identity(status) not in streams and not flags & os.O_PATH:
                link = os.readlink(f"{_FOLDER}/{name}")
                yield _Open(descriptor, link, status, flags, os.get_inheritable(descriptor))


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _shared_memory() -> list[str]:
    """Return the names of what is mapped so that forks see each other's writes; devices left aside."""
    names = set()
    with suppress(OSError), open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
        for line in file:
            _, permissions, *_, name = line.rstrip("\n").split(maxsplit=5)
            if permissions[1] + permissions[3] == "ws" and not _DEVICES.match(name) and not _OF_LIBFFI.match(name):
                names.add(name.replace("/dev/zero (deleted)", "mmap(-1)"))
    return sorted(names)


def _begins_with(descriptor: int, start: bytes) -> bool:
    with suppress(OSError):
        return os.pread(descriptor, len(start), 0) == start
    return False


def _peer(descriptor: int) -> str:
    """Return whom a socket is connected to; empty where it is not."""
    with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as opened:
        peer = opened.getpeername()
        return f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else os.fsdecode(peer)
    return ""
