"""Families of processes: a job's own process, the ranks started for it, and all that they have started.

Each process started here leads a session and a process group of its own, in which its children stay. A family has
ended when its first process is gone and its groups are empty: left by themselves within a moment, or else made to go.
Where Linux allows it, orphans come to this process: so no zombie keeps a group alive in a container whose first process
waits for none, and a daemon that has left its job's session is found by the token that it carries (reaper.py).

    first process gone -> NATURAL_S -> SIGTERM to what is left -> TERM_S -> SIGKILL -> KILL_S -> given up

Used by the process that jobs are forks of, and by a launcher that spawns them. Nothing here polls while all is well:
each process has a descriptor that becomes readable when it ends.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, NoReturn

from lit_hydra_bridge.sweep.reaper import has_token

NATURAL_S: Final = 2.0
TERM_S: Final = 3.0
KILL_S: Final = 2.0
_FORK_POLL_S: Final = 0.002
POLL_S: Final = 0.05
_PR_SET_CHILD_SUBREAPER: Final = 36
"""How often to look where nothing tells by itself."""


@dataclass(frozen=True)
class Ended:
    """A process that has ended; a family's first one only together with all of its family."""

    pid: int
    status: int
    """Its exit code, or the negative number of the signal that ended it."""
    is_first: bool
    reason: str | None = None
    """What is known beyond the status."""


@dataclass
class _Family:
    first: int
    token: bytes
    members: dict[int, int | None] = field(default_factory=dict)
    """pid of each process that was started -> its status, None while it runs."""
    clearing_since: float | None = None
    signalled: int = 0


class Nursery:
    """Starts processes, and tells when they have ended."""

    def __init__(self) -> None:
        self._families: dict[int, _Family] = {}
        self._descriptors: dict[int, int] = {}
        self._adopts = _set_subreaper(True)

    def close(self) -> None:
        """Orphans go to where they went before."""
        if self._adopts:
            _set_subreaper(False)

    def fork(self, run: Callable[[], int], *, token: str, family: int | None = None) -> int:
        """Start a process that calls `run` and ends with the code that it returns.

        Args:
            run: never returns to the caller's code; what it raises is printed.
            token: what this family's processes carry, and no other's.
            family: the first process of the family that it joins; None begins a new one.

        Returns:
            Its pid.
        """
        pid = forked(run)
        self.adopt(pid, token=token, family=family)
        return pid

    def adopt(self, pid: int, *, token: str, family: int | None = None) -> None:
        """Look after a process that was started otherwise; it must lead a session."""
        first = pid if family is None else family
        self._families.setdefault(first, _Family(first, token.encode())).members[pid] = None
        with suppress(OSError, AttributeError):  # not on Linux, or an old one: `wait_s` tells to look often
            self._descriptors[pid] = os.pidfd_open(pid)

    def descriptors(self) -> list[int]:
        """File descriptors that become readable when a process ends."""
        return list(self._descriptors.values())

    def wait_s(self) -> float | None:
        """Return after how many seconds to call `ended` again, whatever the descriptors say; None: no need."""
        is_clearing = any(family.clearing_since is not None for family in self._families.values())
        is_blind = len(self._descriptors) < sum(
            status is None for family in self._families.values() for status in family.members.values()
        )
        return POLL_S if is_clearing or is_blind else None

    def ended(self) -> list[Ended]:
        """Return what has ended since the last call."""
        found = []
        for family in list(self._families.values()):
            for pid, status in list(family.members.items()):
                if status is None and (status := _reap(pid)) is not None:
                    family.members[pid] = status
                    self._close_descriptor(pid)
                    if pid != family.first:
                        found.append(Ended(pid, status, False))
            status = family.members[family.first]
            if status is not None and self._is_cleared(family):
                del self._families[family.first]
                found.append(Ended(family.first, status, True))
        return found

    def ask(self, first: int) -> None:
        """Ask a family to end: its first process tells the others, as it knows them."""
        if first in self._families and self._families[first].members[first] is None:
            with suppress(OSError):
                os.kill(first, signal.SIGTERM)

    def kill(self, first: int) -> None:
        """End a family now."""
        if first in self._families:
            _signal_groups(self._families[first], signal.SIGKILL)

    def kill_all(self) -> None:
        """End all families now."""
        for first in list(self._families):
            self.kill(first)

    def forget(self) -> None:
        """In a forked child: the families are its parent's."""
        for pid in list(self._descriptors):
            self._close_descriptor(pid)
        self._families.clear()

    def _is_cleared(self, family: _Family) -> bool:
        """Look whether all groups of a family are empty, and help them to be."""
        now = time.monotonic()
        strays = self._strays(family) if self._adopts else []
        if not _signal_groups(family, 0) and not strays:
            return True
        if family.clearing_since is None:
            family.clearing_since = now
        since = now - family.clearing_since
        for number, begins in ((signal.SIGKILL, NATURAL_S + TERM_S), (signal.SIGTERM, NATURAL_S)):
            if since >= begins:
                if family.signalled != number or number == signal.SIGKILL:
                    _signal_groups(family, number)
                    for pid in strays:
                        with suppress(OSError):
                            os.kill(pid, number)
                    family.signalled = number
                break
        return since >= NATURAL_S + TERM_S + KILL_S

    def _strays(self, family: _Family) -> list[int]:
        """Wait for the family's orphans that have ended, and return those that have left its groups and run on."""
        known = {pid for each in self._families.values() for pid in each.members}
        found = []
        for pid in _children() - known:
            with suppress(OSError):
                if os.getpgid(pid) in family.members:
                    os.waitpid(pid, os.WNOHANG)
                elif has_token(pid, family.token) and os.waitpid(pid, os.WNOHANG)[0] == 0:
                    found.append(pid)
        return found

    def _close_descriptor(self, pid: int) -> None:
        if (descriptor := self._descriptors.pop(pid, None)) is not None:
            os.close(descriptor)


