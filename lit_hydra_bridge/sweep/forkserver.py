"""The process that jobs are forks of. It serves one launcher, and runs nothing of the app itself.

    fork         it is a fork of the launcher, which has imported the app: LiveApp
    forkserver   it is a new process, which imports the libraries; each job imports the app: PackedApp

    launcher -> server   {"do": "prepare", …}
    launcher -> server   {"do": "begin", threads}
    server -> launcher   {"ready": None}, or {"ready": "why a fork of it is not safe"}
    launcher -> server   {"do": "job", id, job, token, family} with the descriptor of the job's connection
    launcher -> server   {"do": "rank", …}, {"do": "ask" | "kill", pid}
    server -> launcher   {"started": id, "pid": 12}, or {"started": id, "error": "why there is none"}
    server -> launcher   {"ended": 12, "status": 0, "is_first": True}

Pickled, each with its length before it. When the connection ends, the launcher is gone: all is killed.
"""

from __future__ import annotations

import gc
import os
import pickle
import select
import signal
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from typing import Any, Final

from lit_hydra_bridge.sweep import fresh, open_files, worker
from lit_hydra_bridge.sweep.inherited import Inherited
from lit_hydra_bridge.sweep.job_environment import ThreadedLibraries
from lit_hydra_bridge.sweep.nursery import Nursery
from lit_hydra_bridge.sweep.probe import why_not_fork
from lit_hydra_bridge.sweep.program import Program
from lit_hydra_bridge.sweep.seeding import RandomState

_LENGTH: Final = struct.Struct("!Q")


