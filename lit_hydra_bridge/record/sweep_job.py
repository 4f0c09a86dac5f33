"""Which job of which sweep this is, whatever launcher has started it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lit_hydra_bridge.files import DamagedFileError, read_json
from lit_hydra_bridge.record.run_record import HydraJob
from lit_hydra_bridge.typed_data import read_as

OWN_FOLDER: Final = ".sweep"
"""In a sweep's folder, what is ours alone; its files are listed in sweep/folder.py."""

# Hydra's default for `hydra.sweep.dir` is multirun/2026-01-31/12-00-00.
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_ID_IN_GROUP: Final = 8
_LONGEST_NAME: Final = 80  # W&B takes 128 characters for a group


@dataclass(frozen=True, kw_only=True)
class SweepJob:
    """A job as it is named in loggers: the same sweep and group for all jobs of a sweep."""

    sweep: str
    """The sweep's id: that of its sweep.json, or made of the folder's path where another launcher runs the jobs."""
    group: str
    """For people: the folder's name and the id's beginning."""
    number: int
    program: str | None
    """Hydra's name of the job, which is the script's."""
    folder: Path
    """The sweep's."""
    output_dir: str | None
    """The job's."""
    overrides: tuple[str, ...]
    """Of the task, secrets redacted."""


@dataclass(frozen=True)
class _Identity:
    """What is of interest here in sweep.json."""

    id: str


def read_sweep_job(hydra: HydraJob) -> SweepJob | None:
    """Return which job of a sweep the running one is; None where it is a run of its own."""
    if hydra.mode != "MULTIRUN" or hydra.sweep_dir is None or not isinstance(hydra.job_num, int):
        return None
    folder = Path(hydra.sweep_dir)
    sweep = _id_of_ours(folder) or hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:32]
    return SweepJob(
        sweep=sweep,
        group=f"{_name(folder)}-{sweep[:_ID_IN_GROUP]}",
        number=hydra.job_num,
        program=hydra.job_name,
        folder=folder,
        output_dir=hydra.output_dir,
        overrides=tuple(hydra.overrides),
    )


def _id_of_ours(folder: Path) -> str | None:
    try:
        found = read_json(folder / OWN_FOLDER / "sweep.json", lambda data: read_as(_Identity, data, "the sweep"))
    except DamagedFileError:
        return None
    return found.id or None if found else None


def _name(folder: Path) -> str:
    name = folder.name or "sweep"
    if _DATE.fullmatch(folder.parent.name):
        name = f"{folder.parent.name}_{name}"
    return name[:_LONGEST_NAME]
