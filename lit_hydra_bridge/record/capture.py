"""The live Hydra job -> what a RunRecord says of it.

    HydraConfig ----> config, overrides, job   (at once, on the caller's thread: resolvers live there)
    git, packages --> source, environment      (once per process, in a thread with a time limit)

One `JobCapture` is made per job and shared by all its Trainers. Whoever started the job does not matter: it is
recognised by the composed config that `HydraConfig` holds, which is another object for every job.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any, Final

from lit_hydra_bridge.record.composed_config import as_config, read_config
from lit_hydra_bridge.record.environment import read_environment
from lit_hydra_bridge.record.redaction import Redactor
from lit_hydra_bridge.record.run_record import (
    RECORD_KEY,
    Ancestor,
    ComposedConfig,
    Entry,
    Environment,
    HydraJob,
    RunRecord,
    SourceCode,
)
from lit_hydra_bridge.record.source_code import (
    DEFAULT_DIFF_LIMIT_KIB,
    DEFAULT_TIME_LIMIT_S,
    Checkout,
    GitError,
    finished_source_code,
    read_checkout,
)
from lit_hydra_bridge.switch import diff_is_on

_MAX_ANCESTORS: Final = 50


@dataclass(frozen=True, kw_only=True)
class CaptureOptions:
    """What a RunRecorder can be told."""

    diff: bool | None = None
    """Whether the git diff is recorded; None: unless LIT_HYDRA_BRIDGE_DIFF is off."""
    diff_limit_kib: int = DEFAULT_DIFF_LIMIT_KIB
    custom_resolvers: bool = True
    """Whether nodes that need the app's own resolvers are evaluated; False keeps their text."""
    time_limit_s: float = DEFAULT_TIME_LIMIT_S
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
        self.run_id = uuid.uuid4().hex
        self.created = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self.redactor = Redactor(os.environ)
        self.gaps: list[str] = []
        self.gaps_were_told = False
        self.ancestors: list[Ancestor] = []
        self.config = self._attempt("config", self._read_config) or ComposedConfig(composed="")
        self.hydra = (
            self._attempt("hydra", lambda: _read_hydra(self.root, self.redactor)) if _has_hydra(self.root) else None
        )
        self.is_hydra_job = is_hydra_job
        task_function = _running_task_function() if is_hydra_job else None
        self.entry = (
            self._attempt("entry", lambda: _read_entry(self.root, task_function, self.redactor)) or _bare_entry()
        )
        self._process_facts = _process_facts(_program_folder(self.entry), options.time_limit_s)
        self._settled: tuple[SourceCode | None, Environment] | None = None

    def _read_config(self) -> ComposedConfig:
        config, gaps = read_config(self.root, self.redactor, custom_resolvers=self.options.custom_resolvers)
        self.gaps += gaps
        return config

    def _attempt(self, what: str, read: Callable[[], Any]) -> Any:
        try:
            return read()
        except Exception as error:  # a record with a gap beats a run that failed for it
            self.gaps.append(f"{what}: {type(error).__name__}: {str(error)[:200]}")
            return None

    def source_and_environment(self) -> tuple[SourceCode | None, Environment]:
        """Return git's and the interpreter's facts, waiting for them up to the time limit."""
        if self._settled is None:
            facts = self._process_facts
            self.gaps += facts.wait(self.options.time_limit_s)
            diff = diff_is_on() if self.options.diff is None else self.options.diff
            source = None
            if facts.checkout is not None:
                checkout = facts.checkout
                source = self._attempt(
                    "git diff",
                    lambda: finished_source_code(
                        checkout, self.redactor, diff=diff, diff_limit_kib=self.options.diff_limit_kib
                    ),
                )
            self._settled = (
                source,
                facts.environment or Environment(python=sys.version.split()[0], platform=sys.platform, host=""),
            )
        return self._settled

    def record(self, **sections: Any) -> RunRecord:
        """Return the record, with the sections that only a Trainer knows."""
        source, environment = self.source_and_environment()
        return RunRecord(
            run_id=self.run_id,
            created=self.created,
            config=self.config,
            hydra=self.hydra,
            entry=self.entry,
            source=source,
            environment=environment,
            lineage=list(self.ancestors),
            gaps=list(self.gaps),
            **sections,
        )

    def __getstate__(self) -> dict[str, Any]:
        """For strategies that pickle the Trainer: another process can't reach this job, so all is settled here."""
        self.source_and_environment()
        return {key: value for key, value in vars(self).items() if key != "_process_facts"} | {"root": None}

    def note_ancestor(self, data: object, path: str | None) -> None:
        """Take the record found in a loaded checkpoint into this run's lineage."""
        with contextlib.suppress(ValueError):
            parent = RunRecord.from_dict(data)
            known = {self.run_id, *(ancestor.run_id for ancestor in self.ancestors)}
            for ancestor in (_ancestor(parent, path), *parent.lineage):
                if ancestor.run_id not in known:
                    self.ancestors.append(_without_equal_config(ancestor, self.config.composed))
                    known.add(ancestor.run_id)
            del self.ancestors[_MAX_ANCESTORS:]