def forked(run: Callable[[], int]) -> int:
    """Fork a process that calls `run` in a session of its own, and ends with its code; return the pid."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # what is buffered would be written by both
            stream.flush()
    pid = os.fork()
    if pid == 0:
        _run_in_child(run)
    return pid


class Fork:
    """A forked process, to be waited for as one of `subprocess`."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def kill(self) -> None:
        with suppress(OSError):
            os.kill(self._pid, signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """Return its exit status, as of `subprocess`.

        Raises:
            subprocess.TimeoutExpired: it has not ended by then.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            try:
                found, status = os.waitpid(self._pid, os.WNOHANG)
            except ChildProcessError:
                return 0
            if found:
                return os.waitstatus_to_exitcode(status)
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("a fork", timeout or 0)
            time.sleep(_FORK_POLL_S)


def _run_in_child(run: Callable[[], int]) -> NoReturn:
    code = 1
    try:
        os.setsid()
        code = run()
    except BaseException:
        import traceback

        with suppress(Exception):
            os.write(2, traceback.format_exc().encode("utf-8", "replace"))
    finally:
        os._exit(code)


def _reap(pid: int) -> int | None:
    try:
        found, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:  # somebody else has waited for it
        return 0 if not _exists(pid) else None
    return os.waitstatus_to_exitcode(status) if found else None


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _children() -> set[int]:
    """Return this process's children, orphans that came to it included."""
    with suppress(OSError, ValueError), open(f"/proc/self/task/{os.getpid()}/children") as file:
        return {int(pid) for pid in file.read().split()}
    return set()


def _set_subreaper(on: bool) -> bool:
    """Tell Linux that orphans of this process's descendants come to it; tell whether it will do so."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        import ctypes

        return bool(ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(on), 0, 0, 0) == 0)
    except (OSError, AttributeError):
        return False


def _signal_groups(family: _Family, number: int) -> bool:
    """Send a signal to each group of a family; tell whether any had a member."""
    found = False
    for pid in family.members:
        try:
            os.killpg(pid, number)
            found = True
        except ProcessLookupError:  # it is empty
            if family.members[pid] is None:  # it runs, and has not come to lead its group yet
                with suppress(OSError):
                    os.kill(pid, number)
                    found = True
        except PermissionError:  # macOS says so of a group of zombies
            continue
    return found
