"""Commands: of a job alone, for Lightning to start again; of the whole sweep, for resuming it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Final

from lit_hydra_bridge.command_line import config_flags, own_arguments, parse_hydra_arguments, parse_python_command
from lit_hydra_bridge.hydra_text import quoted
from lit_hydra_bridge.sweep.machine import interpreter

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
    given = parse_hydra_arguments(sys.argv[1:])
    if not program_name() or given is None:
        return []
    # What the program reads before Hydra, such as a subcommand, is no longer in sys.argv.
    original = parse_python_command(sys.orig_argv)
    start = list(sys.orig_argv[1 : len(sys.orig_argv) - len(original.arguments)])
    own = own_arguments(original.arguments, sys.argv[1:])
    others = [text for text in sys.argv[1:] if not (text in given.overrides and text.startswith("hydra.sweep.dir="))]
    # Beside the other overrides: argparse wants positional arguments in one run.
    at = next((i for i, text in enumerate(others) if text in given.overrides), len(others))
    others.insert(at, f"hydra.sweep.dir={quoted(str(sweep_dir))}")
    return [interpreter(), *start, *own, *others]
