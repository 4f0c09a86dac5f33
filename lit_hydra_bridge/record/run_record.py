"""RunRecord: all that is known of how a run was made.

Plain data with a schema version and no behaviour but conversion. What is stored is built of dict, list,
str, int, float, bool and None alone, so `torch.load(weights_only=True)` takes it, and any reader of the
future can. A record written by a newer version keeps working here: unknown keys are passed over.
"""

from __future__ import annotations

import base64
import dataclasses
import re
import types
import typing
import zlib
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from lit_hydra_bridge.errors import InvalidRecordError

RECORD_KEY: Final = "lit_hydra_bridge"
SCHEMA_VERSION: Final = 1
TARGETS: Final = ("_target_", "_zen_target", "_zen_wrappers")
"""Keys of a config node that name code; what hydra-zen builds is named by the second, and `_target_` wraps it."""
REDACTED: Final = "<redacted>"
"""What stands for a secret in a record."""
# More than we ever pack; a hostile record must not fill the memory.
_MAX_DIFF_BYTES: Final = 64 * 1024 * 1024
# A job that is preempted and resumed again and again must not carry all its configs in each checkpoint.
ANCESTORS_WITH_CONFIG: Final = 5

# What stands where something was taken out: a secret, or, by `strip --private`, a place.
PLACEHOLDER: Final = re.compile(r"<(?:redacted|path|cwd|root|output_dir|sweep_dir)>")

_MAX_VALUES: Final = 500_000

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class ComposedConfig:
    """The config as Hydra composed it for this job, secrets redacted."""

    composed: str
    """YAML text with its interpolations."""
    resolved: dict[Any, Any] = field(default_factory=dict)
    """The same with every interpolation replaced by its value; keys are str, int, float or bool."""
    unresolved: list[str] = field(default_factory=list)
    """Dotted keys in `resolved` that hold the interpolation's text, because it had no one value."""
    redacted: list[str] = field(default_factory=list)
    """Dotted keys whose value was a secret."""


@dataclass(frozen=True, kw_only=True)
class HydraJob:
    """What Hydra knew of the job."""

    hydra_version: str
    version_base: str | None = None
    overrides: list[str] = field(default_factory=list)
    hydra_overrides: list[str] = field(default_factory=list)
    config_name: str | None = None
    config_sources: list[dict[str, str]] = field(default_factory=list)
    choices: dict[str, Any] = field(default_factory=dict)
    job_name: str | None = None
    job_num: int | None = None
    job_id: str | None = None
    mode: str | None = None
    sweep_dir: str | None = None
    output_dir: str | None = None


@dataclass(frozen=True, kw_only=True)
class Entry:
    """How the program was started: what a rerun needs."""

    argv: list[str]
    orig_argv: list[str]
    cwd: str
    python: str
    script: str | None = None
    module: str | None = None
    """Dotted name, if started by `python -m`."""
    task_function: str | None = None
    """`module:qualname`."""
    task_file: str | None = None


@dataclass(frozen=True, kw_only=True)
class SourceCode:
    """The state of the git repository that holds the program."""

    commit: str | None = None
    branch: str | None = None
    remote: str | None = None
    root: str | None = None
    dirty: bool | None = None
    """Whether tracked files were changed, as in `git describe --dirty`: Hydra's own outputs/ is mostly untracked."""
    untracked: list[str] = field(default_factory=list)
    diff: str | None = None
    """`git diff HEAD`, secrets redacted; zlib-compressed, base64; None where there is none or it was left out."""
    diff_cut: bool = False
    """True where the diff was longer than the cap and its end is missing."""


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Where the run took place."""

    python: str
    platform: str
    host: str
    packages: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SlurmJob:
    """The Slurm job in which the run took place."""

    job_id: str
    """Slurm's own number; in an array each job has one."""
    array_job_id: str | None = None
    array_task_id: str | None = None
    partition: str | None = None
    nodes: str | None = None
    """As Slurm writes lists of nodes, such as `gpu[3-4,7]`."""
    cluster: str | None = None
    restarts: int = 0
    """How often Slurm had queued it again."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """What the Trainer was set to."""

    model_class: str
    model_key: str | None = None
    """Dotted key of the config node whose target is the model's class."""
    seed: int | None = None
    deterministic: bool | None = None
    cudnn_deterministic: bool | None = None
    cudnn_benchmark: bool | None = None
    accelerator: str | None = None
    strategy: str | None = None
    precision: str | None = None
    devices: int | None = None
    num_nodes: int | None = None
    world_size: int | None = None
    threads: int | None = None
    """CPU threads that torch computed with: another number gives other sums in their last digits."""


@dataclass(frozen=True, kw_only=True)
class LoggerRun:
    """One logger's own name for this run."""

    kind: str
    name: str | None = None
    version: str | None = None
    run_id: str | None = None
    directory: str | None = None


