"""The settings of `hydra/launcher=lit_local`, and what they may be.

The dataclass is what Hydra's config store holds. It stands here and not in the plugin: Hydra executes plugin modules
anew, and a class with two identities can't be pickled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, TypeVar

from lit_hydra_bridge.errors import SweepSettingsError

ON_FAILURE: Final = ("continue", "stop")
START_METHODS: Final = ("auto", "fork", "forkserver", "spawn")
PROGRESS: Final = ("auto", "live", "plain", "none")
OUTPUT: Final = ("auto", "log", "tee")


@dataclass
class LitLocalSettings:
    """How a multirun uses this machine. All have defaults that fit most sweeps."""

    _target_: str = "hydra_plugins.lit_hydra_bridge.launchers.LitLocalLauncher"
    # The most jobs that run at a time; null: as many as devices, or without any, CPU cores allow.
    n_jobs: Any = None
    # Accelerators to use: null: all that are visible; a count; or ids, such as [0,1] or [GPU-8932f937].
    devices: Any = None
    # What each job gets: null: 1 where accelerators are visible, else 0; 0.5: two jobs share one; ${trainer.devices}
    # is read from each job's own config.
    devices_per_job: Any = None
    # CPU threads of each job; null: the usable cores divided by the number of jobs at a time.
    threads_per_job: Any = None
    # Minutes after which a job is ended, as timed out; null: never.
    timeout_min: Any = None
    # How often a job that failed, was killed or timed out is started again, from its last checkpoint where it can be.
    max_retries: Any = 0
    # What a failed job means for the others: continue; or stop, which ends those that run and starts no more.
    on_failure: Any = "continue"
    # Whether jobs that an earlier launch has completed are left alone: true: if their config is the same today;
    # overrides: also if it has changed; false: all jobs are run again.
    resume: Any = True
    # How job processes are made: fork of the launcher, a forkserver that has imported the libraries, or a fresh
    # interpreter (spawn); auto takes the first that is proven safe.
    start_method: Any = "auto"
    # Modules that the forkserver imports once for all jobs; auto: the libraries that the app has imported.
    preload: Any = "auto"
    # What is shown meanwhile: live: a table; plain: lines; none; auto: a table where there is a terminal, else lines.
    progress: Any = "auto"
    # Where a job's output goes: log: job.log in its folder; tee: also here, line by line; auto: log.
    output: Any = "auto"
    # Whether the sweep's folder gets results.csv at its end: a line a job.
    results_csv: Any = True
    # Whether jobs are without the SLURM_* variables of an allocation that the sweep runs in: with them, Lightning takes
    # each for a rank that srun has started.
    strip_slurm: Any = True
    # Seconds that a job has to end by itself when it is asked to.
    grace_s: Any = 30.0
    # The most that a job's log may take on disk, in MiB; more is left out of its middle.
    log_limit_mib: Any = 256


Settings = TypeVar("Settings")
Rule = tuple[Callable[[Any], bool], str]
"""Whether a value makes sense, and what would."""


def checked(given: Mapping[str, Any]) -> LitLocalSettings:
    """Return lit_local's settings, each checked; see `checked_by`."""
    return checked_by(_RULES, LitLocalSettings, given)


def checked_by(rules: Mapping[str, Rule], kind: type[Settings], given: Mapping[str, Any]) -> Settings:
    """Return a launcher's settings, each checked.

    Args:
        rules: by name; what has none may be anything.
        kind: the launcher's dataclass.
        given: name -> value, as plain data.

    Raises:
        SweepSettingsError: a name is unknown, or a value makes no sense; the message says what would.
    """
    known = {field.name for field in fields(kind)} - {"_target_"}  # type: ignore[arg-type]
    for name in given:
        if name not in known:
            raise SweepSettingsError(f"hydra.launcher has no setting {name!r}; it has {', '.join(sorted(known))}")
    settings = kind(**given)
    for name, (is_good, expected) in rules.items():
        value = getattr(settings, name)
        if not is_good(value):
            raise SweepSettingsError(f"hydra.launcher.{name}={value!r}: expected {expected}")
    return settings


def needed_devices(value: Any, count: int) -> float:
    """Return how many devices a job needs: a whole number, or a part of one.

    Args:
        value: of devices_per_job, as each job's config resolves it; also what a Trainer takes as its `devices`.
        count: how many there are.

    Raises:
        SweepSettingsError: it is no such number.
    """
    if value is None:
        return 1.0 if count else 0.0
    if value in (-1, "-1", "auto"):
        return float(count)
    if isinstance(value, list | tuple):
        return float(len(value))
    number = value
    if isinstance(value, str):
        try:
            number = float(value) if "," not in value else len([part for part in value.split(",") if part.strip()])
        except ValueError:
            number = None
    if not _is_share_or_count(number):
        raise SweepSettingsError(
            f"hydra.launcher.devices_per_job={value!r}: expected a whole number, a part of one such as 0.5, or null"
        )
    return float(number)


def is_number(value: Any) -> bool:
    """A finite number, and no bool."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value and abs(value) != _INFINITE


_INFINITE: Final = float("inf")


def is_count(value: Any, least: int) -> bool:
    """A whole number from `least` on."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_share_or_count(value: Any) -> bool:
    return is_number(value) and (0 <= value < 1 or float(value).is_integer()) and value >= 0


def _is_devices(value: Any) -> bool:
    if isinstance(value, list | tuple):
        ids = [str(item).strip() for item in value]
        return (
            bool(ids) and all(ids) and len(set(ids)) == len(ids) and not any(isinstance(item, bool) for item in value)
        )
    return is_count(value, 0) or (isinstance(value, str) and bool(value.strip()))


def or_null(rule: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Let null pass as well."""
    return lambda value: value is None or rule(value)


def one_of(names: tuple[str, ...]) -> Rule:
    """One of several words."""
    return (lambda value: isinstance(value, str) and value in names), f"one of {', '.join(names)}"


def _is_module_list(value: Any) -> bool:
    return value == "auto" or (isinstance(value, list | tuple) and all(isinstance(item, str) for item in value))


RESUME: Final[Rule] = (lambda value: isinstance(value, bool) or value == "overrides"), "true, overrides or false"

_RULES: Final[dict[str, Rule]] = {
    "n_jobs": (or_null(lambda value: is_count(value, 1)), "a whole number from 1, or null for as many as fit"),
    "devices": (or_null(_is_devices), "a count, a list of different ids such as [0,1], or null for all"),
    "threads_per_job": (or_null(lambda value: is_count(value, 1)), "a whole number from 1, or null"),
    "timeout_min": (or_null(lambda value: is_number(value) and value > 0), "minutes, more than 0, or null"),
    "max_retries": (lambda value: is_count(value, 0), "a whole number from 0"),
    "on_failure": one_of(ON_FAILURE),
    "resume": RESUME,
    "start_method": one_of(START_METHODS),
    "preload": (_is_module_list, "auto, or a list of modules such as [torch,lightning.pytorch]"),
    "progress": one_of(PROGRESS),
    "strip_slurm": (lambda value: isinstance(value, bool), "true or false"),
    "output": one_of(OUTPUT),
    "results_csv": (lambda value: isinstance(value, bool), "true or false"),
    "grace_s": (lambda value: is_number(value) and value >= 0, "seconds, 0 or more"),
    "log_limit_mib": (lambda value: is_number(value) and value >= 1, "MiB, 1 or more"),
}
