"""Which sweeps and runs are below a folder."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from lit_hydra_bridge.files import opened
from lit_hydra_bridge.results.hydra_folder import HYDRA
from lit_hydra_bridge.results.read import STATE, is_sweep
from lit_hydra_bridge.run_file import RUN_FILE, is_run_folder
from lit_hydra_bridge.sweep.index import read_index

# What runs leave beside their folders, and what people keep beside their code.
_PASSED_OVER: Final = frozenset({"node_modules", "__pycache__", "wandb", "mlruns", "site-packages", "venv"})
_HEAD: Final = 400
_LONGEST: Final = 1 << 20
_IS_OF_A_SWEEP: Final = re.compile(rb"^  mode: MULTIRUN\s*$", re.MULTILINE)


@dataclass
class Found:
    """Folders of sweeps, and of runs that are not of a sweep."""

    sweeps: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)


def find_results(folder: str, looked: Callable[[int], None] = lambda _: None) -> Found:
    """Return the sweeps and the single runs below a folder, or the folder itself if it is one.

    Links are not followed, and hidden folders not looked into.

    Args:
        folder: where to look.
        looked: is told how many folders have been looked at.
    """
    found, waiting, count = Found(), [os.path.abspath(folder)], 0
    while waiting:
        place = waiting.pop()
        count += 1
        looked(count)
        is_a_run = os.path.isdir(os.path.join(place, HYDRA)) or _is_job_of_ours(place) or is_run_folder(place)
        if is_sweep(place) or (not is_a_run and _has_jobs(place)):
            found.sweeps.append(place)
        elif is_a_run:
            found.runs.append(place)
        else:
            waiting += _below(place)
    return _without_jobs(found)


def _without_jobs(found: Found) -> Found:
    """Leave out what are jobs of a sweep that is found as well, though their folders are not in its own."""
    jobs = {job for sweep in found.sweeps for job in read_index(sweep) if not job.startswith(sweep + os.sep)}
    sweeps = [sweep for sweep in found.sweeps if not jobs or is_sweep(sweep) or not _has_only(sweep, jobs)]
    return Found(sweeps, [run for run in found.runs if run not in jobs])


def _has_only(folder: str, jobs: set[str]) -> bool:
    there = {path for path in _below(folder) if _is_job_of_ours(path)}
    return bool(there) and there <= jobs


def _below(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [
                entry.path
                for entry in entries
                if entry.name[0] != "." and entry.name not in _PASSED_OVER and entry.is_dir(follow_symlinks=False)
            ]
    except OSError:
        return []


def _has_jobs(folder: str) -> bool:
    """Tell whether a folder without any mark holds jobs of a multirun, as some sweepers and copies leave it."""
    for path in _below(folder):
        if _is_job_of_ours(path):
            return True
        try:
            with opened(os.path.join(path, HYDRA, "hydra.yaml")) as file:
                return _IS_OF_A_SWEEP.search(file.read(_LONGEST)) is not None
        except OSError:
            continue
    return False


def _is_job_of_ours(folder: str) -> bool:
    """Tell whether the folder's job.json is one of our launchers': others use that name too."""
    try:
        with opened(os.path.join(folder, STATE)) as file:
            return b'"sweep"' in file.read(_HEAD)
    except OSError:
        return False


def created(folder: str) -> float:
    """Return about when a sweep or a run began: cheap, for an order before anything is read."""
    sweep = os.path.join(".sweep", "sweep.json")
    for name in (os.path.join(HYDRA, "config.yaml"), "multirun.yaml", sweep, STATE, RUN_FILE):
        try:
            return os.stat(os.path.join(folder, name)).st_mtime
        except OSError:
            continue
    return 0.0