@dataclass(frozen=True, kw_only=True)
class Ancestor:
    """A run whose checkpoint this run was started from, compact."""

    run_id: str
    created: str
    checkpoint: str | None = None
    global_step: int | None = None
    """Of that checkpoint."""
    overrides: list[str] = field(default_factory=list)
    job_num: int | None = None
    output_dir: str | None = None
    commit: str | None = None
    config: str | None = None
    """The composed config as YAML; None where it equals that of the run which carries this lineage, or, from the
    sixth ancestor on, where it was left out. Empty where `strip --private` removed it."""


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """All that is known of how a run was made."""

    run_id: str
    created: str
    """UTC, ISO 8601."""
    config: ComposedConfig
    entry: Entry
    environment: Environment
    schema_version: int = SCHEMA_VERSION
    hydra: HydraJob | None = None
    source: SourceCode | None = None
    slurm: SlurmJob | None = None
    """None: it did not run in a Slurm job."""
    training: Training | None = None
    loggers: list[LoggerRun] = field(default_factory=list)
    lineage: list[Ancestor] = field(default_factory=list)
    """Nearest first."""
    metrics: dict[str, float] = field(default_factory=dict)
    """What the model had logged when this checkpoint was saved: each name's last value."""
    gaps: list[str] = field(default_factory=list)
    """What could not be found out, and why."""

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain containers."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: object) -> RunRecord:
        """Build a record from what `to_dict` gave, or raise InvalidRecordError.

        Keys that this version does not know are passed over; keys with a default may be missing.
        """
        try:
            return _Reader().record(cls, data)
        except RecursionError:
            raise InvalidRecordError("the record is nested too deeply to be one") from None


def unpack_diff(packed: str) -> str:
    """Return the text of `SourceCode.diff`.

    Raises:
        InvalidRecordError: it is not what was packed, or more than ever is.
    """
    try:
        unpacker = zlib.decompressobj()
        text = unpacker.decompress(base64.b64decode(packed, validate=True), _MAX_DIFF_BYTES)
    except (TypeError, ValueError, zlib.error) as error:
        raise InvalidRecordError(f"the record's diff can't be unpacked: {error}") from None
    if unpacker.unconsumed_tail or not unpacker.eof:
        raise InvalidRecordError("the record's diff can't be unpacked: it is cut, or longer than any that is recorded")
    return text.decode("utf-8", "replace")


_hints_of: Final[dict[type, dict[str, Any]]] = {}


def _hints(cls: type) -> dict[str, Any]:
    if cls not in _hints_of:
        _hints_of[cls] = typing.get_type_hints(cls)
    return _hints_of[cls]


class _Reader:
    """Checks data of unknown origin against the records' fields, and builds them."""

    def __init__(self) -> None:
        self._path: list[object] = []
        self._values = 0

    def record(self, cls: type[T], data: object) -> T:
        if not isinstance(data, dict):
            raise self._error("a mapping", data)
        values: dict[str, Any] = {}
        for spec in dataclasses.fields(cls):  # type: ignore[arg-type]
            if spec.name in data:
                values[spec.name] = self._at(spec.name, data[spec.name], _hints(cls)[spec.name])
            elif spec.default is dataclasses.MISSING and spec.default_factory is dataclasses.MISSING:
                raise InvalidRecordError(f"{self._where()} has no {spec.name!r}")
        return cls(**values)

    def _at(self, step: object, value: object, hint: Any) -> Any:
        self._path.append(step)
        result = self._value(value, hint)
        self._path.pop()
        return result

    def _value(self, value: object, hint: Any) -> Any:
        # Lists that hold one another several times over are small in a file, and endless when walked.
        self._values += 1
        if self._values > _MAX_VALUES:
            raise InvalidRecordError(f"the record holds more than {_MAX_VALUES} values")
        # bool is an int to isinstance, and a record that says True for a job number is damaged.
        if type(value) is hint:
            return value
        if hint is Any:
            return self._plain(value)
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin is types.UnionType:
            return None if value is None else self._value(value, arguments[0])
        if dataclasses.is_dataclass(hint):
            return self.record(typing.cast("type[Any]", hint), value)
        if origin is list and isinstance(value, list):
            return [self._at(i, item, arguments[0]) for i, item in enumerate(value)]
        if origin is dict and isinstance(value, dict):
            return {self._key(key, arguments[0]): self._at(key, item, arguments[1]) for key, item in value.items()}
        raise self._error(str(getattr(hint, "__name__", hint)), value)

    def _plain(self, value: object) -> Any:
        if value is None or type(value) in (str, int, float, bool):
            return value
        if type(value) is list:
            return [self._at(i, item, Any) for i, item in enumerate(value)]
        if type(value) is dict:
            return {self._key(key, Any): self._at(key, item, Any) for key, item in value.items()}
        raise self._error("plain data", value)

    def _key(self, key: object, hint: Any) -> Any:
        if type(key) in ((str, int, float, bool) if hint is Any else (hint,)):
            return key
        raise self._error("a mapping with plain keys", key)

    def _error(self, expected: str, value: object) -> InvalidRecordError:
        return InvalidRecordError(f"{self._where()} should be {expected}, and is {_describe(value)}")

    def _where(self) -> str:
        steps = [f"[{_short(step)}]" if type(step) is int else f".{_short(step)}" for step in self._path[:12]]
        return "".join(["record", *steps, "…" if len(self._path) > len(steps) else ""])


def _describe(value: object) -> str:
    # Only these have a text that can be trusted: anything else may raise, or run on.
    return (
        f"{type(value).__name__} {_short(value)!r}" if isinstance(value, str | float | bool) else type(value).__name__
    )


def _short(step: object) -> str:
    return (
        str(step)[:60]
        if isinstance(step, str | float | bool) or (isinstance(step, int) and abs(step) < 10**18)
        else "…"
    )
