"""Starts the tests' apps warm: a fork of a process that has imported what Lightning imports of others' libraries.

Importing torch and what else Lightning needs takes seconds of CPU, and the suite starts some hundreds of trainings.
Each still is a process of its own, with its own session, environment, folder and command line. Nothing of Hydra,
omegaconf, Lightning or ours is imported before the fork: the app does that itself, in its own order.
"""

from __future__ import annotations

import atexit
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import types
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib import import_module
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

PRELOADED = (
    "torch._dynamo", "torch.distributed.fsdp", "torch.utils.tensorboard", "torchmetrics", "lightning_utilities",
)  # fmt: skip
_READ_WHEN_IMPORTED = ("OMP_", "MKL_", "OPENBLAS_", "NUMEXPR_", "KMP_", "TORCH", "PYTORCH_", "MPL", "TF_")
_one_at_a_time = threading.Lock()


def can_run(command: tuple[str, ...], env: Mapping[str, str]) -> bool:
    """Tell whether a command is a script that starts the same way warm: no options of Python's, no such variables."""
    if len(command) < 2 or command[0] != sys.executable or not command[1].endswith(".py"):
        return False
    return _special(env) == _special(os.environ | {"OMP_NUM_THREADS": "1"})


def _special(env: Mapping[str, str]) -> dict[str, str]:
    names = ("PYTHONPATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE")
    return {
        name: value
        for name, value in env.items()
        if name.startswith(_READ_WHEN_IMPORTED) or (name.startswith("PYTHON") and name not in names)
    }


def run(command: tuple[str, ...], cwd: Path, env: Mapping[str, str], timeout_s: float) -> tuple[int, str, str]:
    """Run a script; return its exit status as `subprocess` gives it, and what it printed to both streams."""
    with _one_at_a_time, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        connection = _server()
        request = {"argv": list(command[1:]), "cwd": str(cwd), "env": dict(env)}
        socket.send_fds(connection, [_packed(request)], [out.fileno(), err.fileno()])
        pid = _answer(connection, None)["pid"]
        try:
            status = _answer(connection, timeout_s)["status"]
        except TimeoutError:
            os.killpg(pid, signal.SIGKILL)
            _answer(connection, None)
            raise subprocess.TimeoutExpired(command, timeout_s) from None
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode().replace("\r\n", "\n"))
    return status, texts[0], texts[1]


@cache
def _server() -> socket.socket:
    mine, its = socket.socketpair()
    with its:
        process = subprocess.Popen(
            [sys.executable, "-c", f"from tests.warm import serve; serve({its.fileno()})"],
            cwd=Path(__file__).parent.parent,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            pass_fds=[its.fileno()],
            stdin=subprocess.DEVNULL,
        )
    atexit.register(process.wait)
    atexit.register(mine.close)
    return mine


def _packed(message: dict[str, Any]) -> bytes:
    content = pickle.dumps(message)
    return len(content).to_bytes(4, "big") + content


def _answer(connection: socket.socket, timeout_s: float | None) -> dict[str, int]:
    connection.settimeout(timeout_s)
    line = b""
    while not line.endswith(b"\n"):
        line += connection.recv(1) or b"{}\n"
    return json.loads(line)


# --- in the server ---------------------------------------------------------------------------------------------


def serve(descriptor: int) -> None:
    """Fork for each request; the fork returns into the script, and ends as any interpreter does."""
    for name in PRELOADED:
        with suppress(ImportError):
            import_module(name)
    connection = socket.socket(fileno=descriptor)
    while received := _received(connection):
        request, streams = received
        pid = os.fork()
        if not pid:
            connection.close()
            _become(request, streams)
            return
        for stream in streams:
            os.close(stream)
        connection.sendall(json.dumps({"pid": pid}).encode() + b"\n")
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        connection.sendall(json.dumps({"status": status}).encode() + b"\n")


def _received(connection: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    content, streams, _, _ = socket.recv_fds(connection, 4, 2)
    if not content:
        return None
    length, content = int.from_bytes(content, "big"), b""
    while len(content) < length:
        content += connection.recv(length - len(content))
    return pickle.loads(content), streams


def _become(request: dict[str, Any], streams: list[int]) -> None:
    os.setsid()
    for stream, target in zip(streams, (1, 2), strict=True):
        os.dup2(stream, target)
        os.close(stream)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    _reseed()
    script = Path(request["argv"][0]).absolute()
    sys.argv, sys.orig_argv = request["argv"], [sys.executable, *request["argv"]]
    given = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:] = [str(script.parent), *given, *(path for path in sys.path if path and path not in given)]
    main = types.ModuleType("__main__")
    main.__file__, main.__loader__ = str(script), SourceFileLoader("__main__", str(script))
    main.__dict__["__builtins__"] = __builtins__
    sys.modules["__main__"] = main
    try:
        exec(compile(script.read_bytes(), str(script), "exec"), main.__dict__)
    except SystemExit:
        raise
    except BaseException as error:
        trace = error.__traceback__
        sys.last_value = error  # as the interpreter does before it ends
        sys.excepthook(type(error), error, trace.tb_next if trace is not None else trace)
        sys.exit(1)


def _reseed() -> None:
    """A fresh interpreter's numpy draws from entropy; torch always starts with the same seed."""
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()
