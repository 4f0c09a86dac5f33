"""What a live Hydra job says of itself: where its config is, what it was told, how its program was started."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from lit_hydra_bridge.record.redaction import Redactor
from lit_hydra_bridge.record.run_record import Entry, HydraJob


def live_root() -> Any:
    """Return the whole composed config of the job that runs now, `hydra` node included; None where none runs."""
    module = sys.modules.get("hydra.core.hydra_config")
    if module is None or not module.HydraConfig.initialized():
        return None
    return module.HydraConfig.get()._get_root()


def running_task_function() -> Callable[..., Any] | None:
    """Find the task function in the frames above: nothing else in a live job says which it is."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == "run_job" and frame.f_globals.get("__name__") == "hydra.core.utils":
            found = frame.f_locals.get("task_function")
            return found if callable(found) else None
        frame = frame.f_back
    return None


def has_hydra(root: Any) -> bool:
    """Tell whether a config has Hydra's own node."""
    return "hydra" in root


def hydra_version() -> str:
    """Return the version of the Hydra that is loaded; empty where none is."""
    return str(getattr(sys.modules.get("hydra"), "__version__", "") or "")


def read_hydra_job(root: Any, redactor: Redactor) -> HydraJob:
    """Return what the `hydra` node says of the job."""
    node = root.hydra
    clean = redactor.data
    mode = _value(node, "mode")
    return HydraJob(
        hydra_version=hydra_version(),
        version_base=_version_base(),
        overrides=[redactor.override(item) for item in _value(node, "overrides.task") or []],
        hydra_overrides=[redactor.override(item) for item in _value(node, "overrides.hydra") or []],
        config_name=_value(node, "job.config_name"),
        config_sources=[
            {str(key): clean(str(item)) for key, item in source.items()}
            for source in _value(node, "runtime.config_sources") or []
        ],
        choices={str(key): item for key, item in (_value(node, "runtime.choices") or {}).items()},
        job_name=clean(_value(node, "job.name")),
        job_num=_value(node, "job.num"),
        job_id=clean(_text(_value(node, "job.id"))),
        mode=getattr(mode, "name", None) or _text(mode),
        # `hydra.job.override_dirname` puts overrides, and so secrets, into the name of a folder.
        sweep_dir=clean(_sweep_dir(node)),
        output_dir=clean(_text(_value(node, "runtime.output_dir"))),
    )


def raw_output_dir(root: Any) -> str | None:
    """Return the job's output folder as it is; the record's may have a secret redacted."""
    return _text(_value(root.hydra, "runtime.output_dir")) if has_hydra(root) else None


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


def read_entry(root: Any, task_function: Callable[..., Any] | None, redactor: Redactor) -> Entry:
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    task: Any = inspect.unwrap(task_function) if task_function is not None else None
    # hydra-zen's and other callable objects stand in front of the function that the user wrote.
    task = task if task is None or inspect.isfunction(task) else getattr(task, "func", task)
    code = getattr(task, "__code__", None)
    cwd = _value(root.hydra, "runtime.cwd") if has_hydra(root) else None
    script = getattr(main, "__file__", None)
    module = None if spec is None else spec.name.removesuffix(".__main__")
    return Entry(
        argv=redactor.arguments(sys.argv),
        orig_argv=redactor.arguments(sys.orig_argv),
        cwd=str(cwd or Path.cwd()),
        python=sys.executable,
        script=str(Path(str(cwd or "."), script).absolute()) if script else None,
        module=None if module == "__main__" else module,  # a zip file or a folder that is run
        task_function=f"{task.__module__}:{task.__qualname__}" if code is not None else None,
        task_file=str(Path(str(cwd or "."), code.co_filename).absolute()) if code is not None else None,
    )


def bare_entry() -> Entry:
    return Entry(argv=[], orig_argv=[], cwd="", python=sys.executable)


def program_folder(entry: Entry) -> Path:
    """The folder whose git state is the program's: the task's own, or, where that is installed, the caller's."""
    for file in (entry.task_file, entry.script):
        if file and installed_as(file) is None and Path(file).is_file():
            folder = Path(file).parent
            if folder.name not in ("bin", "Scripts"):
                return folder
    return Path(entry.cwd or ".")


def installed_as(file: str) -> str | None:
    """Return the name that an installed file is imported by, up to its first dot; None for other files."""
    parts = Path(file).parts
    at = next((i for i, part in enumerate(parts[:-1]) if part in ("site-packages", "dist-packages")), None)
    return None if at is None else parts[at + 1].removesuffix(".py")
