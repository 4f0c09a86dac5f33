"""Job processes on this machine, in three ways, and their supervision.

    Forks        forks of this process: nothing is imported or pickled again
    ForkServer   forks of a process that has imported the libraries (forkserver.py)
    Spawns       fresh interpreters

All three start the same worker in a session of its own, whose family of processes a Nursery looks after.
"""

from __future__ import annotations

import gc
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Protocol

from lit_hydra_bridge.errors import SweepError
from lit_hydra_bridge.sweep import fresh, worker
from lit_hydra_bridge.sweep.forkserver import Channel
from lit_hydra_bridge.sweep.job_environment import thread_controller
from lit_hydra_bridge.sweep.machine import interpreter
from lit_hydra_bridge.sweep.nursery import Ended, Nursery, socket_name
from lit_hydra_bridge.sweep.probe import why_not_fork
from lit_hydra_bridge.sweep.program import Program, pack
from lit_hydra_bridge.sweep.reaper import Marks, end
from lit_hydra_bridge.sweep.seeding import RandomState

_SERVER_READY_S: Final = 300.0
_MOST_SERVERS_PER_JOB: Final = 2


class Starter(Protocol):
    """One way to make a job's process."""

    name: str

    def start(self, spec: worker.JobSpec, config: Any, connection: socket.socket, token: str) -> int:
        """Start a job; return the pid of its first process."""

    def start_rank(self, family: int, request: dict[str, Any], token: str) -> int | None:
        """Start a further rank of a job; None where the job has to do it."""

    def descriptors(self) -> list[int]:
        """What becomes readable when there is something to tell."""

    def wait_s(self) -> float | None:
        """After how many seconds to look, whatever the descriptors say; None: no need."""

    def ended(self) -> list[Ended]:
        """What has ended since the last call."""

    def ask(self, pid: int) -> None:
        """Ask a job to end."""

    def kill(self, pid: int) -> None:
        """End a job now, with all that it has started."""

    def close(self) -> None:
        """End everything."""


class Forks:
    """Forks of the launcher."""

    name = "fork"

    def __init__(self, program: Program, leave_parent: Callable[[], None]) -> None:
        self._program, self._leave_parent = program, leave_parent
        self._nursery = Nursery()
        self._pid = os.getpid()
        self._controller = thread_controller()
        self._random_state = RandomState.of_this_process()
        gc.freeze()  # what is there is shared by all jobs, and no collection of theirs writes to it

    def start(self, spec: worker.JobSpec, config: Any, connection: socket.socket, token: str) -> int:
        def run() -> int:
            self._enter()
            try:
                worker.enter(spec, self._controller)
                seeded = self._random_state.apply()
                return worker.run(spec, lambda: (self._program, config), seeded, connection)
            finally:
                worker.leave()

        return self._nursery.fork(run, token=token, mark=connection.fileno())

    def start_rank(self, family: int, request: dict[str, Any], token: str) -> int | None:
        if not os.path.exists(request["config"]):
            return None

        def run() -> int:
            self._enter()
            try:
                worker.enter_rank(request)
                self._random_state.apply()
                return worker.run_rank(request, lambda: self._program, self._controller)
            finally:
                worker.leave()

        return self._nursery.fork(run, family=family, token=token)

    def _enter(self) -> None:
        fresh.die_with(self._pid)
        self._nursery.forget()
        self._leave_parent()
        worker.forget_parents_exit()

    def descriptors(self) -> list[int]:
        return self._nursery.descriptors()

    def wait_s(self) -> float | None:
        return self._nursery.wait_s()

    def ended(self) -> list[Ended]:
        return self._nursery.ended()

    def ask(self, pid: int) -> None:
        self._nursery.ask(pid)

    def kill(self, pid: int) -> None:
        self._nursery.kill(pid)

    def close(self) -> None:
        self._nursery.kill_all()
        self._nursery.close()
        gc.unfreeze()


class Spawns(Forks):
    """Fresh interpreters."""

    name = "spawn"

    def __init__(self, program: Program) -> None:
        self._packed = pickle.dumps(pack(program))
        self._nursery = Nursery()

    def start(self, spec: worker.JobSpec, config: Any, connection: socket.socket, token: str) -> int:
        environment = {**os.environ, **{name: value for name, value in spec.environment.items() if value is not None}}
        for name in (name for name, value in spec.environment.items() if value is None):
            environment.pop(name, None)
        with tempfile.TemporaryFile() as file:
            pickle.dump((fresh.pack_job(spec, config), self._packed), file)
            file.flush()
            arguments = (file.fileno(), connection.fileno(), os.getpid())
            process = subprocess.Popen(
                _python(f"from lit_hydra_bridge.sweep.fresh import main; main{arguments}"),
                pass_fds=arguments[:2],
                env=environment,
                start_new_session=True,
            )
        process.returncode = 0  # the nursery waits for it
        self._nursery.adopt(process.pid, token=token)
        return process.pid

    def start_rank(self, family: int, request: dict[str, Any], token: str) -> int | None:
        return None

    def close(self) -> None:
        self._nursery.kill_all()
        self._nursery.close()


