"""A sweep in MLflow: a parent run, and tags of each job's run.

The parent is made by the first job that comes, of however many start at once: under a lock in the sweep's folder, where
a file says which run it is. It runs as long as one of its jobs does. Where no lock can be had there is no parent, and
the tags alone say which runs belong together.

Nothing here may wait for long: all of it happens in a thread with a time limit.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from lit_hydra_bridge.files import DamagedFileError, read_json, write_json
from lit_hydra_bridge.record.sweep_job import OWN_FOLDER, SweepJob

SWEEP_TAG: Final = "lit_hydra_bridge.sweep"
GROUP_TAG: Final = "lit_hydra_bridge.group"
JOB_TAG: Final = "lit_hydra_bridge.job"
_PARENT_TAG: Final = "mlflow.parentRunId"
_TIME_LIMIT_S: Final = 30.0
_POLL_S: Final = 0.05
_HELD: Final = (errno.EAGAIN, errno.EACCES)


def join_parent(logger: Any, job: SweepJob) -> None:
    """Tag the job's run, and put it below the sweep's parent, unless the app has given it another one.

    Raises:
        TimeoutError: the server or the lock has not answered in time.
        OSError: there can be no lock in the sweep's folder.
    """
    client, run_id = logger.experiment, logger.run_id

    def join() -> None:
        run = client.get_run(run_id)
        _tag(client, run_id, {SWEEP_TAG: job.sweep, GROUP_TAG: job.group, JOB_TAG: str(job.number)})
        if _is_the_jobs_alone(logger, job):
            return
        parents, there = Parents(client, run.info.experiment_id, logger, job), run.data.tags.get(_PARENT_TAG)
        if there is None or there == parents.known():
            parent = parents.join()
            if there != parent:
                _tag(client, run_id, {_PARENT_TAG: parent})

    _within(_TIME_LIMIT_S, join)


def leave_parent(logger: Any, job: SweepJob) -> None:
    """Say that the job's run is over; with the last one that runs ends the parent.

    Raises:
        TimeoutError, OSError: as above.
    """
    client = logger.experiment
    parents = Parents(client, logger.experiment_id, logger, job)
    if parents.known() is not None:
        _within(_TIME_LIMIT_S, parents.leave)


class Parents:
    """The file that says which run is the sweep's parent, in each store and experiment that its jobs log to.

    Args:
        client: MLflow's.
        experiment: its id.
        logger: the app's.
        job: the one that asks.
    """

    def __init__(self, client: Any, experiment: str, logger: Any, job: SweepJob) -> None:
        self._client, self._experiment, self._job = client, experiment, job
        self._folder = job.folder / OWN_FOLDER
        # The address may hold a password.
        place = hashlib.sha256(_place(logger).encode()).hexdigest()[:16]
        self._key = f"{place}/{experiment}"

    def known(self) -> str | None:
        """Return the parent that the file names."""
        entry = self._read().get(self._key)
        return entry["parent"] if entry else None

    def join(self) -> str:
        """Return the parent, made or found, which runs from now on."""
        with self._locked():
            found = self._read()
            entry = found.get(self._key) or {"parent": self._search(), "running": []}
            parent = entry["parent"]
            if parent is None or not self._is_there(parent):
                parent = self._create()
            elif not entry["running"]:
                self._client.update_run(parent, status="RUNNING")
            running = sorted({*entry["running"], self._job.number})
            self._write({**found, self._key: {"parent": parent, "running": running}})
        return str(parent)

    def leave(self) -> None:
        """Take the job from those that run."""
        with self._locked():
            found = self._read()
            entry = found.get(self._key)
            if entry is None or self._job.number not in entry["running"]:
                return
            running = [number for number in entry["running"] if number != self._job.number]
            self._write({**found, self._key: {**entry, "running": running}})
            if not running:
                self._client.set_terminated(entry["parent"], "FINISHED")

    def _search(self) -> str | None:
        """Where the file is lost, or the folder is another machine's, the store may still know the parent."""
        query = f"tags.`{SWEEP_TAG}` = '{self._job.sweep}' and tags.`{JOB_TAG}` = 'all'"
        runs = self._client.search_runs([self._experiment], query, max_results=1)
        return str(runs[0].info.run_id) if runs else None

    def _is_there(self, parent: str) -> bool:
        from mlflow.exceptions import MlflowException

        try:
            return bool(self._client.get_run(parent).info.lifecycle_stage == "active")
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise

    def _create(self) -> str:
        tags = {
            "mlflow.runName": self._job.group,
            "mlflow.note.content": f"The jobs of the Hydra multirun in `{self._job.folder}`.",
            SWEEP_TAG: self._job.sweep,
            GROUP_TAG: self._job.group,
            JOB_TAG: "all",
        }
        return str(self._client.create_run(self._experiment, tags=tags).info.run_id)

    def _read(self) -> dict[str, Any]:
        try:
            return read_json(self._folder / "mlflow.json", _checked) or {}
        except DamagedFileError:
            return {}

    def _write(self, content: dict[str, Any]) -> None:
        write_json(self._folder / "mlflow.json", content)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._folder / "mlflow.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            deadline = time.monotonic() + _TIME_LIMIT_S
            while not _try_lock(handle):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{self._folder / 'mlflow.lock'} is held by another job")
                time.sleep(_POLL_S)
            yield
        finally:
            os.close(handle)


def _checked(data: Any) -> dict[str, Any]:
    """Return what the file holds, if it is what `join` writes.

    Raises:
        ValueError: it is not.
    """
    for each in data.values() if isinstance(data, dict) else [None]:
        if not isinstance(each, dict) or not isinstance(each.get("running"), list) or "parent" not in each:
            raise ValueError("by store and experiment, a parent and what runs were expected")
    return dict(data)


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            return False
        raise
    return True


def _tag(client: Any, run_id: str, tags: dict[str, str]) -> None:
    from mlflow.entities import RunTag

    client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])


def _place(logger: Any) -> str:
    """Where the logger's store is: the same text for all jobs, whatever folder they are in."""
    uri = str(getattr(logger, "_tracking_uri", ""))
    scheme, mark, rest = uri.partition(":")
    if scheme == "databricks":  # a name without a path
        return uri
    if not mark or scheme == "file":
        return str(Path((rest if mark else uri).removeprefix("//")).absolute())
    if scheme.startswith("sqlite"):
        return str(Path(rest.removeprefix("///")).absolute())
    return uri


def _is_the_jobs_alone(logger: Any, job: SweepJob) -> bool:
    """Tell whether the store is in the job's own folder: there a parent would have one child."""
    return job.output_dir is not None and Path(_place(logger)).is_relative_to(job.output_dir)


def _within(limit_s: float, work: Callable[[], None]) -> None:
    """Do something that asks a server, which may have gone; it is left to itself after the time limit.

    Raises:
        TimeoutError: it has not ended in time.
    """
    raised: list[BaseException] = []

    def attempt() -> None:
        try:
            work()
        except BaseException as error:  # raised where it is waited for
            raised.append(error)

    thread = threading.Thread(target=attempt, name="lit-hydra-bridge-mlflow", daemon=True)
    thread.start()
    thread.join(limit_s)
    if thread.is_alive():
        raise TimeoutError(f"MLflow has not answered within {limit_s:g} s")
    if raised:
        raise raised[0]
