"""The launcher's side of the process that jobs are forks of: starts it, asks it for jobs, and outlives it.

forkserver.py is that process' own.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import socket
import subprocess
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any, Final, Protocol

from lit_hydra_bridge.errors import SweepError
from lit_hydra_bridge.sweep import fresh, open_files, worker
from lit_hydra_bridge.sweep.forkserver import Channel, LiveApp, serve
from lit_hydra_bridge.sweep.job_environment import THREADS
from lit_hydra_bridge.sweep.machine import python
from lit_hydra_bridge.sweep.nursery import Ended, Fork, forked
from lit_hydra_bridge.sweep.probe import why_not_try
from lit_hydra_bridge.sweep.program import Program, pack
from lit_hydra_bridge.sweep.reaper import end
from lit_hydra_bridge.sweep.running import ended_with

_SERVER_READY_S: Final = 300.0
_MOST_SERVERS_PER_JOB: Final = 2


class _Process(Protocol):
    """What is needed of a server's process."""

    def kill(self) -> None: ...

    def wait(self, timeout: float | None = None) -> int: ...


class _Server:
    """Jobs are forks of another process, which prepares for it beside this one.

    Args:
        prepare: what it is told first; `warm_up` in it is called there, to import what jobs will need.

    Raises:
        SweepError: it can't be started.
    """

    name: str
    called = "the forkserver"
    unsafe = "the forkserver can't be forked: {}"

    def __init__(self, prepare: dict[str, Any]) -> None:
        self._prepare_with = {"do": "prepare", **prepare}
        self._threads = 0
        self._ended: list[Ended] = []
        self._started: dict[int, int | str] = {}
        """By the number of a request, the pid; or why there is none."""
        self._jobs: dict[int, tuple[set[int], bytes]] = {}
        """By the pid of its first process, how those of each job that runs are known: their groups and the token."""
        self._count = 0
        self._prepare()

    def _start_process(self, its: socket.socket, mine: socket.socket) -> _Process:
        raise NotImplementedError

    def _prepare(self) -> None:
        self._born_with = dict(os.environ)
        try:
            mine, its = socket.socketpair()
            with its, ExitStack() as failed:
                failed.callback(mine.close)
                self._process = self._start_process(its, mine)
                failed.pop_all()
        except OSError as error:  # no more processes, files or memory
            raise SweepError(f"{self.called} can't be started: {error}") from None
        self._channel = Channel(mine)
        with suppress(OSError):  # it is dead, which is seen when it is to begin
            self._channel.send(self._prepare_with)

    def begin(self, threads: int) -> None:
        """Wait until it can be asked for jobs.

        Args:
            threads: the thread budget of each job.

        Raises:
            SweepError: it did not start, or forks of it can't be relied on.
        """
        self._threads = threads
        try:
            self._channel.send({"do": "begin", "threads": threads})
            self._channel.socket.settimeout(_SERVER_READY_S)
            unsafe = self._answer()["ready"]
            self._channel.socket.settimeout(None)
        except (OSError, EOFError) as error:
            status = self.close()
            is_late = isinstance(error, TimeoutError)
            how = f"gave no answer in {_SERVER_READY_S:g} s" if is_late else ended_with(status)
            raise SweepError(f"{self.called} did not start: it {how}") from None
        if unsafe is not None:
            self.close()
            raise SweepError(self.unsafe.format(unsafe))

    def _answer(self) -> dict[str, Any]:
        while True:
            for message, _ in self._channel.receive():
                return message

    def start(self, spec: worker.JobSpec, config: Any, connection: socket.socket, token: str) -> int:
        spec = replace(spec, environment={**self._environment_since(), **spec.environment})
        job = {"do": "job", "job": fresh.pack_job(spec, config)}
        for _ in range(_MOST_SERVERS_PER_JOB):
            if not self._is_connected:
                self._prepare()
                self.begin(self._threads)
            try:
                pid = self._begin(job, token, None, connection.fileno())
            except (OSError, EOFError):
                self._lost()
                end(set(), token.encode())
                continue
            self._jobs[pid] = {pid}, token.encode()
            return pid
        raise SweepError(f"{self.called} dies whenever it starts a job; try hydra.launcher.start_method=spawn")

    def _environment_since(self) -> dict[str, str | None]:
        """What this process has set since, or a sweeper in it: a job of Hydra's basic launcher would see that."""
        names = {name for name, _ in self._born_with.items() ^ os.environ.items()}
        return {name: os.environ.get(name) for name in names}

    def start_rank(self, family: int, request: dict[str, Any], token: str) -> int | None:
        if family not in self._jobs or not os.path.exists(request["config"]):
            return None
        try:
            pid = self._begin({"do": "rank", "request": request}, token, family, None)
        except (OSError, EOFError):
            self._lost()
            return None
        except SweepError:  # no more processes; the job may try for itself
            return None
        self._jobs[family][0].add(pid)
        return pid

    def _begin(self, message: dict[str, Any], token: str, family: int | None, descriptor: int | None) -> int:
        self._count += 1
        number = self._count
        self._channel.send({**message, "id": number, "token": token, "family": family}, descriptor)
        while number not in self._started:
            self._receive()
        started = self._started.pop(number)
        if isinstance(started, str):
            raise SweepError(f"no process for it: {started}")
        return started

    def _receive(self) -> None:
        for message, _ in self._channel.receive():
            if "started" in message:
                self._started[message["started"]] = message.get("error") or message["pid"]
            else:
                self._ended.append(Ended(message["ended"], message["status"], message["is_first"]))

    @property
    def _is_connected(self) -> bool:
        return self._channel.fileno() >= 0

    def _lost(self) -> None:
        """The server is dead. Linux kills its jobs with it; what they have started is ended here.

        The next start makes another server.
        """
        self._channel.socket.close()
        self._process.kill()
        self._process.wait()
        told = {ended.pid for ended in self._ended if ended.is_first}
        for pid, (groups, token) in self._jobs.items():
            if pid not in told:
                end(groups, token)
                self._ended.append(Ended(pid, -signal.SIGKILL, True, f"{self.called} died"))
        self._jobs.clear()

    def descriptors(self) -> list[int]:
        return [self._channel.fileno()] if self._is_connected else []

    def wait_s(self) -> float | None:
        return 0.0 if self._ended else None

    def ended(self) -> list[Ended]:
        try:
            while self._is_connected and select.select([self._channel], [], [], 0)[0]:
                self._receive()
        except (OSError, EOFError):
            self._lost()
        found, self._ended = self._ended, []
        for ended in found:
            self._jobs.pop(ended.pid, None)
        return found

    def ask(self, pid: int) -> None:
        self._send({"do": "ask", "pid": pid})

    def kill(self, pid: int) -> None:
        self._send({"do": "kill", "pid": pid})

    def _send(self, message: dict[str, Any]) -> None:
        if self._is_connected:
            try:
                self._channel.send(message)
            except OSError:
                self._lost()

    def close(self) -> int:
        self._channel.socket.close()
        try:
            return self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