class ForkServer:
    """Forks of a server.

    Raises:
        SweepError: the server can't start, or must not be forked.
    """

    name = "forkserver"

    def __init__(self, program: Program, preload: list[str], threads: dict[str, str], mark: int) -> None:
        self._begin_with = {"do": "begin", "preload": preload, "program": pickle.dumps(pack(program))}
        self._threads, self._mark = threads, mark
        self._ended: list[Ended] = []
        self._started: dict[int, int] = {}
        self._jobs: dict[int, Marks] = {}
        """By the pid of its first process, how the processes of each job that runs are known."""
        self._count = 0
        self._connect()

    def _connect(self) -> None:
        mine, its = socket.socketpair()
        with its:
            self._process = subprocess.Popen(
                _python(f"from lit_hydra_bridge.sweep.forkserver import main; main({its.fileno()})"),
                pass_fds=[its.fileno(), self._mark],
                env={**os.environ, **self._threads},
                start_new_session=True,
                stdin=subprocess.DEVNULL,
            )
        self._channel = Channel(mine)
        try:
            self._channel.send(self._begin_with)
            self._await_ready()
        except (OSError, EOFError) as error:
            self.close()
            raise SweepError(f"the forkserver did not start ({type(error).__name__}: {error})") from None
        except SweepError:
            self.close()
            raise

    def _await_ready(self) -> None:
        self._channel.socket.settimeout(_SERVER_READY_S)
        for message, _ in self._channel.receive():
            if message.get("ready") is not None:
                raise SweepError(f"the forkserver can't be forked: {message['ready']}")
        self._channel.socket.settimeout(None)

    def start(self, spec: worker.JobSpec, config: Any, connection: socket.socket, token: str) -> int:
        job = {"do": "job", "job": fresh.pack_job(spec, config)}
        marks = Marks(set(), token.encode(), socket_name(connection.fileno()))
        for _ in range(_MOST_SERVERS_PER_JOB):
            if not self._is_connected:
                self._connect()
            try:
                pid = self._begin(job, token, None, connection.fileno())
            except (OSError, EOFError):
                self._lost(marks)
                continue
            marks.groups.add(pid)
            self._jobs[pid] = marks
            return pid
        raise SweepError("the forkserver dies whenever it starts a job; try hydra.launcher.start_method=spawn")

    def start_rank(self, family: int, request: dict[str, Any], token: str) -> int | None:
        if family not in self._jobs:
            return None
        try:
            pid = self._begin({"do": "rank", "request": request}, token, family, None)
        except (OSError, EOFError):
            self._lost()
            return None
        self._jobs[family].groups.add(pid)
        return pid

    def _begin(self, message: dict[str, Any], token: str, family: int | None, descriptor: int | None) -> int:
        self._count += 1
        number = self._count
        self._channel.send({**message, "id": number, "token": token, "family": family}, descriptor)
        while number not in self._started:
            self._receive()
        return self._started.pop(number)

    def _receive(self) -> None:
        for message, _ in self._channel.receive():
            if "started" in message:
                self._started[message["started"]] = message["pid"]
            else:
                self._ended.append(Ended(message["ended"], message["status"], message["is_first"]))

    @property
    def _is_connected(self) -> bool:
        return self._channel.fileno() >= 0

    def _lost(self, starting: Marks | None = None) -> None:
        """The server is dead. Linux kills its jobs with it; what they have started is ended here.

        The next start makes another server.
        """
        self._channel.socket.close()
        self._process.kill()
        self._process.wait()
        told = {ended.pid for ended in self._ended if ended.is_first}
        for pid, marks in self._jobs.items():
            if pid not in told:
                end(marks)
                self._ended.append(Ended(pid, -signal.SIGKILL, True, "the forkserver died"))
        self._jobs.clear()
        if starting is not None:
            end(starting)

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

    def close(self) -> None:
        self._channel.socket.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
            return
        self._process.kill()
        self._process.wait()


def _python(code: str) -> list[str]:
    """A fresh interpreter with this one's own options, such as -W and -X."""
    return [interpreter(), *subprocess._args_from_interpreter_flags(), "-c", code]  # type: ignore[attr-defined]


def libraries() -> list[str]:
    """Return the modules from site-packages that the app has imported, in that order; never the app's own."""
    found = []
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        if ("site-packages" in file or "dist-packages" in file) and "__mp_main__" not in name and name != "__main__":
            found.append(name)
    return found


def make_starter(
    program: Program,
    settings: Any,
    *,
    threads: dict[str, str],
    mark: int,
    leave_parent: Callable[[], None],
    say: Callable[[str], None],
) -> Starter:
    """Return the way to start jobs that was asked for, or the first that is proven safe.

    Args:
        program: the app.
        settings: the launcher's.
        threads: environment variables with the thread budget, for a process that loads libraries for all jobs.
        mark: a file descriptor that all forks must have, to be known by.
        leave_parent: called in each fork, so that it lets go of what is the launcher's.
        say: told why a faster way was not taken.

    Raises:
        SweepError: the way that was asked for is not safe, or not possible.
    """
    wanted = settings.start_method
    if wanted in ("auto", "fork"):
        why = why_not_fork()
        if why is None:
            return Forks(program, leave_parent)
        if wanted == "fork":
            raise SweepError(f"hydra.launcher.start_method=fork is not safe here: {why}; leave it at auto")
        say(f"jobs are not forked from this process: {why}")
    if wanted in ("auto", "forkserver"):
        try:
            preload = libraries() if settings.preload == "auto" else list(settings.preload)
            return ForkServer(program, preload, threads, mark)
        except SweepError as error:
            if wanted == "forkserver":
                raise
            say(f"jobs are started from scratch: {error}")
    return Spawns(program)
