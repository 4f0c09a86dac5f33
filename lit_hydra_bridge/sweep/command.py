"""Commands: of a job alone, for Lightning to start again; of the whole sweep, for resuming it."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from lit_hydra_bridge.hydra_seams import private
from lit_hydra_bridge.hydra_text import quoted
from lit_hydra_bridge.sweep.machine import interpreter

_FLAGS: Final = {"config_path": "--config-path", "config_name": "--config-name", "config_dir": "--config-dir"}
# They are said of the whole sweep; a job is told its own.
_OF_THE_SWEEP: Final = ("hydra.mode=", "hydra.run.dir=", "hydra.sweep.", "hydra.job.num=", "hydra.job.id=")


def job_argv(config: Any, folder: Path, number: int) -> list[str]:
    """Return a job's own `sys.argv`: Hydra's flags without -m, and the job's overrides.

    Args:
        config: the job's.
        folder: the job's.
        number: the job's.
    """
    hydra = [text for text in config.hydra.overrides.hydra if not text.lstrip("+").startswith(_OF_THE_SWEEP)]
    task = list(config.hydra.overrides.task)
    own = ["hydra.mode=RUN", f"hydra.run.dir={quoted(str(folder))}", f"hydra.job.num={number}"]
    return [
        sys.argv[0],
        *config_flags(tuple(sys.argv[1:])),
        *hydra,
        *task,
        *own,
        f"hydra.job.id={quoted(str(number))}",
    ]


@functools.cache
def config_flags(arguments: tuple[str, ...]) -> list[str]:
    """Return those of Hydra's flags that say which config is composed."""
    given = _parsed(arguments)
    return [f"{flag}={value}" for name, flag in _FLAGS.items() if (value := getattr(given, name, None)) is not None]


def overrides_in(arguments: Sequence[str]) -> list[str]:
    """Return the overrides of a Hydra command line."""
    return list(getattr(_parsed(arguments), "overrides", []))


def _parsed(arguments: Sequence[str]) -> Any:
    """Read a Hydra command line; what is none, as in a notebook, has no flags."""
    make_parser = private("hydra._internal.utils", "get_args_parser", "a sweep can't be resumed by lit-hydra resume")
    if make_parser is None:
        return None
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            return make_parser().parse_args(list(arguments))
    except SystemExit:
        return None


def program_name() -> str:
    """Return what is run: a script's path, or `-m` and a module; empty in a notebook or an interpreter."""
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return f"-m {spec.name.removesuffix('.__main__')}"
    file = getattr(main, "__file__", None)
    return os.path.abspath(file) if file else ""


def sweep_command(sweep_dir: Path) -> list[str]:
    """Return the command that launches this sweep again into the same folder, from the same working folder.

    Empty where no command has started it.
    """
    if not program_name() or _parsed(sys.argv[1:]) is None:
        return []
    count = len(sys.argv) - 1
    original = list(sys.orig_argv)
    start, arguments = (original[1:-count], original[-count:]) if count else (original[1:], [])
    if arguments != sys.argv[1:]:  # the program has changed its own command line
        start, arguments = [sys.argv[0]], sys.argv[1:]
    given = _parsed(arguments)
    others = [text for text in arguments if not (text in given.overrides and text.startswith("hydra.sweep.dir="))]
    # Beside the other overrides: argparse wants positional arguments in one run.
    at = next((i for i, text in enumerate(others) if text in given.overrides), len(others))
    others.insert(at, f"hydra.sweep.dir={quoted(str(sweep_dir))}")
    return [interpreter(), *start, *others]
