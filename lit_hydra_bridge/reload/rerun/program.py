"""A record's entry -> how to start the same program again."""

from __future__ import annotations

import argparse
import importlib.util
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lit_hydra_bridge.errors import RerunError
from lit_hydra_bridge.record.run_record import Entry, RunRecord

# Flags of Hydra's own that say what is composed; all others say what is done with it, once.
_KEPT_FLAGS: Final = {"config_path": "--config-path", "config_name": "--config-name", "config_dir": "--config-dir"}
# Letters may stand together: -um pkg.train, -uW ignore.
_PYTHON_OPTION: Final = re.compile(
    r"-(?P<flags>[bBdEIOPqsSuv]*)(?:(?P<ends>[mc].*)|(?P<name>[WX])(?P<value>.*))?", re.DOTALL
)
_FLAGS_WITH_VALUE: Final = ("--package", "-p", "--cfg", "-c", "--experimental-rerun")
_FLAGS: Final = (
    "--help", "-h", "--hydra-help", "--version", "--resolve", "--run", "-r", "--multirun", "-m", "--shell-completion",
    "-sc",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program that can be started: `[python, *interpreter, *start, *flags, overrides…]`, in `cwd`."""

    interpreter: list[str]
    """Options of Python's own, such as -u."""
    start: list[str]
    """A script's path, or `-m` and a module's name, or `-c` and code."""
    flags: list[str]
    """Hydra's flags that say which config is composed."""
    cwd: Path
    code: Path
    """The folder that the program's code lies in."""


def find_program(record: RunRecord, *, cwd: Path | None = None, script: Path | None = None) -> Program:
    """Return how to start the program that made a run.

    Args:
        record: the run's record.
        cwd: the folder to start it in; by default the recorded one, or the current one if that is gone.
        script: a script to start instead of the recorded program.

    Raises:
        RerunError: the record does not say, or the program is not where it was.
    """
    entry = record.entry
    folder = _working_folder(entry, cwd)
    in_worker = _was_started_by_a_launcher(entry)
    return Program(
        interpreter=[] if in_worker else _interpreter_options(entry),
        start=(start := _start(record, folder, script)),
        flags=_flags_from_hydra(record) if in_worker and not _is_own_argv(entry) else _flags_of(entry.argv),
        cwd=folder,
        code=_code_folder(start, folder),
    )


def _working_folder(entry: Entry, cwd: Path | None) -> Path:
    if cwd is not None:
        if not _is_there(cwd, Path.is_dir):
            raise RerunError(f"{cwd}: there is no such folder to run in")
        return cwd.absolute()
    recorded = Path(entry.cwd) if entry.cwd else Path.cwd()
    return recorded if _is_there(recorded, Path.is_dir) else Path.cwd()


def _is_there(path: Path, kind: Callable[[Path], bool]) -> bool:
    """Whatever stands in a record or on a command line: what can't be a path is not there."""
    try:
        return kind(path)
    except (OSError, ValueError):
        return False


def _start(record: RunRecord, folder: Path, script: Path | None) -> list[str]:
    entry = record.entry
    if script is not None:
        if not _is_there(script, Path.is_file):
            raise RerunError(f"{script}: there is no such script to run")
        return [str(script.absolute())]
    if not record.hydra or entry.task_function is None:
        raise RerunError(
            "the run was not started by Hydra (its config was given by hand, in a notebook or by the compose API), so "
            "there is no program to start; use load_config and load_model, or name a script with --script"
        )
    task_module, _, task_name = entry.task_function.partition(":")
    if task_module not in ("__main__", "__mp_main__"):
        return _start_of_imported(entry, task_module, task_name, folder)
    if not _was_started_by_a_launcher(entry):
        return ["-m", _findable(entry.module, folder)] if entry.module else [_existing(entry.script, folder, entry.cwd)]
    # In the process of a launcher's job only the task's own file tells what was started.
    if _is_in_package(record):
        return ["-m", _module_name(Path(str(entry.task_file)))]
    return [_existing(entry.task_file, folder, entry.cwd)]


def _start_of_imported(entry: Entry, module: str, name: str, folder: Path) -> list[str]:
    """A console script, a script or a module that imports its task function."""
    if _was_started_by_a_launcher(entry):
        return ["-c", f"from {module} import {name.partition('.')[0]} as main; main()"]
    if entry.module:
        return ["-m", _findable(entry.module, folder)]
    if (
        entry.script
        and Path(entry.script).suffix not in (".py", ".pyw")
        and not _is_there(Path(entry.script), Path.is_file)
    ):
        name = Path(entry.script).name
        beside = Path(sys.executable).with_name(name)
        found = str(beside) if beside.is_file() else shutil.which(name)
        if found is None:
            raise RerunError(
                f"the run was started by the command {name!r}, and it is not installed here: install the package that "
                "brings it, or name a script with --script"
            )
        return [found]
    return [_existing(entry.script, folder, entry.cwd)]


def _existing(script: str | None, folder: Path, cwd: str) -> str:
    if script is None:
        raise RerunError("the record does not say which script was run; name it with --script")
    path = Path(script)
    if not _is_there(path, Path.is_file) and path.is_relative_to(cwd or "."):
        path = folder / path.relative_to(cwd or ".")  # the whole folder may have moved
    if not _is_there(path, Path.is_file):
        raise RerunError(
            f"the run was started from {script}, and there is no such file here; say where it is now with "
            "--script or --cwd, or get it from the recorded commit with --at-commit"
        )
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def _findable(module: str, folder: Path) -> str:
    """Return the module's name, if its package can be found without running anything of it."""
    top = module.partition(".")[0]
    here = any(_is_there(folder / name, Path.exists) for name in (top, f"{top}.py"))
    try:
        found = here or importlib.util.find_spec(top) is not None
    except (ImportError, ValueError):
        found = False
    if not found:
        raise RerunError(
            f"the run was started by python -m {module}, and there is no {top!r} in {folder} or installed; "
            "install it, or say with --cwd where it is now"
        )
    return module


def _was_started_by_a_launcher(entry: Entry) -> bool:
    """Tell whether `__main__` was not the app's but a job process's, such as loky's or submitit's."""
    module, _, _ = (entry.task_function or "").partition(":")
    if module in ("__main__", "__mp_main__"):
        return (
            entry.script is not None and entry.task_file is not None and not _same_file(entry.script, entry.task_file)
        )
    return (entry.module or "").partition(".")[0] in ("joblib", "submitit", "multiprocessing", "ray", "cloudpickle")


def _same_file(a: str, b: str) -> bool:
    try:
        return Path(a).resolve() == Path(b).resolve()
    except (OSError, ValueError, RuntimeError):
        return a == b


def _is_own_argv(entry: Entry) -> bool:
    """loky hands its parent's argv to the job; submitit does not."""
    return bool(entry.argv and entry.task_file and Path(entry.argv[0]).name == Path(entry.task_file).name)


def _is_in_package(record: RunRecord) -> bool:
    """Hydra looks for the config of a program started by `-m` in its package."""
    sources = record.hydra.config_sources
    return any(source.get("provider") == "main" and source.get("schema") == "pkg" for source in sources)


def _module_name(file: Path) -> str:
    parts = [] if file.stem == "__main__" else [file.stem]
    folder = file.parent
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    if len(parts) < 2:
        parts.insert(0, file.parent.name)  # a namespace package has no mark; one level is the usual case
    return ".".join(parts)


def _interpreter_options(entry: Entry) -> list[str]:
    """Return Python's own options. A record is a claim: none is taken over that runs something or asks for input."""
    options: list[str] = []
    rest = entry.orig_argv[1:]
    while rest and (found := _PYTHON_OPTION.fullmatch(rest[0])):
        if found["flags"]:
            options.append(f"-{found['flags']}")
        if found["ends"]:  # -m and -c, with or without letters before them, are the program
            break
        if found["name"]:
            value = found["value"] or (rest[1] if len(rest) > 1 else "")
            options += [f"-{found['name']}", value]
            rest = rest[1:] if found["value"] else rest[2:]
        else:
            rest = rest[1:]
    return options


def _flags_of(argv: list[str]) -> list[str]:
    """Return those of Hydra's flags that say which config is composed."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for name, short in (("config_path", "-cp"), ("config_name", "-cn"), ("config_dir", "-cd")):
        parser.add_argument(_KEPT_FLAGS[name], short, dest=name)
    for flag in _FLAGS_WITH_VALUE:
        parser.add_argument(flag)
    for flag in _FLAGS:
        parser.add_argument(flag, action="store_true")
    parser.add_argument("--info", "-i", nargs="?")
    try:
        known, _ = parser.parse_known_args(argv[1:])
    except (argparse.ArgumentError, SystemExit):
        return []
    return [f"{flag}={value}" for name, flag in _KEPT_FLAGS.items() if (value := getattr(known, name)) is not None]


def _flags_from_hydra(record: RunRecord) -> list[str]:
    """The same where only Hydra's own node tells."""
    flags = []
    for source in record.hydra.config_sources:
        if source.get("provider") == "main":
            prefix = "pkg://" if source.get("schema") == "pkg" else ""
            flags.append(f"--config-path={prefix}{source.get('path', '')}")
        elif source.get("provider") == "command-line":
            flags.append(f"--config-dir={source.get('path', '')}")
    if record.hydra.config_name is not None:
        flags.append(f"--config-name={record.hydra.config_name}")
    return flags


def _code_folder(start: list[str], folder: Path) -> Path:
    if start[0] in ("-m", "-c"):
        return folder
    script = folder / start[0]
    return folder if script.parent.name in ("bin", "Scripts") and not script.suffix else script.parent
