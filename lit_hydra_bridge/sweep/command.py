"""Commands: of a job alone, for Lightning to start again; of the whole sweep, for resuming it."""

from __future__ import annotations

import contextlib
import os
import re
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


def sweep_command(sweep_dir: str, master: Any) -> list[str]:
    """Return the command that launches this sweep again into the same folder, from `start_folder()`.

    Empty where no Hydra command line has started it: a notebook has none, and a script that starts its app by
    hydra-zen's `launch` or the like has one of its own.

    Args:
        sweep_dir: the value of hydra.sweep.dir to give.
        master: the multirun's config.
    """
    given = parse_hydra_arguments(sys.argv[1:])
    if not program_name() or given is None or not _has_given(list(given.overrides), master):
        return []
    # What the program reads before Hydra, such as a subcommand, is no longer in sys.argv.
    original = parse_python_command(sys.orig_argv)
    start = list(sys.orig_argv[1 : len(sys.orig_argv) - len(original.arguments)])
    own = own_arguments(original.arguments, sys.argv[1:])
    others = [text for text in sys.argv[1:] if not (text in given.overrides and text.startswith("hydra.sweep.dir="))]
    # Beside the other overrides: argparse wants positional arguments in one run.
    at = next((i for i, text in enumerate(others) if text in given.overrides), len(others))
    others.insert(at, f"hydra.sweep.dir={sweep_dir}")
    return [interpreter(), *start, *own, *others]


def _has_given(overrides: list[str], master: Any) -> bool:
    """Tell whether the sweep's overrides are those of the command line; Hydra adds its mode."""
    known = (*given_overrides(master, "hydra"), *given_overrides(master, "task"))
    ours, its = ([text for text in texts if not text.startswith("hydra.mode=")] for texts in (known, overrides))
    return sorted(ours) == sorted(its)


def given_overrides(master: Any, kind: str) -> tuple[str, ...]:
    """Return the overrides that a config was composed with, as they were given.

    Args:
        master: the config.
        kind: `task` or `hydra`.
    """
    from omegaconf import OmegaConf

    # Read one by one, they would have their interpolations resolved.
    given: Any = OmegaConf.to_container(master.hydra.overrides[kind], resolve=False)
    return tuple(str(text) for text in given)


def own_dir(master: Any) -> str:
    """Return a value of hydra.sweep.dir that each job resolves by itself, as the app's config has it, at the same time.

    Args:
        master: the multirun's config.
    """
    from hydra.core.override_parser.types import Quote, QuotedString
    from omegaconf import OmegaConf

    def then(found: re.Match[str]) -> str:
        asked = OmegaConf.create({"now": found[0]})
        OmegaConf.copy_cache(from_config=master, to_config=asked)
        return str(asked.now)

    text = str(OmegaConf.to_container(master.hydra.sweep, resolve=False)["dir"])  # type: ignore[call-overload,index]
    return str(QuotedString(text=re.sub(r"\$\{now:[^{}]*\}", then, text), quote=Quote.single).with_quotes())


def start_folder(here: str) -> str:
    """Return the folder in which the program was started.

    Args:
        here: where it is now; an app may have left the first one when it was imported.
    """
    main = sys.modules["__main__"]
    spec, file = getattr(main, "__spec__", None), str(getattr(main, "__file__", None) or "")
    if spec is not None:  # of `python -m`, which looks for modules where it was started
        root = os.path.abspath(os.path.join(file, *[os.pardir] * (spec.name.count(".") + 1)))
        return root if sys.path[:1] == [root] else here
    script = os.path.normpath(sys.argv[0])
    if not os.path.isabs(script):
        for folder in (os.environ.get("PWD", ""), here, file.removesuffix(os.sep + script)):
            with contextlib.suppress(OSError):
                if os.path.samefile(os.path.join(folder, script), file):
                    return folder
    return here
