"""What a sweeper gets back for each job: Hydra's JobReturn, from what the job has written."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus

from lit_hydra_bridge.errors import JobFailedError
from lit_hydra_bridge.sweep.job import JobState, Outcome
from lit_hydra_bridge.sweep.kept_value import UnreadableValueError, unpack


class SweptJobReturn(JobReturn):  # type: ignore[misc]
    """A JobReturn that composes its configs when somebody asks: ten thousand of them take little memory."""

    def __init__(self, make_config: Callable[[], Any], **known: Any) -> None:
        self._make_config = make_config
        for name, value in known.items():
            setattr(self, name, value)

    @property
    def cfg(self) -> Any:
        """The job's config without Hydra's own node."""
        from omegaconf import open_dict, read_write

        config = copy.deepcopy(self._make_config())
        with read_write(config), open_dict(config):
            del config["hydra"]
        return config

    @property
    def hydra_cfg(self) -> Any:
        """Hydra's own node alone."""
        from omegaconf import OmegaConf

        config = self._make_config()
        node = OmegaConf.masked_copy(config, "hydra")
        OmegaConf.set_readonly(node.hydra, True)
        return node

    def __reduce__(self) -> Any:
        plain = {name: getattr(self, name) for name in JobReturn.__dataclass_fields__}
        return _plain_return, (plain,)


def _plain_return(values: dict[str, Any]) -> JobReturn:
    return JobReturn(**values)


def job_return(
    state: JobState, make_config: Callable[[], Any], *, working_dir: str | None, log: str, fallback: str
) -> JobReturn:
    """Return what a job came to, for the sweeper.

    Args:
        state: the job's, in the end.
        make_config: composes its config.
        working_dir: the job's.
        log: the path of its log, for the error's text.
        fallback: what to say of a job that was never started.
    """
    from hydra.core.utils import JobRuntime

    completed = state.outcome is Outcome.COMPLETED
    try:
        result = {"_return_value": return_value(state)} if completed else _failure(state, log, fallback)
    except UnreadableValueError as error:
        completed = False
        told = JobFailedError(
            f"job {state.number} completed, but its return value {error}. To run it again, remove "
            f"{Path(log).with_name('job.json')}"
        )
        result = {"_return_value": told}
    return SweptJobReturn(
        make_config,
        overrides=list(state.overrides),
        working_dir=working_dir,
        task_name=JobRuntime.instance().get("name"),
        status=JobStatus.COMPLETED if completed else JobStatus.FAILED,
        **result,
    )


def return_value(state: JobState) -> Any:
    """Return what a completed job's task has returned.

    Raises:
        UnreadableValueError: it can't be unpickled in this process.
    """
    return state.return_value if state.return_value_pickle is None else unpack(state.return_value_pickle)


def _failure(state: JobState, log: str, fallback: str) -> dict[str, Any]:
    """Return the fields of a JobReturn that say how a job failed."""
    attempt = state.last
    outcome = attempt.outcome.value if attempt and attempt.outcome else "not run"
    reason = attempt.reason if attempt and attempt.reason else fallback
    told = JobFailedError(f"job {state.number} {outcome}: {reason}" + (f" (log: {log})" if log else ""))
    if state.error_pickle is None:
        return {"_return_value": told}
    try:
        failed = unpack(state.error_pickle)
    except UnreadableValueError:  # its class can't be imported in this process
        return {"_return_value": told}
    error = getattr(failed, "_return_value", None)
    if not isinstance(error, Exception):
        return {"_return_value": told}
    remote = {name: value for name, value in vars(failed).items() if name.startswith("_remote_") and value}
    if not remote:  # from Hydra 1.4 on it hands the traceback on by itself
        text = attempt.traceback if attempt and attempt.traceback else str(told)
        error.__cause__ = _InTheJob(f"in job {state.number} (log: {log})\n\n{text}")
    return {"_return_value": error, **remote}


class _InTheJob(Exception):  # noqa: N818
    """Carries the text of a job's traceback, which can't be handed over itself; concurrent.futures does the same."""

    def __str__(self) -> str:
        return str(self.args[0])
