"""What this machine has for jobs: accelerators that are visible, CPU cores that may be used."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

# In the order in which a user's own mask counts. The second and third are ROCm's.
MASKS: Final = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
# What Slurm says of an allocation's accelerators, where it does not set a mask; of a step's before those of the whole.
_ALLOCATED: Final = ("SLURM_STEP_GPUS", "SLURM_JOB_GPUS")
_CGROUPS: Final = Path("/sys/fs/cgroup")


def visible_devices(environment: Mapping[str, str]) -> list[str]:
    """Return the ids of the accelerators that a program here would see.

    Nothing of torch or CUDA is called: a process that has asked CUDA once can't be forked any more.
    """
    for mask in (*MASKS, *_ALLOCATED):
        if mask in environment:
            return _ids(environment[mask])
    return [str(index) for index in range(_nvidia_devices() or _rocm_devices())]


def mask_names(environment: Mapping[str, str]) -> list[str]:
    """Return the environment variables by which a job is shown its devices and no others."""
    given = [mask for mask in MASKS if mask in environment]
    if given:
        return given
    return ["HIP_VISIBLE_DEVICES"] if not _nvidia_devices() and _rocm_devices() else ["CUDA_VISIBLE_DEVICES"]


def _ids(text: str) -> list[str]:
    """As CUDA reads it: an index of -1 ends the list."""
    ids = [part.strip() for part in text.split(",")]
    end = next((i for i, item in enumerate(ids) if item in ("-1", "", "NoDevFiles")), len(ids))
    return list(dict.fromkeys(ids[:end]))


def _nvidia_devices() -> int:
    """Count device files: a container has those it was given. Windows' Linux has none, but nvidia-smi."""
    files = [name for name in _listed("/dev") if re.fullmatch(r"nvidia\d+", name)]
    if files or not Path("/dev/dxg").exists():
        return len(files)
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=5).stdout
    except (OSError, subprocess.SubprocessError):
        return 0
    return len(re.findall(r"^GPU \d+:", listed, re.MULTILINE))


def _rocm_devices() -> int:
    nodes = Path("/sys/class/kfd/kfd/topology/nodes")
    if not Path("/dev/kfd").exists():
        return 0
    return sum(_text(nodes / name / "gpu_id").strip() not in ("", "0") for name in _listed(str(nodes)))


def interpreter() -> str:
    """Return the path of this Python; one that was found through a relative PATH is named by a relative path."""
    return os.path.abspath(sys.executable)


def python(code: str) -> list[str]:
    """Return the command of a fresh interpreter with this one's own options, such as -W and -X."""
    return [interpreter(), *subprocess._args_from_interpreter_flags(), "-c", code]  # type: ignore[attr-defined]


def usable_cores() -> int:
    """Return how many CPU cores this process may keep busy: by its affinity, its control group's quota, and Slurm."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        cores = os.cpu_count() or 1
    quota = _quota()
    limits = [cores, *([int(quota + 0.5)] if quota is not None else []), *_allocated_cores(os.environ)]
    return max(1, min(limits))


def _allocated_cores(environment: Mapping[str, str]) -> list[int]:
    """Return the number of cores that a Slurm allocation has on this node; not every cluster binds a process to them.

    salloc and sbatch tell of all nodes, as in `4(x2),2`: those of the first are taken.
    """
    if "SLURM_JOB_ID" not in environment:
        return []
    names = ("SLURM_CPUS_ON_NODE", "SLURM_JOB_CPUS_PER_NODE")
    found = next((re.match(r"\d+", environment[name]) for name in names if name in environment), None)
    return [int(found[0])] if found and int(found[0]) else []


def _quota() -> float | None:
    """Return the tightest CPU quota among this process's control group and those around it, in cores."""
    quotas = []
    for line in _text(Path("/proc/self/cgroup")).splitlines():
        _, controllers, name = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = _CGROUPS / controllers if controllers else _CGROUPS
        place = root / name.lstrip("/")
        for folder in (place, *place.parents):
            quotas.append(_quota_of(folder))
            if folder == root:
                break
    found = [quota for quota in quotas if quota]
    return min(found) if found else None


def _quota_of(folder: Path) -> float | None:
    """Version 2 has both numbers in one file, version 1 has a file for each."""
    both = _text(folder / "cpu.max").split()
    if not both:
        both = [_text(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
    try:
        quota, period = (float(number) for number in both)
    except ValueError:  # "max", or no such files
        return None
    return quota / period if quota > 0 and period > 0 else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
