"""The live Hydra job -> what a RunRecord says of it.

    HydraConfig ----> config, overrides, job   (at once, on the caller's thread: resolvers live there)
    git, packages --> source, environment      (once per process, in a thread with a time limit)

One `JobCapture` is made per job and shared by all its Trainers. Whoever started the job does not matter: it is
recognised by the composed config that `HydraConfig` holds, which is another object for every job.
"""

from __future__ import annotations

import contextlib
import os
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from lit_hydra_bridge.record.composed_config import ConfigReading, as_config, read_config
from lit_hydra_bridge.record.environment import read_slurm_job
from lit_hydra_bridge.record.hydra_job import (
    bare_entry,
    has_hydra,
    hydra_version,
    live_root,
    program_folder,
    raw_output_dir,
    read_entry,
    read_hydra_job,
    running_task_function,
)
from lit_hydra_bridge.record.process_facts import ProcessFacts
from lit_hydra_bridge.record.record_json import parse_record
from lit_hydra_bridge.record.redaction import Redactor
from lit_hydra_bridge.record.run_folder import RunFolder, begin
from lit_hydra_bridge.record.run_record import (
    ANCESTORS_WITH_CONFIG,
    RECORD_KEY,
    Ancestor,
    ComposedConfig,
    Environment,
    HydraJob,
    RunRecord,
    SourceCode,
)
from lit_hydra_bridge.record.sweep_job import SweepJob, read_sweep_job
from lit_hydra_bridge.run_file import RUN_FILE
from lit_hydra_bridge.switch import diff_is_on, is_on

_MAX_ANCESTORS: Final = 50


@dataclass(frozen=True, kw_only=True)
class CaptureOptions:
    """What a RunRecorder can be told."""

    diff: bool | None = None
    """Whether the git diff is recorded; None: unless LIT_HYDRA_BRIDGE_DIFF is off."""
    diff_limit_kib: int = 128
    custom_resolvers: bool = True
    """Whether nodes that need the app's own resolvers are evaluated; False keeps their text."""
    time_limit_s: float = 5.0
    """The longest that a save waits for git and the package list, in seconds."""


