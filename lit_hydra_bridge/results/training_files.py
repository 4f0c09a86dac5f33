"""What a training leaves in a run's folder: checkpoints with their records, and CSVLogger's metrics.csv."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from lit_hydra_bridge.errors import CheckpointError, InvalidRecordError, NoRecordError
from lit_hydra_bridge.files import opened
from lit_hydra_bridge.results.own_job import found_again
from lit_hydra_bridge.run_file import RunFile

if TYPE_CHECKING:
    from lit_hydra_bridge.record.run_record import RunRecord

_TAIL: Final = 1 << 16
_NO_METRICS: Final = ("epoch", "step")


@dataclass(frozen=True, kw_only=True)
class Training:
    """What was found."""

    best: str | None = None
    """The best checkpoint, else the newest one."""
    checkpoints: dict[str, Any] = field(default_factory=dict)
    monitors: dict[str, str] = field(default_factory=dict)
    """What callbacks monitor: `min` or `max`."""
    metrics: dict[str, float] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()
    """As the record has them."""
    number: int | None = None


def read_training(folder: str, run: RunFile, problems: list[str]) -> Training:
    """Look for what a training has left.

    Args:
        folder: the run's.
        run: what its run.json says, of files elsewhere too.
        problems: what can't be read is added.
    """
    checkpoints, tables = _files(folder)
    if run.ended is None:  # since then they may be another run's
        tables += [path for log in run.log_folders if os.path.isfile(path := os.path.join(log, "metrics.csv"))]
    noted = _noted_record(run)
    metrics: dict[str, float] = {}
    known: dict[str, Any] = {}
    monitors: dict[str, str] = {}
    overrides: tuple[str, ...] = ()
    number = None
    for path, own in _newest(checkpoints, run, problems):
        known = {"last": path}
        if (record := own or noted) is not None:
            metrics = dict(record.metrics)
            known |= _best(record, folder)
            monitors = record.checkpoint.monitors if record.checkpoint else {}
            overrides, number = tuple(record.hydra.overrides), record.hydra.job_num
    if noted is not None:
        metrics |= noted.metrics if run.ended is not None else {}
        overrides, number = overrides or tuple(noted.hydra.overrides), noted.hydra.job_num if number is None else number
    for path in dict.fromkeys(tables):
        metrics |= _last_values(path, problems)
    best = known.get("best") or known.get("last")
    return Training(
        best=best, checkpoints=known, monitors=monitors, metrics=metrics, overrides=overrides, number=number
    )


def _newest(inside: list[tuple[int, str]], run: RunFile, problems: list[str]) -> Iterator[tuple[str, RunRecord | None]]:
    """Give the newest checkpoint and its record; one that is elsewhere must still be this run's."""
    found = [(modified, path, "") for modified, path in inside]
    for each in run.checkpoints:
        path = str(each.path)
        if os.path.isfile(path) or os.path.isfile(os.path.join(path, "meta.pt")):
            found.append((os.stat(path).st_mtime_ns, path, each.run_id))
    for _, path, run_id in sorted(found, key=lambda each: each[:2], reverse=True):
        record = _record(path, problems)
        if not run_id or (record is not None and record.run_id == run_id):
            yield path, record
            return


def _noted_record(run: RunFile) -> RunRecord | None:
    """Return the record in run.json."""
    from lit_hydra_bridge.record.run_record import RunRecord

    try:
        return RunRecord.from_dict(run.record)
    except InvalidRecordError:
        return None


def _files(folder: str) -> tuple[list[tuple[int, str]], list[str]]:
    """Return checkpoints with the times of their last change, and the CSVLogger's files, oldest first."""
    checkpoints, tables = [], []
    for path, modified in _walk(folder):
        if path.endswith(".ckpt"):
            checkpoints.append((modified, path))
        elif os.path.basename(path) == "metrics.csv":
            tables.append((modified, path))
    return checkpoints, [path for _, path in sorted(tables)]


def _walk(folder: str) -> Iterator[tuple[str, int]]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                is_folder = entry.is_dir(follow_symlinks=False)
                if entry.name.endswith(".ckpt") or (not is_folder and entry.name == "metrics.csv"):
                    if not is_folder or os.path.isfile(os.path.join(entry.path, "meta.pt")):
                        yield entry.path, entry.stat().st_mtime_ns
                elif is_folder and not entry.name.startswith("."):
                    yield from _walk(entry.path)
    except OSError:
        return


def _record(path: str, problems: list[str]) -> RunRecord | None:
    from lit_hydra_bridge.reload.checkpoint import read_record

    try:
        return read_record(path)
    except NoRecordError:
        return None
    except CheckpointError as error:
        problems.append(str(error))
        return None


def _best(record: RunRecord, folder: str) -> dict[str, Any]:
    """Return what the ModelCheckpoint had found when the checkpoint was saved."""
    saved = record.checkpoint
    if saved is None or saved.best is None or not os.path.exists(best := found_again(saved.best, folder)):
        return {}
    told = {"best": best, "monitor": saved.monitor, "mode": saved.mode, "score": saved.score}
    return {key: value for key, value in told.items() if value is not None}


def _last_values(path: str, problems: list[str]) -> dict[str, float]:
    """Return each metric's last value, from the end of the file: it may be long."""
    try:
        with opened(path) as file:
            head = file.readline(_TAIL)
            size = os.fstat(file.fileno()).st_size
            file.seek(max(len(head), size - _TAIL))
            tail = file.read()
    except OSError as error:
        problems.append(f"{path}: it can't be read ({error.strerror or error})")
        return {}
    lines = tail.decode("utf-8", "replace").splitlines()
    if size - _TAIL > len(head):
        lines = lines[1:]  # cut in its middle
    try:
        names, *rows = csv.reader(line.replace("\0", "") for line in [head.decode("utf-8", "replace"), *lines])
    except (csv.Error, ValueError):  # a field that is too long, or no line at all
        return {}
    values: dict[str, float] = {}
    for row in rows:
        if len(row) == len(names):  # the last one may be half written
            pairs = zip(names, map(_number, row), strict=True)
            values |= {name: number for name, number in pairs if number is not None}
    return {name: value for name, value in values.items() if name not in _NO_METRICS}


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
