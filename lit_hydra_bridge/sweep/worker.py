"""What runs in a job's process; it knows nothing of who started it.

enter     output to the log, environment, threads, signals, command line
run       the task function, as Hydra runs it, in the job's own folder
          and what came of it goes to job.json (verdict.py)
leave     what a process does at its end
"""

from __future__ import annotations

import atexit
import gc
import json
import logging
import os
import signal
import socket
import sys
import threading
import traceback
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial, wraps
from pathlib import Path
from types import FrameType
from typing import Any

from lit_hydra_bridge.files import patiently
from lit_hydra_bridge.hydra_seams import private
from lit_hydra_bridge.progress import last_progress
from lit_hydra_bridge.sweep import job_environment
from lit_hydra_bridge.sweep.folder import JobFolder
from lit_hydra_bridge.sweep.frozen_config import pin_random_nodes, rank_config, write_frozen_config
from lit_hydra_bridge.sweep.job import JobState, Outcome
from lit_hydra_bridge.sweep.job_environment import ThreadedLibraries
from lit_hydra_bridge.sweep.private import learn_secrets
from lit_hydra_bridge.sweep.program import Program
from lit_hydra_bridge.sweep.quick_configs import quick_configs
from lit_hydra_bridge.sweep.ranks import started_by
from lit_hydra_bridge.sweep.reaper import carry
from lit_hydra_bridge.sweep.verdict import AskedToEnd, completed, failed


@dataclass(frozen=True, kw_only=True)
class JobSpec:
    """All that a job's process is told, besides its program and its config."""

    state: JobState
    """With the attempt that begins."""
    folder: str
    argv: list[str]
    """The command of this job alone: what Lightning starts again for each further rank."""
    environment: dict[str, str | None] = field(default_factory=dict)
    frozen_config: str = ""


def enter(spec: JobSpec, libraries: ThreadedLibraries | None = None) -> None:
    """Make this process the job's, before any more of the app's code runs."""
    folder = JobFolder(Path(spec.folder))
    patiently(lambda: folder.path.mkdir(parents=True, exist_ok=True))
    redirect(folder.log)
    job_environment.apply(spec.environment)
    carry(os.environ.get(job_environment.JOB, ""))
    slot = spec.state.attempts[-1].slot
    job_environment.limit_threads(slot.threads, libraries)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, partial(_on_sigterm, os.getpid()))
    sys.argv = list(spec.argv)
    with suppress(OSError):
        folder.keep_progress() if spec.state.attempts[-1].resumed_from else folder.forget_progress()


def redirect(log: Path) -> None:
    """Let all that this process and its children print go to a file, at once."""
    nowhere = os.open(os.devnull, os.O_RDONLY)
    output = patiently(lambda: os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644))
    for target, source in ((0, nowhere), (1, output), (2, output)):
        os.dup2(source, target)
    os.close(nowhere)
    os.close(output)
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream = _line_buffered(getattr(sys, f"__{name}__"), descriptor)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _line_buffered(stream: Any, descriptor: int) -> Any:
    """The app may have kept the stream that it was given, so the same one goes on where that is possible."""
    try:
        if stream.fileno() == descriptor:
            # Whole lines, also under `python -u`: several ranks write to one log.
            stream.reconfigure(line_buffering=True, write_through=False, errors="backslashreplace")
            return stream
    except (AttributeError, OSError, ValueError):
        pass
    return open(descriptor, "w", buffering=1, errors="backslashreplace", closefd=False)


def _on_sigterm(job: int, number: int, frame: FrameType | None) -> None:
    """Lightning calls us after its own handler, and ends by itself after the step; anything else ends here."""
    if os.getpid() != job:  # a fork that the task has made, and that must not end as the job
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    caller = frame if frame is None else sys._getframe(1)
    if caller is not None and "signal_connector" in str(caller.f_globals.get("__name__")):
        return
    raise AskedToEnd(128 + number)


def run(
    spec: JobSpec,
    load: Callable[[], tuple[Program, Any]],
    seeded: dict[str, str],
    connection: socket.socket | None = None,
) -> int:
    """Run the job, and write how it ended; return the exit code.

    Args:
        spec: the job.
        load: gives the program and the job's config; what it raises is the job's failure.
        seeded: where the random state comes from, for job.json.
        connection: to the launcher, which may start further ranks.
    """
    folder = JobFolder(Path(spec.folder))
    attempt = replace(spec.state.attempts[-1], pid=os.getpid(), host=socket.gethostname(), seeded=seeded)
    state = replace(spec.state, attempts=(*spec.state.attempts[:-1], attempt))
    try:
        patiently(lambda: folder.write(state))
        ended = _run_task(spec, state, load, connection)
    except BaseException as error:  # the task ended the process, or Hydra itself failed
        ended = failed(state, error)
    if os.getpid() != attempt.pid:  # a fork that the task has made; how the job ended is not for it to say
        return int(ended.outcome is not Outcome.COMPLETED)
    return leave_word(ended.with_progress(last_progress(folder.progress)), folder, connection)