class ForkServer(_Server):
    """Jobs are forks of a new process that has imported the libraries.

    Args:
        program: the app, which each job imports.
        preload: modules.
        threads: the thread budget of each job, for libraries that read it when they are loaded.
        warm_up: called in it when these are imported.
    """

    name = "forkserver"

    def __init__(
        self,
        program: Program,
        preload: list[str],
        threads: int,
        warm_up: Callable[[], object] | None = None,
    ) -> None:
        self._environment = {**os.environ, **dict.fromkeys(THREADS, str(threads))}
        super().__init__({"warm_up": warm_up, "preload": preload, "program": pickle.dumps(pack(program))})

    def _start_process(self, its: socket.socket, mine: socket.socket) -> _Process:
        return subprocess.Popen(
            python(f"from lit_hydra_bridge.sweep.forkserver import main; main({its.fileno()})"),
            pass_fds=[its.fileno()],
            env=self._environment,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
        )


class Forks(_Server):
    """Jobs are forks of a fork of this process: nothing is imported again.

    They are not this process' own, as each fork would make it copy what it writes to afterwards, and keep it from its
    work for the time that a fork of a large process takes.

    Args:
        program: the app.
        leave_parent: called in the fork, so that it lets go of what is the launcher's.
        warm_up: called in it after that.

    Raises:
        SweepError: it is certain that this process can't be forked, or the fork has failed.
    """

    name = "fork"
    called = "the process that jobs are forks of"
    unsafe = "{}"

    def __init__(
        self, program: Program, leave_parent: Callable[[], None], warm_up: Callable[[], object] | None = None
    ) -> None:
        if why := why_not_try() or open_files.why_shared():
            raise SweepError(why)
        self._app, self._leave_parent = LiveApp(program), leave_parent
        super().__init__({"warm_up": warm_up})

    def _start_process(self, its: socket.socket, mine: socket.socket) -> _Process:
        def run() -> int:
            fresh.die_with(launcher)
            mine.close()
            self._leave_parent()
            serve(its, self._app)
            return 0

        launcher = os.getpid()
        return Fork(forked(run))
