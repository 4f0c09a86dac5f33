"""A run's folder, or one with runs below it -> the file to read: the newest checkpoint, wherever the run has put it.

Checkpoints are `*.ckpt` in the folder or below, and those that a run.json there names. Of the latter a later run may
have written over one: it counts only if its record is of the same run. A run that has left no checkpoint is represented
by its run.json, which holds its record.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from lit_hydra_bridge.errors import CheckpointNotFoundError
from lit_hydra_bridge.run_file import RUN_FILE, read_run_file

META: Final = "meta.pt"
"""The file in a sharded checkpoint's folder that holds all but the weights."""
_Candidate = tuple[int, str, Path, str | None]


def newest_file(folder: Path, run_id_of: Callable[[Path], str | None], *, with_weights: bool) -> Path:
    """Return the newest checkpoint, of a sharded one its meta.pt; or, unless it must have weights, a run.json.

    Args:
        folder: a run's, or any above.
        run_id_of: gives the run of a checkpoint's record; None where it can't be read.
        with_weights: whether a record alone won't do.

    Raises:
        CheckpointNotFoundError: there is none.
    """
    checkpoints, run_files = _files(folder)
    candidates: list[_Candidate] = [(*_age(path), path, None) for path in checkpoints]
    above = {parent for path in checkpoints for parent in path.parents}
    has_record = False
    for file in run_files:
        run = read_run_file(file.parent)
        if run is None:
            continue
        saved = [(path, each.run_id) for each in run.checkpoints if (path := _present(each.path)) is not None]
        candidates += [(*_age(path), path, run_id) for path, run_id in saved]
        has_record = has_record or run.record is not None
        if run.record is not None and file.parent not in above and not with_weights:
            # Right after its own checkpoints, should they turn out to be another run's by now.
            newest = max((_age(path)[0] for path, _ in saved), default=_age(file)[0])
            candidates.append((newest, "", file, None))
    for _, _, path, run_id in sorted(candidates, key=lambda each: each[:2], reverse=True):
        if run_id is None or run_id_of(path) == run_id:
            return path
    if has_record:
        raise CheckpointNotFoundError(f"{folder}: the run has left no checkpoint, but its record alone, in {RUN_FILE}")
    raise CheckpointNotFoundError(f"{folder}: there is no checkpoint (*.ckpt) in this folder or below")


def _files(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the checkpoints in a folder and below, and the run.json files."""
    checkpoints, run_files = [], []
    for place, folders, names in os.walk(folder):
        here = Path(place)
        for name in [*names, *folders]:
            if name == RUN_FILE:
                run_files.append(here / name)
            elif name.endswith(".ckpt") and (path := _present(here / name)) is not None:
                checkpoints.append(path)
    return checkpoints, run_files


def _present(path: Path) -> Path | None:
    """Return a checkpoint's file, of a sharded one its meta.pt; None where it is gone."""
    for file in (path, path / META):
        if file.is_file():
            return file
    return None


def _age(path: Path) -> tuple[int, str]:
    return path.stat().st_mtime_ns, path.parent.name if path.name == META else path.name
