"""What a training leaves in a run's folder: checkpoints with their records, and CSVLogger's metrics.csv."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from lit_hydra_bridge.errors import CheckpointError, InvalidRecordError
from lit_hydra_bridge.record.run_record import RECORD_KEY, RunRecord
from lit_hydra_bridge.results.own_job import found_again
from lit_hydra_bridge.run_file import RunFile

_TAIL: Final = 1 << 16
# A callback's key in a checkpoint says how it was set: `ModelCheckpoint{'monitor': 'val_loss', 'mode': 'min', …}`.
_MODE: Final = re.compile(r"'mode': '(min|max)'")
_NO_METRICS: Final = ("epoch", "step")


@dataclass(frozen=True, kw_only=True)
class Training:
    """What was found."""

    best: str | None = None
    """The best checkpoint, else the newest one."""
    checkpoints: dict[str, Any] = field(default_factory=dict)
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
    noted = _record(run.record)
    metrics: dict[str, float] = {}
    known: dict[str, Any] = {}
    overrides: tuple[str, ...] = ()
    number = None
    for path, plain in _newest(checkpoints, run, problems):
        known = {"last": path, **_model_checkpoint(plain, folder)}
        if (record := _record(plain.get(RECORD_KEY)) or noted) is not None:
            metrics = dict(record.metrics)
            overrides, number = tuple(record.hydra.overrides), record.hydra.job_num
    if noted is not None:
        metrics |= noted.metrics if run.ended is not None else {}
        overrides, number = overrides or tuple(noted.hydra.overrides), noted.hydra.job_num if number is None else number
    for path in dict.fromkeys(tables):
        metrics |= _last_values(path, problems)
    best = known.get("best") or known.get("last")
    return Training(best=best, checkpoints=known, metrics=metrics, overrides=overrides, number=number)


def _newest(inside: list[tuple[int, str]], run: RunFile, problems: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give the newest checkpoint and its plain data; one that is elsewhere must still be this run's."""
    found = [(modified, path, "") for modified, path in inside]
    for each in run.checkpoints:
        path = str(each.path)
        if os.path.isfile(path) or os.path.isfile(os.path.join(path, "meta.pt")):
            found.append((os.stat(path).st_mtime_ns, path, each.run_id))
    for _, path, run_id in sorted(found, key=lambda each: each[:2], reverse=True):
        plain = _plain(path, problems)
        record = plain.get(RECORD_KEY)
        if not run_id or (isinstance(record, dict) and record.get("run_id") == run_id):
            yield path, plain
            return


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


def _plain(path: str, problems: list[str]) -> dict[str, Any]:
    from lit_hydra_bridge.reload.checkpoint import read_plain_checkpoint

    try:
        return read_plain_checkpoint(path)
    except CheckpointError as error:
        problems.append(str(error))
        return {}


def _record(data: object) -> RunRecord | None:
    try:
        return RunRecord.from_dict(data)
    except InvalidRecordError:
        return None


def _model_checkpoint(plain: dict[str, Any], folder: str) -> dict[str, Any]:
    """Return what the ModelCheckpoint said of itself when the checkpoint was saved."""
    callbacks = plain.get("callbacks")
    states = callbacks.items() if isinstance(callbacks, dict) else ()
    for key, state in states:
        if str(key).startswith("ModelCheckpoint") and isinstance(state, dict):
            best = state.get("best_model_path")
            if isinstance(best, str) and os.path.exists(best := found_again(best, folder)):
                monitor, mode = state.get("monitor"), _MODE.search(str(key))
                return {
                    "best": best,
                    **({"monitor": monitor} if isinstance(monitor, str) else {}),
                    **({"mode": mode[1]} if mode else {}),
                }
    return {}


def _last_values(path: str, problems: list[str]) -> dict[str, float]:
    """Return each metric's last value, from the end of the file: it may be long."""
    try:
        with open(path, "rb") as file:
            head = file.readline()
            size = os.fstat(file.fileno()).st_size
            file.seek(max(len(head), size - _TAIL))
            tail = file.read()
    except OSError as error:
        problems.append(f"{path}: it can't be read ({error.strerror or error})")
        return {}
    lines = tail.decode("utf-8", "replace").splitlines()
    if size - _TAIL > len(head):
        lines = lines[1:]  # cut in its middle
    names = next(csv.reader([head.decode("utf-8", "replace")]), [])
    values: dict[str, float] = {}
    for row in csv.reader(lines):
        if len(row) == len(names):  # the last one may be half written
            pairs = zip(names, map(_number, row), strict=True)
            values |= {name: number for name, number in pairs if number is not None}
    return {name: value for name, value in values.items() if name not in _NO_METRICS}


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