def leave_word(state: JobState, folder: JobFolder, connection: socket.socket | None) -> int:
    """Write how the job ended, or let the launcher do so later; return the exit code.

    Raises:
        OSError: it can't be written, and there is no launcher.
    """
    last = state.attempts[-1]
    if last.outcome is not Outcome.COMPLETED:
        with suppress(OSError):  # of a full disk
            print(last.traceback or last.reason, file=sys.stderr, flush=True)
    if connection is None:
        patiently(lambda: folder.write(state))
    else:
        try:
            folder.write(state)
        except OSError:
            connection.sendall(json.dumps({"verdict": state.to_dict()}).encode() + b"\n")
    return int(last.outcome is not Outcome.COMPLETED)


def _run_task(
    spec: JobSpec, state: JobState, load: Callable[[], tuple[Program, Any]], connection: socket.socket | None
) -> JobState:
    program, config = load()
    learn_secrets(config)
    pin_random_nodes(config)
    with started_by(connection, lambda: write_frozen_config(spec.frozen_config, config)):
        done = _run_as_hydra_does(program, config)
    state = replace(state, working_dir=done.working_dir)
    if done.status.name == "COMPLETED":
        return completed(state, done._return_value)
    return failed(state, done._return_value, done)


def _run_as_hydra_does(program: Program, config: Any) -> Any:
    from hydra.core.utils import run_job

    with ExitStack() as until_task:
        until_task.enter_context(quick_configs())
        until_task.enter_context(_no_garbage_collected())
        return run_job(
            hydra_context=_context(program, config),
            task_function=_ending(until_task, program.task_function),
            config=config,
            job_dir_key="hydra.run.dir",
            job_subdir_key=None,
        )


@contextmanager
def _no_garbage_collected() -> Iterator[None]:
    """What Hydra builds before the task is all kept, and looking for garbage in it costs a third."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _ending(until_task: ExitStack, task: Callable[..., Any]) -> Callable[..., Any]:
    """The task, before which what is set up for Hydra alone ends."""

    @wraps(task)
    def run(config: Any) -> Any:
        until_task.close()
        return task(config)

    return run


def enter_rank(request: dict[str, Any]) -> None:
    """Make this process a further rank of a job: it prints into the job's log, and has the environment it was given."""
    redirect(Path(request["log"]))
    os.environ.clear()
    os.environ.update(request["env"])
    carry(os.environ.get(job_environment.JOB, ""))
    os.chdir(request["cwd"])
    sys.argv = list(request["argv"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def run_rank(request: dict[str, Any], load: Callable[[], Program], libraries: ThreadedLibraries | None = None) -> int:
    """Run the task as a further rank, with the job's own config; return the exit code."""
    return run_as_rank(load, lambda: rank_config(request["config"], os.environ["LOCAL_RANK"]), libraries)


def run_as_rank(
    load: Callable[[], Program],
    config: Callable[[], Any],
    libraries: ThreadedLibraries | None = None,
    tell: Callable[[BaseException], object] = lambda error: None,
) -> int:
    """Run the task as a further rank; return the exit code.

    Args:
        load, config: give the program, and the rank's config.
        libraries: that are loaded, as they were limited before a fork.
        tell: is told what the task has raised.
    """
    job_environment.limit_threads(int(os.environ.get("OMP_NUM_THREADS", "1")), libraries)
    try:
        done = _run_as_hydra_does(load(), config())
        _ = done.return_value
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException as error:
        traceback.print_exc()
        tell(error)
        return 1
    return 0


def _context(program: Program, config: Any) -> Any:
    """Hydra's callbacks that could not be handed over are made again."""
    if program.hydra_context.callbacks is not None:
        return program.hydra_context
    make = private("hydra._internal.callbacks", "Callbacks", "the app's Hydra callbacks are not called in this job")
    return replace(program.hydra_context, callbacks=make(config) if make is not None else _NoCallbacks())


class _NoCallbacks:
    """In the place of Hydra's callbacks."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda **_: None


_of_parent: list[Any] = []


def forget_parents_exit() -> None:
    """In a forked process: what the parent registered for its own end must not happen here as well."""
    atexit._clear()
    # Kept, not emptied: what it holds would be torn down, and that takes milliseconds.
    _of_parent.append(weakref.finalize._registry)  # type: ignore[attr-defined]
    weakref.finalize._registry = {}  # type: ignore[attr-defined]
    atexit.register(logging.shutdown)
    atexit.register(weakref.finalize._exitfunc)  # type: ignore[attr-defined]
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        util._finalizer_registry.clear()
        atexit.register(util._exit_function)


def leave() -> None:
    """Do what the interpreter does at its end, in a forked process that will not come to it."""
    with suppress(Exception):
        threading._shutdown()  # type: ignore[attr-defined]  # waits for threads that are no daemons
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
