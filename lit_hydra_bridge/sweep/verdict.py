"""How a job ended, in its own words: what job.json keeps of a return value, or of what was raised.

Only the job itself can know that it is completed; an exit code proves nothing.
"""

from __future__ import annotations

import copy
import reprlib
import time
import traceback
from dataclasses import replace
from typing import Any, Final

from lit_hydra_bridge.sweep.job import Attempt, JobState, Outcome
from lit_hydra_bridge.sweep.kept_value import UnreadableValueError, is_plain, pack

_REPR: Final = 200
_LARGEST_ERROR: Final = 1 << 20


class AskedToEnd(SystemExit):
    """SIGTERM reached the job where nothing of Lightning's takes it."""

    reason: str | None = None
    """What was done about it, if anything."""


def completed(state: JobState, value: Any) -> JobState:
    """Return the job's state, now that its task has returned; a value that can't be kept is its failure."""
    try:
        kept = stored(value)
    except UnreadableValueError as error:
        reason = f"the task's return value {_short(value)} {error}"
        return _ended(state, Outcome.FAILED, reason=reason)
    return replace(_ended(state, Outcome.COMPLETED), **kept)


def stored(value: Any) -> dict[str, Any]:
    """Return the fields of job.json that keep a return value: as it is where JSON can, else packed.

    Raises:
        UnreadableValueError: it can't be kept.
    """
    if is_plain(value):
        return {"return_value": value, "return_value_pickle": None, "return_value_text": None}
    packed = pack(value)
    return {"return_value": _as_number(value), "return_value_pickle": packed, "return_value_text": _short(value)}


def _as_number(value: Any) -> float | None:
    """A metric is often a tensor, or a number of numpy's."""
    try:
        return float(value) if hasattr(value, "__float__") else None
    except Exception:
        return None


def _short(value: Any) -> str:
    shortener = reprlib.Repr()
    shortener.maxother = shortener.maxstring = _REPR
    try:
        return shortener.repr(value)[:_REPR]
    except Exception:
        return f"<{type(value).__name__}>"


def failed(state: JobState, error: BaseException, done: Any = None) -> JobState:
    """Return the job's state, now that its task has raised.

    Args:
        state: with the attempt that ends.
        error: what was raised.
        done: Hydra's JobReturn, if there is one.
    """
    text = "".join(traceback.format_exception(error))
    if isinstance(error, AskedToEnd) and error.reason:
        return _ended(state, Outcome.INTERRUPTED, reason=error.reason)
    if isinstance(error, AskedToEnd | KeyboardInterrupt):
        return _ended(state, Outcome.INTERRUPTED, reason=f"{type(error).__name__}", text=text)
    if isinstance(error, SystemExit):
        reason = f"SystemExit({error.code!r}): the task ended its process before it returned"
    else:
        reason = f"{type(error).__name__}: {error}".partition("\n")[0][:500]
    packed = _packed_error(error, done) if isinstance(error, Exception) else None
    return replace(_ended(state, Outcome.FAILED, reason=reason, text=text), error_pickle=packed)


def _packed_error(error: Exception, done: Any) -> str | None:
    """Pack the failed job's JobReturn, in which newer versions of Hydra keep the traceback; None where it can't be."""
    from hydra.core.utils import JobReturn, JobStatus

    failed = copy.copy(done) if done is not None else JobReturn(status=JobStatus.FAILED)
    failed.cfg = failed.hydra_cfg = None
    failed.return_value = error
    try:
        return pack(failed, _LARGEST_ERROR)
    except UnreadableValueError:  # as with exceptions that have arguments of their own
        return None


def _ended(state: JobState, outcome: Outcome, *, reason: str | None = None, text: str | None = None) -> JobState:
    attempt: Attempt = replace(
        state.attempts[-1], ended=time.time(), outcome=outcome, reason=reason, traceback=text and text[-20_000:]
    )
    return replace(state, attempts=(*state.attempts[:-1], attempt))
