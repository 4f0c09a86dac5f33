"""Where job processes begin: what they were handed -> the worker."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lit_hydra_bridge.sweep import worker
from lit_hydra_bridge.sweep.folder import JobFolder
from lit_hydra_bridge.sweep.seeding import RandomState
from lit_hydra_bridge.sweep.verdict import failed

if TYPE_CHECKING:
    from lit_hydra_bridge.sweep.job_environment import ThreadedLibraries
    from lit_hydra_bridge.sweep.program import Program

_PR_SET_PDEATHSIG: Final = 1


def die_with(parent: int) -> None:
    """Let Linux kill this process when its parent dies; the reaper sees to what it has started."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it was dead before we asked
        os._exit(1)


def pack_job(spec: worker.JobSpec, config: Any) -> bytes:
    """Pack a job for another process."""
    from lit_hydra_bridge.sweep.program import dumps

    return pickle.dumps((pickle.dumps(spec), dumps(config)))


def run_packed_job(
    job: bytes,
    load: Callable[[dict[str, str]], Program],
    random_state: RandomState,
    connection: socket.socket | None,
    libraries: ThreadedLibraries | None = None,
) -> int:
    """Run a job in this process; return its exit code.

    Args:
        job: as `pack_job` gave it.
        load: gives the program, and may note in what it is given where the random state comes from.
        random_state: the process' first one.
        connection: to the launcher.
        libraries: that are loaded, as they were limited before a fork.
    """
    from lit_hydra_bridge.sweep.program import loads

    packed_spec, packed_config = pickle.loads(job)
    spec: worker.JobSpec = pickle.loads(packed_spec)
    try:
        worker.enter(spec, libraries)
    except OSError as error:  # such as no room for its log
        return worker.leave_word(failed(spec.state, error), JobFolder(Path(spec.folder)), connection)
    seeded = random_state.apply()

    def loaded() -> tuple[Program, Any]:
        return load(seeded), loads(packed_config)

    return worker.run(spec, loaded, seeded, connection)


def unpacked(packed: bytes, seeded: dict[str, str]) -> Program:
    """Import the app, restore what it had seeded before the launch, and note that in `seeded`."""
    packed_program = pickle.loads(packed)
    program: Program = packed_program.unpack()
    seeded.update(packed_program.random_state.restore())
    return program


def main(file: int, connection: int, parent: int) -> None:
    """Start of a spawned job process: `file` has the job and its program, `connection` leads to the launcher."""
    die_with(parent)
    with os.fdopen(file, "rb") as opened:
        opened.seek(0)
        job, program = pickle.load(opened)
    sys.exit(run_packed_job(job, partial(unpacked, program), RandomState(), socket.socket(fileno=connection)))
