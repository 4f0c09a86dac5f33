"""DDP ranks of a job, started warm.

Lightning starts each further rank as a program, which imports everything again. In a job's process the launcher is
asked first: it can start one as it starts jobs, with the libraries loaded.

    job      -> launcher   {"rank": {"argv": …, "env": …, "cwd": …}}    one JSON object a line
    launcher -> job        {"pid": 12}, or {"pid": null}: start it yourself
    launcher -> job        {"ended": 12, "status": 0}
    job      -> launcher   {"rank_failed": [1, 3]}                       a rank that the job started itself
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, Final

from lit_hydra_bridge.on_import import when_imported
from lit_hydra_bridge.sweep.job_environment import THREADS, limit_threads

_ANSWER_S: Final = 20.0
_MODULES: Final = tuple(
    f"{package}.strategies.launchers.subprocess_script"
    for package in ("lightning.fabric", "lightning.pytorch", "lightning_fabric", "pytorch_lightning")
)


class LauncherLine:
    """The job's end of its connection with the launcher."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._rest = b""
        self._statuses: dict[int, int] = {}

    def ask_for_rank(self, request: dict[str, Any]) -> int | None:
        """Return the pid of a rank that the launcher has started; None where it can't."""
        with self._lock:
            try:
                self._connection.sendall(json.dumps({"rank": request}).encode() + b"\n")
                deadline = time.monotonic() + _ANSWER_S
                while (left := deadline - time.monotonic()) > 0:
                    for message in self._received(left):
                        if "pid" in message:
                            pid: int | None = message["pid"]
                            return pid
            except OSError:
                pass
            return None

    def status(self, pid: int) -> int | None:
        """Return how a rank has ended; None while it runs."""
        with self._lock:
            with suppress(OSError):
                list(self._received(0.0))
            return self._statuses.get(pid)

    def tell_failed(self, rank: int, status: int) -> None:
        """Say why the job is about to die: Lightning kills all ranks when one fails."""
        with self._lock, suppress(OSError):
            self._connection.sendall(json.dumps({"rank_failed": [rank, status]}).encode() + b"\n")

    def _received(self, timeout_s: float) -> Iterator[dict[str, Any]]:
        self._connection.settimeout(max(timeout_s, 0.0))
        try:
            data = self._connection.recv(65536)
        except (BlockingIOError, TimeoutError):
            return
        finally:
            self._connection.settimeout(None)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "ended" in message:
                self._statuses[message["ended"]] = message["status"]
            yield message


class WarmRank:
    """A rank that the launcher has started, as far as Lightning uses a Popen."""

    def __init__(self, line: LauncherLine, pid: int, args: Any) -> None:
        self.pid, self.args = pid, args
        self.returncode: int | None = None
        self._line = line

    def poll(self) -> int | None:
        """As Popen's."""
        if self.returncode is None:
            self.returncode = self._line.status(self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """As Popen's."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (status := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
            time.sleep(0.02)
        return status

    def send_signal(self, number: int) -> None:
        """As Popen's."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """As Popen's."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """As Popen's."""
        self.send_signal(signal.SIGKILL)


def _cold_rank(line: LauncherLine, rank: int, *args: Any, **kwargs: Any) -> Any:
    """A rank that is a program of its own; the launcher hears if it fails, before Lightning kills this process."""

    class ColdRank(subprocess.Popen):  # type: ignore[type-arg]
        told = False

        def poll(self) -> int | None:
            status = super().poll()
            if status and not self.told:
                self.told = True
                line.tell_failed(rank, status)
            return status

    return ColdRank(*args, **kwargs)


@contextlib.contextmanager
def started_by(connection: socket.socket | None, write_config: Callable[[], None]) -> Iterator[None]:
    """While the block runs, Lightning's further ranks are asked of the launcher at the other end.

    Args:
        connection: to the launcher.
        write_config: writes the job's config, for the ranks, before the first of them is started.
    """
    if connection is None:
        yield
        return
    line = LauncherLine(connection)

    def popen(command: Any, *args: Any, env: Any = None, cwd: Any = None, **kwargs: Any) -> Any:
        write_config()
        environment = _with_shared_threads(dict(os.environ if env is None else env))
        rank = int(environment.get("LOCAL_RANK", "0") or 0)
        pid = None
        if _is_this_job_again(command):
            start = command.index(sys.argv[1]) if len(sys.argv) > 1 else len(command)
            request = {"argv": [sys.argv[0], *command[start:]], "env": environment, "cwd": cwd or os.getcwd()}
            pid = line.ask_for_rank(request)
        if pid is None:
            return _cold_rank(line, rank, command, *args, env=environment, cwd=cwd, **kwargs)
        return WarmRank(line, pid, command)

    when_imported({name: _patch(name, popen) for name in _MODULES})
    yield


def _patch(name: str, popen: Callable[..., Any]) -> Callable[[], None]:
    def patch() -> None:
        sys.modules[name].subprocess = SimpleNamespace(**{**vars(subprocess), "Popen": popen})  # type: ignore[attr-defined]

    return patch


def _is_this_job_again(command: Any) -> bool:
    arguments = [str(part) for part in command] if isinstance(command, list | tuple) else []
    return bool(sys.argv[1:]) and any(
        arguments[i : i + len(sys.argv) - 1] == sys.argv[1:] for i in range(len(arguments))
    )


def _with_shared_threads(environment: dict[str, str]) -> dict[str, str]:
    """The job's threads are for all of its ranks together; this process is one of them."""
    with suppress(ValueError, KeyError):
        threads = max(1, int(environment["OMP_NUM_THREADS"]) // max(1, int(environment["WORLD_SIZE"])))
        environment = {**environment, **dict.fromkeys(THREADS, str(threads))}
        limit_threads(threads)
    return environment