def _ancestor(record: RunRecord, path: str | None) -> Ancestor:
    return Ancestor(
        run_id=record.run_id,
        created=record.created,
        checkpoint=path,
        overrides=record.hydra.overrides if record.hydra else [],
        job_num=record.hydra.job_num if record.hydra else None,
        output_dir=record.hydra.output_dir if record.hydra else None,
        commit=record.source.commit if record.source else None,
        config=record.config.composed,
    )


def _without_equal_config(ancestor: Ancestor, composed: str) -> Ancestor:
    return ancestor if ancestor.config != composed else Ancestor(**{**vars(ancestor), "config": None})


# --- the job that runs now -------------------------------------------------------------------------------


@dataclass
class _State:
    """The one place of state: the capture of the job that runs now, and one given by hand."""

    live: JobCapture | None = None
    given: list[JobCapture] = field(default_factory=list)


_state: Final = _State()


def current_capture(options: CaptureOptions | None = None) -> JobCapture | None:
    """Return the capture of the job that runs now, made on the first call; None where no job runs.

    Options given here make a capture of their own: they belong to one RunRecorder.
    """
    if _state.given:
        given = _state.given[-1]
        return given if options is None else JobCapture(given.root, options, is_hydra_job=given.is_hydra_job)
    root = _live_root()
    if root is None:
        return None
    if options is not None:
        return JobCapture(root, options, is_hydra_job=True)
    if _state.live is None or _state.live.root is not root:
        _state.live = JobCapture(root, CaptureOptions(), is_hydra_job=True)
    return _state.live


def is_current(capture: JobCapture | None) -> bool:
    """Tell whether a capture is that of the job that runs now, or there is none that could replace it."""
    root = _state.given[-1].root if _state.given else _live_root()
    return (root is None and capture is not None) or (capture is not None and capture.root is root)


def is_recording_by_hand() -> bool:
    """Tell whether the process is inside `with recording(cfg)`."""
    return bool(_state.given)


@contextlib.contextmanager
def recording(config: Any, *, overrides: list[str] | None = None, **options: Any) -> Iterator[JobCapture]:
    """Record `config` into every checkpoint of the Trainers made or run inside the block.

    For the compose API and notebooks, where no Hydra job runs.

    Args:
        config: a DictConfig, a dict or a structured config.
        overrides: what to record as the overrides, such as those given to `hydra.compose`.
        options: those of RunRecorder: `diff`, `diff_limit_kib`, `custom_resolvers`, `time_limit_s`.
    """
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
        hydra = capture.hydra or HydraJob(hydra_version=_hydra_version())
        capture.hydra = HydraJob(**{**vars(hydra), "overrides": redacted})
    return capture


def note_loaded(checkpoint: object, path: object) -> None:
    """Take note that the job that runs now has loaded a checkpoint. Never raises."""
    if not isinstance(checkpoint, dict) or RECORD_KEY not in checkpoint or not is_rank_zero():
        return
    with contextlib.suppress(Exception):
        capture = current_capture()
        if capture is not None:
            capture.note_ancestor(checkpoint[RECORD_KEY], _absolute(path))


def _absolute(path: object) -> str:
    """A local path as it is from any folder; a URL as it is."""
    is_local = isinstance(path, str | os.PathLike) and "://" not in str(path)
    return str(Path(str(path)).absolute()) if is_local else str(path)


def is_rank_zero() -> bool:
    """Tell whether this process is, as far as Lightning knows before any Trainer runs, rank zero."""
    module = sys.modules.get("lightning_utilities.core.rank_zero")
    return not getattr(getattr(module, "rank_zero_only", None), "rank", 0)


def _live_root() -> Any:
    module = sys.modules.get("hydra.core.hydra_config")
    if module is None or not module.HydraConfig.initialized():
        return None
    return module.HydraConfig.get()._get_root()


