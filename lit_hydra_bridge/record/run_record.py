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
from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, TypeVar

from lit_hydra_bridge.errors import InvalidRecordError

RECORD_KEY: Final = "lit_hydra_bridge"
SCHEMA_VERSION: Final = 1
# More than we ever pack; a hostile record must not fill the memory.
_MAX_DIFF_BYTES: Final = 64 * 1024 * 1024

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
class Training:
    """What the Trainer was set to."""

    model_class: str
    model_key: str | None = None
    """Dotted key of the config node whose `_target_` is the model's class."""
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
    overrides: list[str] = field(default_factory=list)
    job_num: int | None = None
    output_dir: str | None = None
    commit: str | None = None
    config: str | None = None
    """The composed config as YAML; None where it equals that of the run which carries this lineage."""


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
    training: Training | None = None
    loggers: list[LoggerRun] = field(default_factory=list)
    lineage: list[Ancestor] = field(default_factory=list)
    """Nearest first."""
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
            return _build(cls, data, "record")
        except RecursionError:
            raise InvalidRecordError("the record is nested too deeply to be one") from None


def escape_interpolations(text: str) -> str:
    r"""Return text that omegaconf reads as `text` itself: `${x}` -> `\${x}`, and backslashes before it doubled."""
    return re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + r"\${", text)


def unpack_diff(packed: str) -> str:
    """Return the text of `SourceCode.diff`.

    Raises:
        InvalidRecordError: it is not what was packed.
    """
    try:
        unpacker = zlib.decompressobj()
        text = unpacker.decompress(base64.b64decode(packed, validate=True), _MAX_DIFF_BYTES)
    except (ValueError, zlib.error) as error:
        raise InvalidRecordError(f"the record's diff can't be unpacked: {error}") from None
    return text.decode("utf-8", "replace")


@cache
def _hints(cls: Hashable) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _build(cls: type[T], data: object, where: str) -> T:
    if not isinstance(data, dict):
        raise InvalidRecordError(f"{where} should be a mapping, and is {_describe(data)}")
    values: dict[str, Any] = {}
    for spec in dataclasses.fields(cls):  # type: ignore[arg-type]
        if spec.name in data:
            values[spec.name] = _convert(data[spec.name], _hints(cls)[spec.name], f"{where}.{spec.name}")
        elif spec.default is dataclasses.MISSING and spec.default_factory is dataclasses.MISSING:
            raise InvalidRecordError(f"{where} has no {spec.name!r}")
    return cls(**values)


def _convert(value: object, hint: Any, where: str) -> Any:
    """Check `value` against a field's type, building nested records on the way."""
    if hint is Any:
        return _plain(value, where)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType:
        if value is None:
            return None
        return _convert(value, arguments[0], where)
    if dataclasses.is_dataclass(hint):
        return _build(typing.cast("type[Any]", hint), value, where)
    if origin is list and isinstance(value, list):
        return [_convert(item, arguments[0], f"{where}[{i}]") for i, item in enumerate(value)]
    if origin is dict and isinstance(value, dict):
        return {
            _convert(key, arguments[0], where): _convert(item, arguments[1], f"{where}.{key}")
            for key, item in value.items()
        }
    # bool is an int to isinstance, and a record that says True for a job number is damaged.
    if origin is None and type(value) is hint:
        return value
    raise InvalidRecordError(f"{where} should be {hint}, and is {_describe(value)}")


def _plain(value: object, where: str) -> Any:
    if value is None or type(value) in (str, int, float, bool):
        return value
    if type(value) is list:
        return [_plain(item, where) for item in value]
    if type(value) is dict:
        return {_plain(key, where): _plain(item, f"{where}.{key}") for key, item in value.items()}
    raise InvalidRecordError(f"{where} should be plain data, and is {_describe(value)}")


def _describe(value: object) -> str:
    return f"{type(value).__name__} {str(value)[:60]!r}"
