"""run.json in the output folder of the Hydra job that runs now: where it is written from.

    Trainer()     begin       the start, the process, outcome "running"
    save          saved       the checkpoint's path, with the record
    the end       end         how the task ended: Hydra's on_job_end, or the interpreter's end where that is not reached

Only global rank zero comes here. In a job of one of our launchers job.json has the outcome, and run.json has none. No
failure in here may end a training: a file that can't be written costs one warning.
"""

from __future__ import annotations

import atexit
import functools
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from lit_hydra_bridge.progress import PROGRESS
from lit_hydra_bridge.record.hydra_job import running_task_function
from lit_hydra_bridge.record.redaction import Redactor
from lit_hydra_bridge.record.warning import warn
from lit_hydra_bridge.run_file import RUN_FILE, RUNNING, ForeignRunFileError, RunFileWriter, now, this_process
from lit_hydra_bridge.switch import run_file_is_on

_MARK: Final = "__lit_hydra_bridge__"
_MAX_REASON: Final = 500


class RunFolder:
    """A job's run.json; it goes with the Trainer into the processes that Lightning spawns.

    Args:
        folder: the job's output folder.
        run_id: of the job's record.
        redactor: cleans what is written.
    """

    def __init__(self, folder: Path, run_id: str, redactor: Redactor) -> None:
        self.has_record = False
        """Whether it was written."""
        self.interrupted_by = ""
        """What has ended a training, if it was no error: KeyboardInterrupt, SIGTERMException."""
        self._folder, self._redactor = folder, redactor
        self._saved: set[tuple[str, str]] = set()
        self._record: Mapping[str, Any] | None = None
        self._metrics: dict[str, float] = {}
        self._has_failed = False
        self._has_job_json = Path(os.environ.get(PROGRESS, "")).parent == folder
        process = {} if self._has_job_json else {"process": this_process(), "outcome": RUNNING}
        start = {"run_id": run_id, "folder": redactor.text(str(folder)), "started": now()}
        self._writer = RunFileWriter(folder, {**start, **process})
        self._write({})

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_redactor": Redactor({})}  # it knows the secrets in clear text

    def saved(self, path: str, run_id: str, make_record: Callable[[], Mapping[str, Any]]) -> None:
        """A checkpoint was saved.

        Args:
            path: an absolute one, or a URL.
            run_id: of the record that is in it.
            make_record: gives that record.
        """
        place = Path(path)
        is_inside = "://" not in path and place.is_relative_to(self._folder)
        entry = (str(place.relative_to(self._folder)) if is_inside else self._redactor.text(path), run_id)
        if entry not in self._saved:
            self._saved.add(entry)
            self._write({} if self.has_record else {"record": make_record()}, entry)

    def note(self, record: Mapping[str, Any], log_folders: list[str], *, is_fit: bool) -> None:
        """Take a Trainer's record, and where its loggers write.

        A test after the fit adds its metrics, and leaves the rest as it was, whichever Trainer it is of.
        """
        self._metrics |= record["metrics"]
        if is_fit or self._record is None:
            self._record = record
        self._record = {**self._record, "metrics": self._metrics}
        self._write({"record": self._record, "logs": [self._redactor.text(folder) for folder in log_folders]})

    def end(self, outcome: str, reason: str, make_record: Callable[[], Mapping[str, Any]]) -> None:
        """The job has ended: note how, and the record if that has not been done."""
        has_record = self.has_record or self._writer.has_record()  # a process that Lightning spawned may have noted it
        changes: dict[str, Any] = {} if has_record else {"record": self._record or make_record()}
        if not self._has_job_json:
            changes |= {"outcome": outcome, "reason": self._redactor.text(reason)[:_MAX_REASON], "ended": now()}
        self._write(changes)

    def _write(self, changes: Mapping[str, Any], checkpoint: tuple[str, str] | None = None) -> None:
        try:
            self._writer.write(changes, checkpoint)
            self.has_record = self.has_record or "record" in changes
        except ForeignRunFileError:
            pass  # the app's own: whoever reads the folder is told
        except OSError as error:
            if not self._has_failed:
                self._has_failed = True
                reason = error.strerror or error
                warn(f"{RUN_FILE} can't be written in {self._folder} ({reason}): lit-hydra may not find this run")


