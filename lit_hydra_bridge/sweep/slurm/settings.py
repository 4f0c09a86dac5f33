"""The settings of `hydra/launcher=lit_slurm`: submitit's own under submitit's names, and ours.

The dataclass is what Hydra's config store holds; see settings.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from lit_hydra_bridge.sweep.settings import (
    ON_FAILURE,
    PROGRESS,
    RESUME,
    Rule,
    checked_by,
    is_count,
    is_number,
    one_of,
    or_null,
)


@dataclass
class LitSlurmSettings:
    """What a multirun asks of Slurm. Each job gets this: the numbers are of one job, not of the sweep."""

    _target_: str = "hydra_plugins.lit_hydra_bridge.launchers.LitSlurmLauncher"
    # Minutes that a job may run; then it saves, is queued again and goes on, as often as max_num_timeout says.
    timeout_min: Any = 60
    # Tasks of a job on each of its nodes: for DDP as many as the Trainer has devices.
    tasks_per_node: Any = 1
    nodes: Any = 1
    # CPU cores of each task; null: what the cluster gives.
    cpus_per_task: Any = None
    cpus_per_gpu: Any = None
    gpus_per_node: Any = None
    gpus_per_task: Any = None
    gres: Any = None
    # Memory on each node, in GB.
    mem_gb: Any = None
    mem_per_gpu: Any = None
    mem_per_cpu: Any = None
    # Where and for whom it runs.
    partition: Any = None
    account: Any = None
    qos: Any = None
    constraint: Any = None
    nodelist: Any = None
    exclude: Any = None
    exclusive: Any = None
    dependency: Any = None
    # The name that squeue shows.
    name: Any = "${hydra.job.name}"
    comment: Any = None
    mail_type: Any = None
    mail_user: Any = None
    # The most jobs of the sweep that run at a time.
    array_parallelism: Any = 256
    # Commands that run before the job, and after it, such as [module load cuda].
    setup: Any = None
    teardown: Any = None
    # More arguments of srun; that one failing rank ends its job is ours.
    srun_args: Any = None
    # Any other option of sbatch, such as {reservation: mine}.
    additional_parameters: Any = None
    # How often a job that has reached its time limit is queued again; preempted jobs always are.
    max_num_timeout: Any = 3
    # Seconds before its time limit at which a job is told to save; a training step and a validation must fit.
    signal_delay_s: Any = 90
    # How often a job that failed, was killed or timed out for good is submitted again.
    max_retries: Any = 0
    # What a failed job means for the others: continue; or stop, which cancels them.
    on_failure: Any = "continue"
    # Whether completed jobs are left alone, and jobs that are queued or run are waited for instead of submitted again.
    resume: Any = True
    # What is shown meanwhile: live: a table; plain: lines; none; auto: a table where there is a terminal, else lines.
    progress: Any = "auto"
    # Whether the sweep's folder gets results.csv at its end: a line a job.
    results_csv: Any = True
    # Seconds between two questions to Slurm; what jobs write is looked at more often.
    poll_s: Any = 10.0


OURS: Final = (
    "_target_",
    "max_retries",
    "on_failure",
    "resume",
    "progress",
    "results_csv",
    "poll_s",
    "max_num_timeout",
)
"""Those that submitit's `update_parameters` does not take."""
COMMON: Final = ("timeout_min", "mem_gb", "nodes", "cpus_per_task", "gpus_per_node", "tasks_per_node", "name")
"""Those that submitit has for every kind of cluster; all others it wants with `slurm_` before the name."""


def checked_slurm(given: Mapping[str, Any]) -> LitSlurmSettings:
    """Return lit_slurm's settings, each checked; see `settings.checked_by`."""
    return checked_by(_RULES, LitSlurmSettings, given)


def _count(least: int) -> Rule:
    return (lambda value: is_count(value, least)), f"a whole number from {least}"


def _count_or_null(least: int) -> Rule:
    return or_null(lambda value: is_count(value, least)), f"a whole number from {least}, or null"


def _is_text_list(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)


_TEXTS: Final[Rule] = (or_null(_is_text_list), "a list of texts, or null")

_RULES: Final[dict[str, Rule]] = {
    "timeout_min": _count(1),
    "tasks_per_node": _count(1),
    "nodes": _count(1),
    "cpus_per_task": _count_or_null(1),
    "cpus_per_gpu": _count_or_null(1),
    "gpus_per_node": _count_or_null(0),
    "gpus_per_task": _count_or_null(0),
    "mem_gb": (or_null(lambda value: is_number(value) and value > 0), "GB, more than 0, or null"),
    "array_parallelism": _count(1),
    "setup": _TEXTS,
    "teardown": _TEXTS,
    "srun_args": _TEXTS,
    "additional_parameters": (or_null(lambda value: isinstance(value, dict)), "a mapping of sbatch's options, or null"),
    "max_num_timeout": _count(0),
    "signal_delay_s": _count(1),
    "max_retries": _count(0),
    "on_failure": one_of(ON_FAILURE),
    "resume": RESUME,
    "progress": one_of(PROGRESS),
    "results_csv": (lambda value: isinstance(value, bool), "true or false"),
    "poll_s": (lambda value: is_number(value) and value > 0, "seconds, more than 0"),
}
