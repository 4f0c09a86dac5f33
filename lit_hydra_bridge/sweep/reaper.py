"""Ends a sweep's processes when its launcher has died, however it died. A script of its own, without the package.

    python -I -S reaper.py FD TOKEN

FD is a pipe's reading end, and only the launcher has the writing end. `+12` names a process group to watch, `-12`
one to forget, `.` says that all is well and over. The pipe's end without that means that the launcher is gone.

What has left its job's group is known by TOKEN, which each job carries in two places: in its environment, and as a
resource limit that Linux does not use. A daemon that leaves its session, closes all files and clears its environment
still has the limit, and so has everything that it starts.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from typing import Final

_LIMIT_S: Final = 5.0
_PAUSE_S: Final = 0.05
_RLIMIT_LOCKS: Final = 10
"""The number of file locks that a process may hold: kept and inherited, but not looked at since Linux 2.4.25."""
_JOB_BITS, _ATTEMPT_BITS = 20, 10


def main(pipe: int, token: bytes) -> None:
    """Watch until the pipe ends, then kill what is left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    rest = b""
    while chunk := os.read(pipe, 65536):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line == b".":
                return
            (groups.add if line[:1] == b"+" else groups.discard)(int(line[1:]))
    end(groups, token)


def end(groups: set[int], token: bytes) -> None:
    """Kill until nothing is left of these process groups, and of what carries the token."""
    deadline = time.monotonic() + _LIMIT_S
    while kill_all(groups, token) and time.monotonic() < deadline:
        time.sleep(_PAUSE_S)


def kill_all(groups: set[int], token: bytes) -> bool:
    """Kill them in one round; tell whether there was anything."""
    found = False
    for target, kill in [
        *((pid, os.kill) for pid in relatives(groups, token)),
        *((group, os.killpg) for group in groups),
    ]:
        try:
            kill(target, signal.SIGKILL)
            found = True
        except OSError:  # it is gone
            pass
    return found


def relatives(groups: set[int], token: bytes) -> set[int]:
    """Return the processes of the groups' sessions, those with the token, and the descendants of all (Linux only)."""
    parents: dict[int, int] = {}
    found = set()
    for name in os.listdir("/proc") if os.path.isdir("/proc/self") else ():
        if not name.isdigit() or int(name) == os.getpid():
            continue
        pid = int(name)
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                state, parent, group, session = file.read().rpartition(b")")[2].split()[:4]
            if state == b"Z":
                continue
            parents[pid] = int(parent)
            if int(group) in groups or int(session) in groups or has_token(pid, token):
                found.add(pid)
        except (OSError, ValueError):  # it ended meanwhile
            continue
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def carry(token: str) -> None:
    """Let this process, and all that it starts from now on, be known by a job's token; see `has_token`."""
    with suppress(Exception):  # not Linux, or a sandbox that allows no such limit: the environment has the token
        import resource

        _, hard = resource.getrlimit(_RLIMIT_LOCKS)
        resource.setrlimit(_RLIMIT_LOCKS, (_as_limit(token.encode()), hard))


def has_token(pid: int, token: bytes) -> bool:
    """Tell whether a process carries a token: a job's, or a sweep's, with which those of all its jobs begin."""
    is_sweeps = b":" not in token
    try:
        with open(f"/proc/{pid}/limits", "rb") as file:
            limit = next((line.split()[3] for line in file if line.startswith(b"Max file locks")), b"")
        if limit.isdigit() and int(limit) >> (_JOB_BITS + _ATTEMPT_BITS) * is_sweeps == _as_limit(token):
            return True
        with open(f"/proc/{pid}/environ", "rb") as file:
            return bool(token) and token in file.read()
    except OSError:
        return False


def _as_limit(token: bytes) -> int:
    """Return a token as a number: 32 bits of the sweep, and those of the job's number and of the attempt."""
    sweep, *job = token.rstrip(b";").split(b":")
    number = int(sweep[:8], 16)
    for part, bits in zip(job, (_JOB_BITS, _ATTEMPT_BITS), strict=True) if job else ():
        number = number << bits | int(part) % (1 << bits)
    return number


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2].encode())
