"""RunRecord: all that is known of how a run was made.

Plain data with a schema version and no behaviour but conversion: dict, list, str, int, float, bool and None.
A checkpoint stores it as one JSON text (`record_json.py`). A record that a newer version wrote can be read:
unknown keys are ignored.
"""

from __future__ import annotations

import base64
import dataclasses
import re
import zlib
from dataclasses import dataclass, field
from typing import Any, Final

from lit_hydra_bridge.errors import InvalidRecordError
from lit_hydra_bridge.text import shortened
from lit_hydra_bridge.typed_data import WrongDataError, read_as

RECORD_KEY: Final = "lit_hydra_bridge"
SCHEMA_VERSION: Final = 2
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

DIFF_GAP: Final = "git: the diff is without "
"""How a gap begins that names a changed file."""


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
    """What Hydra knew of the job; empty, and false, where no Hydra job ran."""

    hydra_version: str = ""
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

    def __bool__(self) -> bool:
        return self != HydraJob()


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
    """`git diff HEAD` as a patch for `git apply`; zlib-compressed, base64; None where there is none."""
    diff_cut: bool = False
    """True where the diff was longer than the limit, and something is missing."""
    diff_gaps: list[str] = field(default_factory=list)
    """The changed files that the diff does not give again, each with the reason, such as `model.bin: longer than …`."""


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
class SavedCheckpoint:
    """The checkpoint that holds the record, and what its ModelCheckpoint had found until then."""

    epoch: int
    global_step: int
    weights_only: bool
    """True where a training can't go on from it."""
    best: str | None = None
    """Path of the best checkpoint so far."""
    monitor: str | None = None
    mode: str | None = None
    """min or max."""
    score: float | None = None
    """The monitored metric of the best checkpoint."""
    monitors: dict[str, str] = field(default_factory=dict)
    """What callbacks monitor: `min` or `max`, the end at which each metric is best."""


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
    hydra: HydraJob = field(default_factory=HydraJob)
    source: SourceCode | None = None
    slurm: SlurmJob | None = None
    """None: it did not run in a Slurm job."""
    training: Training | None = None
    loggers: list[LoggerRun] = field(default_factory=list)
    lineage: list[Ancestor] = field(default_factory=list)
    """Nearest first."""
    metrics: dict[str, float] = field(default_factory=dict)
    """What the model had logged when this checkpoint was saved: each name's last value."""
    checkpoint: SavedCheckpoint | None = None
    """None where the record is not a checkpoint's."""
    gaps: list[str] = field(default_factory=list)
    """What could not be found out, and why."""

    def __repr__(self) -> str:
        name = self.hydra.job_name or self.entry.task_function or ""
        parts = [f"<RunRecord {self.run_id[:12]}", name, self.created, *self.hydra.overrides]
        return shortened(f"{' '.join(part for part in parts if part)}>")

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain containers."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: object) -> RunRecord:
        """Build a record from what `to_dict` gave, or raise InvalidRecordError.

        Keys that this version does not know are ignored; keys with a default may be missing.
        """
        try:
            return read_as(cls, data, "record")
        except WrongDataError as error:
            raise InvalidRecordError(str(error)) from None


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