def _running_task_function() -> Callable[..., Any] | None:
    """Find the task function in the frames above: nothing else in a live job says which it is."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == "run_job" and frame.f_globals.get("__name__") == "hydra.core.utils":
            found = frame.f_locals.get("task_function")
            return found if callable(found) else None
        frame = frame.f_back
    return None


# --- Hydra's facts ---------------------------------------------------------------------------------------


def _has_hydra(root: Any) -> bool:
    return "hydra" in root


def _hydra_version() -> str:
    return str(getattr(sys.modules.get("hydra"), "__version__", "") or "")


def _read_hydra(root: Any, redactor: Redactor) -> HydraJob:
    node = root.hydra
    mode = _value(node, "mode")
    return HydraJob(
        hydra_version=_hydra_version(),
        version_base=_version_base(),
        overrides=[redactor.override(item) for item in _value(node, "overrides.task") or []],
        hydra_overrides=[redactor.override(item) for item in _value(node, "overrides.hydra") or []],
        config_name=_value(node, "job.config_name"),
        config_sources=[
            {str(key): str(item) for key, item in source.items()}
            for source in _value(node, "runtime.config_sources") or []
        ],
        choices={str(key): item for key, item in (_value(node, "runtime.choices") or {}).items()},
        job_name=_value(node, "job.name"),
        job_num=_value(node, "job.num"),
        job_id=_text(_value(node, "job.id")),
        mode=getattr(mode, "name", None) or _text(mode),
        sweep_dir=_sweep_dir(node),
        output_dir=_text(_value(node, "runtime.output_dir")),
    )


def _sweep_dir(node: Any) -> str | None:
    found = _value(node, "sweep.dir")
    return None if found is None else str(Path(str(_value(node, "runtime.cwd") or "."), str(found)))


def _value(node: Any, key: str) -> Any:
    """A value of the hydra node as plain data; None where it is missing or can't be resolved."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        found = OmegaConf.select(node, key, throw_on_missing=False)
    except OmegaConfBaseException:
        return None
    return OmegaConf.to_container(found, resolve=False) if OmegaConf.is_config(found) else found


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _version_base() -> str | None:
    version = sys.modules.get("hydra.version")
    return _text(version.getbase()) if version is not None else None


# --- how the program was started -------------------------------------------------------------------------


def _read_entry(root: Any, task_function: Callable[..., Any] | None, redactor: Redactor) -> Entry:
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    task: Any = inspect.unwrap(task_function) if task_function is not None else None
    # hydra-zen's and other callable objects stand in front of the function that the user wrote.
    task = task if task is None or inspect.isfunction(task) else getattr(task, "func", task)
    code = getattr(task, "__code__", None)
    cwd = _value(root.hydra, "runtime.cwd") if _has_hydra(root) else None
    script = getattr(main, "__file__", None)
    return Entry(
        argv=redactor.arguments(sys.argv),
        orig_argv=redactor.arguments(sys.orig_argv),
        cwd=str(cwd or Path.cwd()),
        python=sys.executable,
        script=str(Path(str(cwd or "."), script).absolute()) if script else None,
        module=spec.name.removesuffix(".__main__") if spec is not None else None,
        task_function=f"{task.__module__}:{task.__qualname__}" if code is not None else None,
        task_file=str(Path(str(cwd or "."), code.co_filename).absolute()) if code is not None else None,
    )


def _bare_entry() -> Entry:
    return Entry(argv=[], orig_argv=[], cwd="", python=sys.executable)


def _program_folder(entry: Entry) -> Path:
    """The folder whose git state is the program's: the task's own, or, where that is installed, the caller's."""
    for file in (entry.task_file, entry.script):
        if file and "site-packages" not in file and "dist-packages" not in file and Path(file).is_file():
            folder = Path(file).parent
            if folder.name not in ("bin", "Scripts"):
                return folder
    return Path(entry.cwd or ".")


# --- once per process, in a thread -----------------------------------------------------------------------


class _ProcessFacts:
    """Git's and the interpreter's facts, looked up in a thread while the job goes on."""

    def __init__(self, folder: Path, time_limit_s: float) -> None:
        self.checkout: Checkout | None = None
        self.environment: Environment | None = None
        self._gaps: list[str] = []
        self._arguments = folder, time_limit_s
        self._thread = threading.Thread(
            target=self._look_up, args=self._arguments, name="lit-hydra-bridge-facts", daemon=True
        )
        self._thread.start()

    def _look_up(self, folder: Path, time_limit_s: float) -> None:
        try:
            self.checkout = read_checkout(folder, time_limit_s=time_limit_s)
        except GitError as error:
            self._gaps.append(f"git: {error}")
        except Exception as error:
            self._gaps.append(f"git: {type(error).__name__}: {error}")
        try:
            self.environment = read_environment()
        except Exception as error:
            self._gaps.append(f"environment: {type(error).__name__}: {error}")

    def wait(self, time_limit_s: float) -> list[str]:
        """Wait until all is known, or the limit in seconds has passed; return what is missing."""
        self._thread.join(time_limit_s)
        if self.environment is None and not self._gaps and not self._thread.is_alive():
            self._look_up(*self._arguments)  # a forked process has the thread's object, but not the thread
        if self._thread.is_alive():
            return [*self._gaps, "git, packages: the look-up did not end in time"]
        return list(self._gaps)


@cache
def _process_facts(folder: Path, time_limit_s: float) -> _ProcessFacts:
    return _ProcessFacts(folder, time_limit_s)
