"""A record's entry -> how to start the same program again."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lit_hydra_bridge.command_line import (
    PythonCommand,
    config_flags,
    own_arguments,
    parse_hydra_arguments,
    parse_python_command,
)
from lit_hydra_bridge.errors import RerunError
from lit_hydra_bridge.record.run_record import PLACEHOLDER, Entry, RunRecord

_LAUNCHERS: Final = ("joblib", "submitit", "multiprocessing", "ray", "cloudpickle")
# Programs that run what they are told, or inside which a Hydra app was called: to start them is not to start the app.
_HOSTS: Final = frozenset({
    "timeit", "trace", "pdb", "profile", "cProfile", "runpy", "code", "doctest", "unittest", "ensurepip",
    "pytest", "py.test", "nose2", "ipython", "ipython3", "IPython", "ipykernel", "ipykernel_launcher", "jupyter",
    "jupyter-nbconvert", "jupyter-execute", "papermill", "streamlit", "pip",
})  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program that can be started: `[python, *interpreter, *start, *own, *flags, overrides…]`, in `cwd`."""

    interpreter: list[str]
    """Options of Python's own, such as -u."""
    start: list[str]
    """A script's path, or `-m` and a module's name, or `-c` and code."""
    own: list[str]
    """The program's own arguments, such as a subcommand."""
    flags: list[str]
    """Hydra's flags that say which config is composed."""
    reads_overrides: bool
    """Whether its command line is Hydra's; else it gives Hydra its overrides itself, as with hydra-zen's launch()."""
    remarks: list[str]
    """What is not as it was."""
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
    command = parse_python_command(entry.orig_argv)
    start = _start(record, folder, script)
    is_moved = script is not None and script.name != Path(entry.script or "").name
    is_same = not (in_worker or is_moved) and _names_program(command, entry)
    reads_overrides = in_worker or _reads_overrides(record, command.arguments if is_same else entry.argv[1:])
    if not is_same:
        own = []
    elif reads_overrides:
        own = own_arguments(command.arguments, entry.argv[1:])
    else:
        own = command.arguments
    if secret := next((argument for argument in own if PLACEHOLDER.search(argument)), None):
        raise RerunError(
            f"the program was given {secret!r} on its command line: a secret, which is not in the record; name a "
            "script with --script that takes it from elsewhere"
        )
    by_argv = not in_worker or _is_own_argv(entry)
    flags = config_flags(tuple(entry.argv[1:])) if by_argv else _flags_from_hydra(record)
    gone = [flag for flag in flags if _names_folder_that_is_gone(flag, folder)]
    return Program(
        interpreter=[] if in_worker else command.options,
        start=start,
        own=own,
        flags=[flag for flag in flags if flag not in gone],
        reads_overrides=reads_overrides,
        remarks=[f"{flag}: there is no such folder now, so its configs come from the record" for flag in gone],
        cwd=folder,
        code=_code_folder(start, folder),
    )


def _names_program(command: PythonCommand, entry: Entry) -> bool:
    """Tell whether a command line is that of the program itself, and not of one that has run it, such as coverage."""
    if command.program[:1] in (["-m"], ["-c"]):
        return command.program[0] == "-m" and entry.module in (command.program[1], f"{command.program[1]}.__main__")
    if not command.program or entry.script is None:
        return False
    script = Path(entry.script)
    return Path(command.program[0]).name in (script.name, script.parent.name if script.stem == "__main__" else "")


def _reads_overrides(record: RunRecord, arguments: list[str]) -> bool:
    """Tell whether Hydra took the overrides from the command line as it was typed; a sweep's are not its jobs'."""
    if record.hydra is None or parse_hydra_arguments(record.entry.argv[1:]) is None:
        return record.hydra is None
    is_sweep = record.hydra.mode == "MULTIRUN" or not {"-m", "--multirun"}.isdisjoint(arguments)
    return is_sweep or set(record.hydra.overrides) <= set(arguments)


def _names_folder_that_is_gone(flag: str, folder: Path) -> bool:
    name, _, path = flag.partition("=")
    return name == "--config-dir" and not _is_there(folder / path, Path.is_dir)


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
        return _start_of_main(entry, folder)
    # In the process of a launcher's job only the task's own file tells what was started.
    if _is_in_package(record):
        return ["-m", _findable(_module_name(Path(str(entry.task_file))), folder)]
    return [_existing(entry.task_file, folder, entry.cwd)]