class JobCapture:
    """All that is known of one job, whichever of its Trainers asks.

    Args:
        root: the whole composed config; with its `hydra` node where Hydra runs the job.
        options: what to capture, and how.
        is_hydra_job: False where the user gave the config by hand.
    """

    def __init__(self, root: Any, options: CaptureOptions, *, is_hydra_job: bool) -> None:
        self.root = as_config(root)
        self.options = options
        self.is_hydra_job = is_hydra_job
        self.run_id = uuid.uuid4().hex
        self.created = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self.redactor = Redactor(os.environ)
        self.gaps: list[str] = []
        self.quiet_gaps: list[str] = []
        """Those of a healthy app, such as a resolver that exists only inside the job: recorded, but no warning."""
        self.gaps_were_told = False
        self.ancestors: list[Ancestor] = []
        self._absorbed = 0
        self._reading = self.attempt("config", self._read_config) or ConfigReading({}, {})
        self.hydra: HydraJob = (
            self.attempt("hydra", self._read_hydra_job) if has_hydra(self.root) else None
        ) or HydraJob()
        self.slurm = self.attempt("slurm", lambda: read_slurm_job(os.environ))
        self.entry = self.attempt("entry", lambda: self._read_entry(is_hydra_job)) or bare_entry()
        # Last: from here on the redactor belongs to the look-up's thread.
        self._facts = ProcessFacts(
            program_folder(self.entry),
            self.redactor,
            diff=diff_is_on() if options.diff is None else options.diff,
            diff_limit_kib=options.diff_limit_kib,
            time_limit_s=options.time_limit_s,
        )
        self._settled: tuple[SourceCode | None, Environment] | None = None
        self.folder: RunFolder | None = self.attempt(RUN_FILE, self._begin_run_file) if is_hydra_job else None
        """The job's run.json; None where none is written."""

    @cached_property
    def config(self) -> ComposedConfig:
        """The composed config; its YAML is written when it is first needed, which is not before training begins."""
        return self._reading.composed_config()

    @cached_property
    def sweep_job(self) -> SweepJob | None:
        """Which job of which sweep this is; None where it is of none."""
        if not self.is_hydra_job:
            return None
        found: SweepJob | None = self.attempt("sweep", lambda: read_sweep_job(self.hydra))
        return found

    def _read_config(self) -> ConfigReading:
        reading, gaps = read_config(self.root, self.redactor, custom_resolvers=self.options.custom_resolvers)
        self.gaps += gaps
        self.quiet_gaps = gaps if reading.composed else []  # without any config something did go wrong
        return reading

    def _begin_run_file(self) -> RunFolder | None:
        return begin(self.root, raw_output_dir(self.root), self.run_id, self.redactor, lambda: self.record().to_dict())

    def _read_hydra_job(self) -> HydraJob:
        return read_hydra_job(self.root, self.redactor)

    def _read_entry(self, is_hydra_job: bool) -> Any:
        return read_entry(self.root, running_task_function() if is_hydra_job else None, self.redactor)

    def attempt(self, what: str, read: Callable[[], Any]) -> Any:
        """Return what `read` returns; where it raises, note the gap and return None."""
        try:
            return read()
        except (Exception, SystemExit) as error:  # a record with a gap beats a run that failed for it
            self.gaps.append(self.redactor.text(f"{what}: {type(error).__name__}: {str(error)[:200]}"))
            return None

    @property
    def is_looked_up(self) -> bool:
        """Whether git's and the interpreter's facts are known, so that nobody has to wait for them."""
        return self._settled is not None or self._facts.is_done

    def source_and_environment(self) -> tuple[SourceCode | None, Environment]:
        """Return git's and the interpreter's facts, waiting for them up to the time limit."""
        if self._settled is None:
            self.gaps += map(self.redactor.text, self._facts.wait())
            self._settled = self._facts.source, self._facts.environment
        return self._settled

    def record(self, **sections: Any) -> RunRecord:
        """Return the record, with the sections that only a Trainer knows."""
        self.absorb_loads()
        source, environment = self.source_and_environment()
        return RunRecord(
            run_id=self.run_id,
            created=self.created,
            config=self.config,
            hydra=self.hydra,
            entry=self.entry,
            source=source,
            slurm=self.slurm,
            environment=environment,
            lineage=list(self.ancestors),
            gaps=list(self.gaps),
            **sections,
        )

    def __getstate__(self) -> dict[str, Any]:
        """For strategies that pickle the Trainer: another process can't reach this job, so all is settled here.

        The redactor stays behind: it knows the secrets in clear text.
        """
        self.source_and_environment()
        assert self.config is not None  # written into the state by being asked for
        state = {key: value for key, value in vars(self).items() if key != "_facts"}
        return state | {"root": None, "redactor": Redactor({})}

    def note_ancestor(self, data: object, path: str | None, global_step: object = None) -> None:
        """Take the record found in a loaded checkpoint into this run's lineage, nearest first."""
        with contextlib.suppress(ValueError):
            parent = parse_record(data)
            where = path and self.redactor.override(path)
            known = {self.run_id, *(ancestor.run_id for ancestor in self.ancestors)}
            chain = [each for each in _chain(parent, where, global_step) if each.run_id not in known]
            self.ancestors = [
                _without_config(ancestor)
                if i >= ANCESTORS_WITH_CONFIG or ancestor.config == self.config.composed
                else ancestor
                for i, ancestor in enumerate([*chain, *self.ancestors][:_MAX_ANCESTORS])
            ]

    def absorb_loads(self) -> None:
        """Take what Lightning has loaded in this job since the last call into the lineage."""
        loads = _state.loads if _state.loads_root is self.root and self.root is not None else []
        new, self._absorbed = loads[self._absorbed :], len(loads)
        for load in new:
            self.note_ancestor(*load)


def _chain(parent: RunRecord, path: str | None, global_step: object) -> list[Ancestor]:
    """Return a run and its ancestors; what the parent's record left out as its own config is put back."""
    older = [
        replace(ancestor, config=parent.config.composed)
        if ancestor.config is None and i < ANCESTORS_WITH_CONFIG
        else ancestor
        for i, ancestor in enumerate(parent.lineage)
    ]
    return [_ancestor(parent, path, global_step), *older]


