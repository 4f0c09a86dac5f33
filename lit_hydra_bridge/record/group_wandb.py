"""A sweep in W&B: group, job type and tags of each job's run.

Group and job type are settled when a run is started, which a WandbLogger does when it is first asked for it. So they
are left with the logger before. A run that the app has started by itself can only be given the tags.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Final

from lit_hydra_bridge.record.sweep_job import SweepJob

_LONGEST: Final = 128  # of a group and of a job type


def prepare_wandb(logger: Any, job: SweepJob) -> None:
    """Leave with the logger what its run will be started with, where the app has said nothing of it.

    The app says so to the logger, in `wandb.Settings`, or by W&B's own environment variables.
    """
    init = getattr(logger, "_wandb_init", None)
    if not isinstance(init, dict) or getattr(logger, "_experiment", None) is not None:
        return
    settings = init.get("settings")
    if not _said(init.get("group"), settings, "run_group", "WANDB_RUN_GROUP"):
        init["group"] = job.group[:_LONGEST]
    if job.program and not _said(init.get("job_type"), settings, "run_job_type", "WANDB_JOB_TYPE"):
        init["job_type"] = job.program[:_LONGEST]
    theirs = _said(init.get("tags"), settings, "run_tags", "WANDB_TAGS")
    init["tags"] = with_ours(theirs.split(",") if isinstance(theirs, str) else theirs or (), job)


def tag_wandb(logger: Any, job: SweepJob) -> None:
    """Give the run the tags that it does not have, such as where the app had started it before the Trainer was made."""
    run = logger.experiment
    theirs = getattr(run, "tags", None) or ()
    if hasattr(type(run), "tags") and tuple(wanted := with_ours(theirs, job)) != tuple(theirs):
        run.tags = wanted


def with_ours(theirs: Sequence[str], job: SweepJob) -> tuple[str, ...]:
    """The app's tags, and after them ours."""
    return tuple(dict.fromkeys((*theirs, f"sweep:{job.sweep}", f"job:{job.number}")))


def _said(argument: Any, settings: Any, setting: str, variable: str) -> Any:
    """Return what the app or the user has said, in the order in which W&B obeys."""
    in_settings = settings.get(setting) if isinstance(settings, dict) else getattr(settings, setting, None)
    return argument or in_settings or os.environ.get(variable)
