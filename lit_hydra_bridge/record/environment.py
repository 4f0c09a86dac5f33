"""Python, platform, host, the version of every installed package, and the Slurm job if there is one."""

from __future__ import annotations

import platform
import re
import socket
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Final

from lit_hydra_bridge.record.run_record import Environment, SlurmJob

_DIST_INFO: Final = re.compile(r"(?P<name>[^-]+)-(?P<version>[^-]+)\.dist-info")


def read_environment() -> Environment:
    """Describe the machine and the interpreter."""
    return Environment(
        python=platform.python_version(),
        platform=f"{sys.platform}-{platform.machine()}-{platform.release()}",
        host=socket.gethostname(),
        packages=installed_packages(),
    )


def read_slurm_job(variables: Mapping[str, str]) -> SlurmJob | None:
    """Return what Slurm has told this process of its job; None outside of any."""
    if "SLURM_JOB_ID" not in variables:
        return None
    restarts = variables.get("SLURM_RESTART_COUNT", "")
    return SlurmJob(
        job_id=variables["SLURM_JOB_ID"],
        array_job_id=variables.get("SLURM_ARRAY_JOB_ID"),
        array_task_id=variables.get("SLURM_ARRAY_TASK_ID"),
        partition=variables.get("SLURM_JOB_PARTITION"),
        nodes=variables.get("SLURM_JOB_NODELIST"),
        cluster=variables.get("SLURM_CLUSTER_NAME"),
        restarts=int(restarts) if restarts.isdigit() else 0,
    )


def installed_packages() -> dict[str, str]:
    """Return the version of every distribution on `sys.path`, by normalised name.

    A dist-info folder's own name says both (PEP 427), which spares opening hundreds of METADATA files while
    the user waits for the first training step; only the rest is asked through importlib.metadata. As in an
    import, the first hit on the path wins.
    """
    found: dict[str, str] = {}
    for entry in dict.fromkeys(entry for entry in sys.path if isinstance(entry, str)):
        for name, version in _packages_in(Path(entry or ".")):
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), version)
    return dict(sorted(found.items()))


def _packages_in(folder: Path) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    try:
        paths = list(folder.iterdir())
    except (OSError, ValueError):  # a zip file, a file that is gone, a folder that is closed to us
        return []
    for path in paths:
        if path.name.startswith("~"):  # pip's name for what it has half removed
            continue
        plain = _DIST_INFO.fullmatch(path.name)
        if plain and (path / "METADATA").is_file():
            pairs.append((plain["name"], plain["version"]))
        elif path.name.endswith((".dist-info", ".egg-info")) or (path.name == "EGG-INFO" and folder.suffix == ".egg"):
            pairs += _asked(path)
    return pairs


def _asked(info: Path) -> list[tuple[str, str]]:
    try:
        data = metadata.Distribution.at(info).metadata
        name, version = data["Name"], data["Version"]
    except Exception:  # what a broken installation left behind must not cost all the others
        return []
    return [(name, version)] if name and version else []
