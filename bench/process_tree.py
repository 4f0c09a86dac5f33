"""Runs a command and watches all processes that it leaves behind: their CPU, memory, and what outlives it.

One command at a time: everything that descends from this process is taken to be the command's.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
POLL_S = 0.01
MEMORY_S = 0.05
RSS_S = 0.1
PAGE_KIB = os.sysconf("SC_PAGE_SIZE") / 1024


@dataclass
class Run:
    """What came of one command."""

    begun: float
    """Seconds since the epoch."""
    wall: float = 0.0
    cpu: float = 0.0
    """User and system seconds of all processes."""
    status: int | None = None
    """As subprocess has it; None: it made no progress any more, and was killed."""
    peak_mib: float = 0.0
    """PSS of all processes together."""
    left: list[str] = field(default_factory=list)
    """The names of the processes that outlived it."""
    rss_mib: list[tuple[float, float]] = field(default_factory=list)
    """Of the first process alone: seconds since the epoch, MiB."""


@dataclass(frozen=True)
class Watch:
    """What is looked at meanwhile."""

    memory: bool = False
    rss: bool = False
    limit_s: float = 600.0
    """How long it may make no progress."""
    start_s: float = 600.0
    """The same, before it has made any."""
    progress: Callable[[], object] = lambda: None
    """Another value means progress."""
    kill: Callable[[], bool] = lambda: False
    """When to kill the first process, as `kill -9` does."""
    linger_s: float = 2.0
    """How long the other processes may outlive the first one; what is there then counts as left."""


def adopt_orphans() -> None:
    """Become the parent of all descendants that lose theirs, and end with them when asked to."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _: sys.exit(128 + received))


def descendants() -> list[int]:
    """Return the processes below this one, without those that have ended."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if state != "Z":
            children.setdefault(int(parent), []).append(int(folder.name))
    found, unseen = [], [os.getpid()]
    while unseen:
        below = children.get(unseen.pop(), [])
        found += below
        unseen += below
    return found


def pss_mib(pids: Sequence[int]) -> float:
    """Return what processes take of the memory, where a page that several share is counted once."""
    total = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += next((int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")), 0)
    return total / 1024


def name_of(pid: int) -> str:
    """Return a process' command name."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


class _Tree:
    """The command's processes, and what the ended ones have used."""

    def __init__(self, leader: subprocess.Popen[bytes], run: Run) -> None:
        self._leader, self._run = leader, run
        self.ended = False

    def reap(self) -> None:
        """Take over what has ended."""
        while True:
            try:
                pid, status, used = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            self._run.cpu += used.ru_utime + used.ru_stime
            if pid == self._leader.pid:
                # Reaped here and not by Popen, which must not wait for this number again.
                self._leader.returncode = os.waitstatus_to_exitcode(status)
                self.ended = True

    def kill_all(self) -> None:
        """Leave nothing behind; again and again, as what is killed may have been starting others."""
        while pids := descendants():
            for pid in pids:
                _kill(pid)
            time.sleep(POLL_S)
            self.reap()
        self.reap()


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def watch(command: Sequence[str], *, cwd: Path, env: dict[str, str], output: Path, options: Watch) -> Run:
    """Run a command to its end, its output going to a file; all its processes have ended afterwards."""
    with output.open("wb") as sink:
        run, started = Run(begun=time.time()), time.perf_counter()
        leader = subprocess.Popen(
            command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True
        )
        tree = _Tree(leader, run)
        try:
            hung = _until_end(tree, leader.pid, run, options)
            run.wall = time.perf_counter() - started
            run.status = None if hung else leader.returncode
            _linger(tree, run, options.linger_s)
        finally:
            tree.kill_all()
    return run


def _until_end(tree: _Tree, pid: int, run: Run, options: Watch) -> bool:
    """Watch until the first process has ended; return whether it had to be killed for want of progress."""
    seen, changed, limit = options.progress(), time.monotonic(), options.start_s
    next_look = next_progress = 0.0
    while True:
        tree.reap()
        if tree.ended:
            return False
        now = time.monotonic()
        if now >= next_look and (options.memory or options.rss):
            next_look = now + (MEMORY_S if options.memory else RSS_S)
            _look(pid, run, options)
        if now >= next_progress:
            next_progress = now + 0.1
            if (newest := options.progress()) != seen:
                seen, changed, limit = newest, now, options.limit_s
            if options.kill():
                _kill(pid)
        if now - changed > limit:
            _kill(pid)
            while not tree.ended:
                time.sleep(POLL_S)
                tree.reap()
            return True
        time.sleep(POLL_S)


def _look(pid: int, run: Run, options: Watch) -> None:
    if options.memory:
        run.peak_mib = max(run.peak_mib, pss_mib(descendants()))
    if options.rss:
        try:
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            return
        run.rss_mib.append((time.time(), pages * PAGE_KIB / 1024))


def _linger(tree: _Tree, run: Run, seconds: float) -> None:
    until = time.monotonic() + seconds
    while (left := descendants()) and time.monotonic() < until:
        time.sleep(POLL_S)
        tree.reap()
    run.left = [name_of(pid) for pid in left]
