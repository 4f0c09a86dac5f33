"""Which folder each job of a sweep has: `.sweep/jobs.jsonl`.

A line a job, written before the job starts; of two lines about a folder the later one counts. A line that was cut off
by a crash is ignored. Folders below the sweep's stand there relative to it, so that it may be moved.
Only the owner may read the file: overrides may hold secrets.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

NAME: Final = os.path.join(".sweep", "jobs.jsonl")


@dataclass(frozen=True, kw_only=True)
class IndexedJob:
    """What the index says of a job."""

    number: int
    overrides: tuple[str, ...]
    folder: str
    differs: str = ""
    """What its results were made with that has changed since, where they were kept: `config`, `code`, or both."""


def read_index(sweep: str) -> dict[str, IndexedJob]:
    """Return the jobs of the sweep in a folder, by their own; nothing where there is no index."""
    found: dict[str, IndexedJob] = {}
    with suppress(OSError), open(os.path.join(sweep, NAME), encoding="utf-8", errors="replace") as file:
        for line in file:
            with suppress(ValueError, KeyError, TypeError, RecursionError):
                job = _job(json.loads(line), sweep)
                found[job.folder] = job
    return found


def _job(data: dict[str, Any], sweep: str) -> IndexedJob:
    folder = os.path.normpath(os.path.join(sweep, str(data["folder"])))
    if "absolute" in data and not os.path.exists(folder):  # the sweep's folder was moved without it
        folder = str(data["absolute"])
    return IndexedJob(
        number=int(data["number"]),
        overrides=tuple(str(text) for text in data["overrides"]),
        folder=folder,
        differs=str(data.get("differs") or ""),
    )


def add_to_index(sweep: Path, jobs: Iterable[IndexedJob]) -> None:
    """Add lines.

    Raises:
        OSError: they can't be written.
    """
    lines = []
    for job in jobs:
        place = os.path.relpath(job.folder, sweep)
        data: dict[str, Any] = {"number": job.number, "overrides": job.overrides, "folder": place}
        if place.startswith(os.pardir):
            data["absolute"] = job.folder
        lines.append(json.dumps(data | ({"differs": job.differs} if job.differs else {})))
    # The line's end comes first: the one before may have been cut off.
    text = "".join(f"\n{line}" for line in lines)
    handle = os.open(sweep / NAME, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        os.write(handle, text.encode())
    finally:
        os.close(handle)