def _ancestor(record: RunRecord, path: str | None, global_step: object) -> Ancestor:
    return Ancestor(
        run_id=record.run_id,
        created=record.created,
        checkpoint=path,
        global_step=global_step if type(global_step) is int else None,
        overrides=record.hydra.overrides,
        job_num=record.hydra.job_num,
        output_dir=record.hydra.output_dir,
        commit=record.source.commit if record.source else None,
        config=record.config.composed,
    )


def _without_config(ancestor: Ancestor) -> Ancestor:
    return replace(ancestor, config=None)


# --- the job that runs now -------------------------------------------------------------------------------


@dataclass
class _State:
    """The one place of state: the capture of the job that runs now, those given by hand, and what was loaded."""

    live: JobCapture | None = None
    given: list[JobCapture] = field(default_factory=list)
    loads_root: Any = None
    """The job in which `loads` took place."""
    loads: list[tuple[object, str, object]] = field(default_factory=list)
    """Records found in checkpoints that Lightning loaded, where, and their global step."""


_state: Final = _State()


def current_capture(options: CaptureOptions | None = None) -> JobCapture | None:
    """Return the capture of the job that runs now, made on the first call; None where no job runs.

    Options given here make a capture of their own: they belong to one RunRecorder.
    """
    if _state.given:
        given = _state.given[-1]
        if options is None:
            return given
        own = JobCapture(given.root, options, is_hydra_job=given.is_hydra_job)
        own.hydra = given.hydra
        return own
    root = live_root()
    if root is None:
        return None
    if options is not None:
        return JobCapture(root, options, is_hydra_job=True)
    if _state.live is None or _state.live.root is not root:
        _state.live = JobCapture(root, CaptureOptions(), is_hydra_job=True)
    return _state.live


def is_current(capture: JobCapture | None) -> bool:
    """Tell whether a capture is that of the job that runs now, or there is none that could replace it."""
    root = _current_root()
    return (root is None and capture is not None) or (capture is not None and capture.root is root)


def is_recording_by_hand() -> bool:
    """Tell whether the process is inside `with recording(cfg)`."""
    return bool(_state.given)


@contextlib.contextmanager
def recording(config: Any, *, overrides: list[str] | None = None, **options: Any) -> Iterator[JobCapture | None]:
    """Record `config` into every checkpoint of the Trainers made or run inside the block.

    For the compose API and notebooks, where no Hydra job runs.

    Args:
        config: a DictConfig, a dict or a structured config.
        overrides: what to record as the overrides, such as those given to `hydra.compose`.
        options: those of RunRecorder: `diff`, `diff_limit_kib`, `custom_resolvers`, `time_limit_s`.
    """
    if not is_on():
        yield None
        return
    capture = capture_by_hand(config, overrides, CaptureOptions(**options))
    _state.given.append(capture)
    try:
        yield capture
    finally:
        _state.given.remove(capture)


def capture_by_hand(config: Any, overrides: list[str] | None, options: CaptureOptions) -> JobCapture:
    """Capture a config that the user gave."""
    capture = JobCapture(config, options, is_hydra_job=False)
    if overrides is not None:
        redacted = [capture.redactor.override(override) for override in overrides]
        capture.hydra = replace(capture.hydra, hydra_version=hydra_version(), overrides=redacted)
    return capture


def note_loaded(checkpoint: object, path: object) -> None:
    """Take note that the job that runs now has loaded a checkpoint. Never raises."""
    if not isinstance(checkpoint, dict) or RECORD_KEY not in checkpoint or not is_rank_zero():
        return
    with contextlib.suppress(Exception):
        root = _current_root()
        if root is not _state.loads_root:
            _state.loads_root, _state.loads = root, []
        if root is not None:
            _state.loads.append((checkpoint[RECORD_KEY], absolute_path(path), checkpoint.get("global_step")))


def _current_root() -> Any:
    return _state.given[-1].root if _state.given else live_root()


def absolute_path(path: object) -> str:
    """A local path as it is from any folder; a URL as it is."""
    is_local = isinstance(path, str | os.PathLike) and "://" not in str(path)
    return str(Path(str(path)).absolute()) if is_local else str(path)


def is_rank_zero() -> bool:
    """Tell whether this process is, as far as Lightning knows before any Trainer runs, rank zero."""
    module = sys.modules.get("lightning_utilities.core.rank_zero")
    return not getattr(getattr(module, "rank_zero_only", None), "rank", 0)