def _start_of_main(entry: Entry, folder: Path) -> list[str]:
    """A module or a script, which may be one of a package's commands."""
    if entry.module and entry.module != "__main__":  # so called in a zip file, or a folder
        return ["-m", _findable(entry.module, folder)]
    if entry.script is None or Path(entry.script).name in ("<stdin>", "<string>"):
        raise RerunError(
            "the program was read from the standard input or given by python -c, and is not in the record; name a "
            "script with --script"
        )
    name = Path(entry.script).name
    if name in _HOSTS:
        raise RerunError(f"the run took place inside {name}, so there is no program to start; name one with --script")
    return [_existing(entry.script, folder, entry.cwd)]


def _start_of_imported(entry: Entry, module: str, name: str, folder: Path) -> list[str]:
    """A console script, a script or a module that imports its task function."""
    if _was_started_by_a_launcher(entry) or (entry.script is None and not entry.module):
        if not name.isidentifier() or module.partition(".")[0] in sys.stdlib_module_names:
            raise RerunError(
                f"the task function {module[:60]}:{name[:60]} is not at the top of a module of an app; name a script "
                "with --script"
            )
        return ["-c", f"from {_findable(module, folder)} import {name} as main; main()"]
    if not entry.module and entry.script and Path(entry.script).suffix not in (".py", ".pyw"):
        command = Path(entry.script).name
        if command not in _HOSTS and not _is_there(Path(entry.script), Path.is_file) and command != "__main__.py":
            return [_command(command)]
    return _start_of_main(entry, folder)


def _command(name: str) -> str:
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        raise RerunError(
            f"the run was started by the command {name!r}, and it is not installed here: install the package that "
            "brings it, or name a script with --script"
        )
    return found


def _existing(script: str | None, folder: Path, cwd: str) -> str:
    if script is None:
        raise RerunError("the record does not say which script was run; name it with --script")
    path = Path(script)
    if path.name == "__main__.py" and _is_there(path.parent, Path.is_file):  # a zip file that is run
        path = path.parent
    if not _is_there(path, Path.is_file) and path.is_relative_to(cwd or "."):
        path = folder / path.relative_to(cwd or ".")  # the whole folder may have moved
    if not _is_there(path, Path.is_file):
        raise RerunError(
            f"the run was started from {script}, and there is no such file here; say where it is now with "
            "--script or --cwd, or get it from the recorded commit with --at-commit"
        )
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def _findable(module: str, folder: Path) -> str:
    """Return a module's name, if it can be found without running anything of its package.

    Raises:
        RerunError: it is not here; or it is no name, or no app's.
    """
    top, *rest = module.split(".")
    if not all(part.isidentifier() for part in (top, *rest)):
        raise RerunError(f"{module[:60]!r} is not the name of a module")
    if top in _HOSTS:
        raise RerunError(f"the run took place inside {top}, so there is no program to start; name one with --script")
    places = _places(top, folder)
    if not any(_has_module(place, rest) for place in places):
        missing = module if any(_is_there(place, Path.exists) for place in places) else top
        raise RerunError(
            f"the run was started by python -m {module}, and there is no {missing!r} in {folder} or installed; "
            "install it, or say with --cwd where it is now"
        )
    return module


def _places(top: str, folder: Path) -> list[Path]:
    """Return the folders of a package, or a module's file, wherever an import would look."""
    places = [folder / top, folder / f"{top}.py"]
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        spec = None
    if spec is not None:
        places += map(Path, spec.submodule_search_locations or filter(None, [spec.origin]))
    return places


def _has_module(place: Path, rest: list[str]) -> bool:
    if not rest and _is_there(place, Path.is_file):
        return True
    base = place.joinpath(*rest)
    files = (base.with_suffix(".py") if rest else base / "__main__.py", base / "__main__.py", base / "__init__.py")
    return any(_is_there(file, Path.is_file) for file in files)


def _was_started_by_a_launcher(entry: Entry) -> bool:
    """Tell whether `__main__` was not the app's but a job process's, such as loky's or submitit's."""
    module, _, _ = (entry.task_function or "").partition(":")
    if module in ("__main__", "__mp_main__"):
        return (
            entry.script is not None and entry.task_file is not None and not _same_file(entry.script, entry.task_file)
        )
    return (entry.module or "").partition(".")[0] in _LAUNCHERS


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