# --- the job that runs now ---------------------------------------------------------------------------------


class _Open:
    """The one job whose task runs now in this process."""

    def __init__(self, root: Any, folder: RunFolder, make_record: Callable[[], Mapping[str, Any]]) -> None:
        self.root, self.folder, self.make_record, self.pid = root, folder, make_record, os.getpid()


_open: list[_Open] = []
"""At most one."""


def begin(
    root: Any, output_dir: str | None, run_id: str, redactor: Redactor, make_record: Callable[[], Mapping[str, Any]]
) -> RunFolder | None:
    """Return the run.json of the Hydra job that runs now; None where none runs, or it has no folder.

    Args:
        root: the job's whole config.
        output_dir: the job's output folder.
        run_id: of the job's record.
        redactor: cleans what is written.
        make_record: gives the record, as far as it is known without a Trainer.
    """
    if _open and _open[0].root is root and _open[0].pid == os.getpid():
        return _open[0].folder
    # A config that was set by hand, in a notebook or a test, is no job: nothing would tell its end.
    if not run_file_is_on() or not output_dir or not Path(output_dir).is_dir() or running_task_function() is None:
        return None
    _end_what_is_open()
    folder = RunFolder(Path(output_dir), run_id, redactor)
    _watch_the_end()
    _open[:] = [_Open(root, folder, make_record)]
    return folder


@functools.cache
def _watch_the_end() -> None:
    atexit.register(_end_what_is_open)
    callbacks = getattr(sys.modules.get("hydra._internal.callbacks"), "Callbacks", None)
    original = getattr(callbacks, "on_job_end", None)
    if callbacks is None or original is None:
        warn("this version of Hydra does not tell the end of a job as it used to: lit-hydra ls won't show outcomes")
    elif not hasattr(original, _MARK):
        wrapped = functools.wraps(original)(_telling_the_end(original))
        setattr(wrapped, _MARK, True)
        callbacks.on_job_end = wrapped


def _telling_the_end(original: Callable[..., Any]) -> Callable[..., Any]:
    def on_job_end(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            _job_ended(kwargs["config"], kwargs["job_return"])
        except Exception as error:
            warn(f"how the run ended was not noted ({type(error).__name__}: {error})")
        return original(self, *args, **kwargs)

    return on_job_end


def _job_ended(config: Any, job_return: Any) -> None:
    if not _open or _open[0].root is not config or _open[0].pid != os.getpid():
        return
    job = _open.pop()
    if job_return.status.name == "COMPLETED":
        job.folder.end("completed", "", job.make_record)
    else:
        _did_not_complete(job, getattr(job_return, "_return_value", None))  # the public property prints, and raises it


def _end_what_is_open() -> None:
    """Hydra 1.3 does not tell of a task that ends its process, or was interrupted."""
    if not _open or _open[0].pid != os.getpid():
        return
    last = getattr(sys, "last_value", None)
    try:
        _did_not_complete(_open.pop(), last if isinstance(last, KeyboardInterrupt) else None)
    except Exception as error:
        warn(f"how the run ended was not noted ({type(error).__name__}: {error})")


def _did_not_complete(job: _Open, error: BaseException | None) -> None:
    cause = job.folder.interrupted_by or ("KeyboardInterrupt" if isinstance(error, KeyboardInterrupt) else "")
    if cause and not isinstance(error, Exception):
        job.folder.end("interrupted", "SIGTERM" if cause == "SIGTERMException" else cause, job.make_record)
    elif error is not None:
        job.folder.end("failed", f"{type(error).__name__}: {error}".partition("\n")[0], job.make_record)
    else:
        job.folder.end("failed", "the task did not return: SystemExit, or a caught interrupt", job.make_record)