class Channel:
    """Messages over a Unix socket, with at most one file descriptor each."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._data = b""
        self._descriptors: list[int] = []

    def fileno(self) -> int:
        """For select."""
        return self.socket.fileno()

    def send(self, message: dict[str, Any], descriptor: int | None = None) -> None:
        """Send a message.

        Raises:
            OSError: the other side is gone.
        """
        body = pickle.dumps({**message, "has_descriptor": descriptor is not None})
        header = _LENGTH.pack(len(body))
        if descriptor is None:
            self.socket.sendall(header + body)
            return
        sent = socket.send_fds(self.socket, [header], [descriptor])
        self.socket.sendall(header[sent:] + body)

    def receive(self) -> Iterator[tuple[dict[str, Any], int | None]]:
        """Read what is there, and give the messages that are whole.

        Raises:
            EOFError: the other side is gone.
        """
        data, descriptors, _, _ = socket.recv_fds(self.socket, 1 << 20, 16)
        if not data:
            raise EOFError
        self._data += data
        self._descriptors += descriptors
        while len(self._data) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._data)
            if len(self._data) < _LENGTH.size + length:
                return
            message = pickle.loads(self._data[_LENGTH.size : _LENGTH.size + length])
            self._data = self._data[_LENGTH.size + length :]
            yield message, self._descriptors.pop(0) if message["has_descriptor"] else None


class App:
    """What a server makes jobs of."""

    _random_state = RandomState()
    _libraries: ThreadedLibraries
    _inherited: Inherited

    def prepare(self, message: dict[str, Any]) -> str | None:
        """Do what need not wait for the first job; return why a fork would not be safe."""
        for prepare in filter(None, (prepare_hydra, message["warm_up"])):
            with suppress(Exception):  # a job finds it out by itself, and can say so
                prepare()
        self._libraries = ThreadedLibraries()
        return why_not_fork()

    def begin(self, threads: int) -> None:
        """Jobs will come, with this number of threads each."""
        self._libraries.limit(threads)

    def run_job(self, job: bytes, connection: socket.socket | None) -> int:
        """In a fork: run a job; return its exit code."""
        return fresh.run_packed_job(job, self._loaded, self._random_state, connection, self._libraries)

    def run_rank(self, request: dict[str, Any]) -> int:
        """In a fork: run a further rank of a job; return its exit code."""
        worker.enter_rank(request)
        self._random_state.apply()
        return worker.run_rank(request, lambda: self._loaded({}), self._libraries)

    def leave(self) -> None:
        """In a fork: do what the interpreter does at its end."""
        worker.leave()
        self._inherited.flush()

    def _loaded(self, seeded: dict[str, str]) -> Program:
        self._inherited.make_own()
        return self._load(seeded)

    def _load(self, seeded: dict[str, str]) -> Program:
        """Return the program, and note in `seeded` what random state came with it."""
        raise NotImplementedError


class LiveApp(App):
    """The app as it is in this process."""

    def __init__(self, program: Program) -> None:
        self._program = program
        # Looked at before the fork, which forgets a part of it; and what looks at all modules or objects would, after
        # it, have their pages copied.
        self._random_state = RandomState.of_this_process()
        gc.unfreeze()  # what is frozen can't be found
        self._inherited = Inherited()
        gc.freeze()

    def _load(self, seeded: dict[str, str]) -> Program:
        return self._program


class PackedApp(App):
    """The app as another process has packed it."""

    def prepare(self, message: dict[str, Any]) -> str | None:
        self._packed: bytes = message["program"]
        import_all(message["preload"])
        unsafe = super().prepare(message) or open_files.why_shared()
        self._inherited = Inherited()
        return unsafe

    def _load(self, seeded: dict[str, str]) -> Program:
        return fresh.unpacked(self._packed, seeded)


class Server:
    """Forks jobs, and looks after them.

    Args:
        channel: to the launcher.
        app: the jobs'.
    """

    def __init__(self, channel: Channel, app: App) -> None:
        self._channel, self._app = channel, app
        self._nursery = Nursery()
        self._unsafe: str | None = None
        self._pid = os.getpid()

    def serve(self) -> None:
        """Work until the launcher is gone."""
        try:
            while True:
                sources: list[Any] = [self._channel, *self._nursery.descriptors()]
                readable, _, _ = select.select(sources, [], [], self._nursery.wait_s())
                if self._channel in readable:
                    for message, descriptor in self._channel.receive():
                        self._handle(message, descriptor)
                for ended in self._nursery.ended():
                    self._channel.send({"ended": ended.pid, "status": ended.status, "is_first": ended.is_first})
        except (EOFError, OSError):
            self._nursery.kill_all()

    def _handle(self, message: dict[str, Any], descriptor: int | None) -> None:
        do = message["do"]
        if do == "prepare":
            self._unsafe = self._app.prepare(message)
            gc.freeze()  # what is there is shared by all jobs, and no collection of theirs writes to it
        elif do == "begin":
            self._app.begin(message["threads"])
            self._channel.send({"ready": self._unsafe})
        elif do in ("ask", "kill"):
            getattr(self._nursery, do)(message["pid"])
        else:
            self._channel.send({"started": message["id"], **self._start(message, descriptor)})

    def _start(self, message: dict[str, Any], descriptor: int | None) -> dict[str, Any]:
        try:
            pid = self._nursery.fork(
                lambda: self._in_child(message, descriptor),
                token=message["token"],
                family=message["family"],
            )
            return {"pid": pid}
        except OSError as error:  # no more processes, or no memory for one: nothing that runs is to blame
            return {"error": str(error)}
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def _in_child(self, message: dict[str, Any], descriptor: int | None) -> int:
        self._channel.socket.close()
        self._nursery.forget()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        fresh.die_with(self._pid)
        worker.forget_parents_exit()
        try:
            if message["do"] == "rank":
                return self._app.run_rank(message["request"])
            connection = socket.socket(fileno=descriptor) if descriptor is not None else None
            return self._app.run_job(message["job"], connection)
        finally:
            self._app.leave()


def import_all(names: list[str]) -> None:
    """Import what can be imported: what fails here will fail again, or not be needed, in the job."""
    for name in names:
        with suppress(BaseException):
            import_module(name)


def prepare_hydra() -> None:
    """Do what Hydra does first in every job and keeps: it scans for plugins, and its grammar and YAML warm up."""
    from hydra.core.plugins import Plugins
    from omegaconf import OmegaConf

    from lit_hydra_bridge.sweep.quick_configs import parse_ahead

    Plugins.instance()
    config = OmegaConf.create({"name": "${hydra.runtime.output_dir}/${hydra.job.name}.log", "time": "${now:%H}"})
    parse_ahead(config)
    OmegaConf.to_yaml(config)


def serve(connection: socket.socket, app: App) -> None:
    """Be the server until the launcher is gone."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    Server(Channel(connection), app).serve()


def main(descriptor: int) -> None:
    """Start of the process of a server that is no fork of the launcher."""
    serve(socket.socket(fileno=descriptor), PackedApp())
    sys.exit(0)
