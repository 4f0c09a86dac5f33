"""Job processes on this machine, in three ways, and their supervision.

    Forks        forks of a fork of this process: nothing is imported again (forkserver_client.py)
    ForkServer   forks of a process that has imported the libraries (forkserver_client.py)
    Spawns       fresh interpreters

All three start the same worker in a session of its own, whose family of processes a Nursery looks after: the server's,
or with spawn the launcher's.
"""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
import tempfile
from typing import Any, Protocol

from lit_hydra_bridge.sweep import fresh, worker
from lit_hydra_bridge.sweep.machine import python
from lit_hydra_bridge.sweep.nursery import Ended, Nursery
from lit_hydra_bridge.sweep.program import Program, pack


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

    def close(self) -> object:
        """End everything."""


class Spawns:
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
                python(f"from lit_hydra_bridge.sweep.fresh import main; main{arguments}"),
                pass_fds=arguments[:2],
                env=environment,
                start_new_session=True,
            )
        process.returncode = 0  # the nursery waits for it
        self._nursery.adopt(process.pid, token=token)
        return process.pid

    def start_rank(self, family: int, request: dict[str, Any], token: str) -> int | None:
        return None

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


def libraries() -> list[str]:
    """Return the modules from site-packages that the app has imported, in that order; never the app's own."""
    found = []
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        if ("site-packages" in file or "dist-packages" in file) and "__mp_main__" not in name and name != "__main__":
            found.append(name)
    return found
