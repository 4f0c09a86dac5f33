"""Ends a sweep's processes when its launcher has died, however it died. A script of its own, without the package.

    python -I -S reaper.py FD TOKEN

FD is a pipe's reading end, and only the launcher has the writing end. `+12` names a process group to watch, `-12`
one to forget, `.` says that all is well and over. The pipe's end without that means that the launcher is gone.

Programs that have left their job's group are known by TOKEN, which stands in the environment of each job; forks that
have left it, by the pipe's reading end, which every fork inherits.
"""

from __future__ import annotations

import os
import signal
import sys
import time

_LIMIT_S = 5.0
_PAUSE_S = 0.05


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
    end(Marks(groups, token, f"pipe:[{os.fstat(pipe).st_ino}]"))


class Marks:
    """By what processes are known that belong together.

    Args:
        groups: process groups.
        token: what stands in their environment.
        file: what they have open, as /proc names it.
    """

    def __init__(self, groups: set[int], token: bytes, file: str) -> None:
        self.groups, self.token, self.file = groups, token, file


def end(marks: Marks) -> None:
    """Kill until nothing is left."""
    deadline = time.monotonic() + _LIMIT_S
    while kill_all(marks) and time.monotonic() < deadline:
        time.sleep(_PAUSE_S)


def kill_all(marks: Marks) -> bool:
    """Kill all that has a mark, in one round; tell whether there was anything."""
    found = False
    for target, kill in [
        *((pid, os.kill) for pid in relatives(marks)),
        *((group, os.killpg) for group in marks.groups),
    ]:
        try:
            kill(target, signal.SIGKILL)
            found = True
        except OSError:  # it is gone
            pass
    return found


def relatives(marks: Marks) -> set[int]:
    """Return the processes of the groups' sessions, those with a mark, and the descendants of all (Linux only)."""
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
            is_member = int(group) in marks.groups or int(session) in marks.groups
            if is_member or has_token(pid, marks.token) or has_open(pid, marks.file):
                found.add(pid)
        except (OSError, ValueError):  # it ended meanwhile
            continue
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def has_open(pid: int, target: str) -> bool:
    """Tell whether a process has a file or pipe open."""
    folder = f"/proc/{pid}/fd"
    try:
        names = os.listdir(folder)
    except OSError:
        return False
    for name in names:
        try:
            if os.readlink(f"{folder}/{name}") == target:
                return True
        except OSError:  # it was closed meanwhile
            continue
    return False


def has_token(pid: int, token: bytes) -> bool:
    """Tell whether a process was started with the token in its environment."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return bool(token) and token in file.read()
    except OSError:
        return False


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2].encode())
