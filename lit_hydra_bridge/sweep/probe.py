"""May this process be forked, and the child compute? Asked by trying it: counting threads does not tell.

A thread pool that was used before a fork is not there after it, and the child waits for it for ever; one that was only
made is made anew. So a child does one parallel operation in each library that is loaded, and has a deadline.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import Any, Final

DEADLINE_S: Final = 5.0
_BAD_CUDA: Final = 3
_ELEMENTS: Final = 1 << 17
"""Above what torch computes on one thread."""


def why_not_try() -> str | None:
    """Return why a fork of this process need not even be tried; None where it may be safe."""
    if not sys.platform.startswith("linux"):
        return "forks are only safe on Linux"
    others = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if others or threading.current_thread() is not threading.main_thread():
        return f"a thread runs beside the main one ({', '.join(others[:3])})"
    return None


def why_not_fork(deadline_s: float = DEADLINE_S) -> str | None:
    """Return why a fork of this process would not be safe; None where it is.

    Args:
        deadline_s: how long the child may take, in seconds.
    """
    if why := why_not_try():
        return why
    try:
        pid = os.fork()
    except OSError as error:
        return f"it can't make a process: {error}"
    if pid == 0:
        _probe_and_exit()
    status = _wait(pid, deadline_s)
    if status == 0:
        return None
    if status is None:
        return "a forked process hangs in its first parallel operation"
    if status == _BAD_CUDA:
        return "CUDA has been used before the launch"
    return f"a forked process can't compute (it ended with status {status})"


def _probe_and_exit() -> None:
    code = 1
    try:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nowhere, descriptor)
        signal.alarm(int(DEADLINE_S) + 5)  # should the parent be killed meanwhile
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        code = _probe()
    finally:
        os._exit(code)


def _probe() -> int:
    torch: Any = sys.modules.get("torch")
    if torch is not None:
        if torch.cuda._is_in_bad_fork():
            return _BAD_CUDA
        torch.ones(_ELEMENTS).exp().sum()
        square = torch.ones(128, 128)
        torch.mm(square, square)
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None:
        array = numpy.ones((128, 128))
        numpy.dot(array, array)
    for reference in list(logging._handlerList):  # type: ignore[attr-defined]
        if (handler := reference()) is not None:  # as a logged line would, and none is written
            handler.acquire()
            handler.release()
    return 0


def _wait(pid: int, deadline_s: float) -> int | None:
    """Return how the child ended; None where it had to be killed."""
    deadline = time.monotonic() + deadline_s
    pause = 0.001
    while time.monotonic() < deadline:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(pause)
        pause = min(2 * pause, 0.02)
    with suppress(OSError):
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None
