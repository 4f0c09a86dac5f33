"""The environment of a job's process: its devices, its threads, and nothing that another job has left."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, Final

from lit_hydra_bridge.progress import PROGRESS
from lit_hydra_bridge.sweep.job import Slot

JOB: Final = "LIT_HYDRA_BRIDGE_JOB"
"""Environment variable: which job of which sweep a process belongs to; the reaper looks for it."""
FROZEN_CONFIG: Final = "LIT_HYDRA_BRIDGE_JOB_CONFIG"
"""Environment variable: the job's composed config, for the ranks that Lightning starts."""

THREADS: Final = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
)  # fmt: skip

# What a distributed run leaves for whoever comes next; a job that found it would look for ranks that are not there.
_RENDEZVOUS: Final = (
    "LOCAL_RANK", "RANK", "GLOBAL_RANK", "NODE_RANK", "GROUP_RANK", "ROLE_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE",
    "GROUP_WORLD_SIZE", "ROLE_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT",
)  # fmt: skip

# What has nothing to do with ranks: where Slurm's configuration is, and a folder for a job's temporary files.
_NOT_OF_ALLOCATION: Final = ("SLURM_CONF", "SLURM_TMPDIR")


def allocation_names(environment: Mapping[str, str]) -> list[str]:
    """Return the variables by which Slurm tells a process of its allocation and its rank."""
    return [name for name in environment if name.startswith("SLURM_") and name not in _NOT_OF_ALLOCATION]


def own_threads(environment: Mapping[str, str]) -> int | None:
    """Return the number of threads that the user's own environment asks for."""
    text = environment.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(text) if text.isdigit() and int(text) > 0 else None


def changes(
    base: Mapping[str, str],
    slot: Slot,
    *,
    masks: list[str],
    token: str,
    progress: str,
    frozen_config: str,
    strip_slurm: bool = False,
) -> dict[str, str | None]:
    """Return what is set (or, with None, removed) in a job's environment.

    Args:
        base: the launcher's.
        slot: what the job holds.
        masks: the variables that show it its devices and no others; none where devices are not looked after.
        token: names the job.
        progress: where the training's progress is written.
        frozen_config: where the job's config is written for its ranks.
        strip_slurm: whether the job is to know nothing of the allocation that it runs in.
    """
    gone = allocation_names(base) if strip_slurm else []
    gone += [name for name in base if name in _RENDEZVOUS or name.startswith(("TORCHELASTIC_", "TORCH_NCCL_ASYNC_"))]
    threads = {name: str(slot.threads) for name in THREADS if own_threads(base) != slot.threads or name not in base}
    return {
        **dict.fromkeys(gone),
        **dict.fromkeys(masks, ",".join(slot.devices)),
        **threads,
        JOB: token,
        PROGRESS: progress,
        FROZEN_CONFIG: frozen_config,
    }


def apply(environment_changes: Mapping[str, str | None]) -> None:
    """Change this process's environment."""
    for name, value in environment_changes.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def limit_threads(threads: int, libraries: ThreadedLibraries | None = None) -> None:
    """Tell libraries that were loaded before the environment was set.

    Args:
        threads: how many each may use.
        libraries: BLAS and OpenMP, as they were limited before a fork; None where none are at hand.
    """
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    if libraries is not None:
        libraries.limit(threads)


class ThreadedLibraries:
    """The BLAS and OpenMP libraries that are loaded in this process.

    Forks inherit the limit. To set it in each fork would cost the fork a tenth of a second: OpenBLAS starts its threads
    when it is told how many to use, and they spin before they sleep.
    """

    def __init__(self) -> None:
        self._threads = 0
        self._controller = _thread_controller()

    def limit(self, threads: int) -> None:
        """Set how many threads each may use, if that is another number than before."""
        if self._controller is not None and threads != self._threads:
            self._controller.limit(limits=threads)
            self._threads = threads


def _thread_controller() -> Any:
    """Return threadpoolctl's view of the libraries that are loaded; None where none can be had."""
    try:
        from threadpoolctl import ThreadpoolController

        return ThreadpoolController()
    except Exception:  # it reads foreign libraries; a job with too many threads is only slower
        return None
