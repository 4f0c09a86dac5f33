"""Command lines: what is told to Python, to the program, and to Hydra.

sys.orig_argv    python -u | tool | train --config-name=x lr=0.1     options of Python's, the program, its arguments
sys.argv                     tool | --config-name=x lr=0.1           a program may have taken its own ones away
"""

from __future__ import annotations

import argparse
import builtins
import contextlib
import functools
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_CONFIG_FLAGS: Final = {"config_path": "--config-path", "config_name": "--config-name", "config_dir": "--config-dir"}
# Letters may stand together: -um pkg.train, -uW ignore.
_PYTHON_OPTION: Final = re.compile(
    r"-(?P<flags>[bBdEhiIOPqRsStuvVx]*)(?:(?P<ends>[mc].*)|(?P<name>[WX])(?P<value>.*))?", re.DOTALL
)
# All that may be given to Python again: neither of these options runs, imports or writes anything.
_HARMLESS_LETTERS: Final = frozenset("bBdEIOPqsSuv")
_HARMLESS_X: Final = re.compile(
    r"(?:dev|utf8|faulthandler|importtime|tracemalloc|no_debug_ranges|int_max_str_digits|warn_default_encoding|gil"
    r"|cpu_count|frozen_modules|thread_inherit_context|context_aware_warnings)(?:=\w+)?"
)
_WARNING: Final = re.compile(r"\w+(?::[^:]*(?::(?P<category>[^:]*)(?::[\w.]*(?::\d*)?)?)?)?")
_HYDRAS_FLAGS_WITH_VALUE: Final = {
    "-cp": "--config-path", "-cn": "--config-name", "-cd": "--config-dir", "-p": "--package", "-c": "--cfg",
    "": "--experimental-rerun",
}  # fmt: skip
_HYDRAS_FLAGS: Final = {"-m": "--multirun", "-r": "--run", "-h": "--help", "-sc": "--shell-completion"}
_OVERRIDE: Final = re.compile(r"(?!-)[^=\s]+=|~")


@dataclass(frozen=True, kw_only=True)
class PythonCommand:
    """A command line of Python's, taken apart."""

    options: list[str]
    """Python's own; only those that run, import and write nothing."""
    program: list[str]
    """A script's path, or `-m` and a module, or `-c` and code; empty where it was read from the standard input."""
    arguments: list[str]


def parse_python_command(command: Sequence[str]) -> PythonCommand:
    """Take `sys.orig_argv` apart."""
    options: list[str] = []
    rest = list(command[1:])
    while rest and rest[0] != "-" and (found := _PYTHON_OPTION.fullmatch(rest[0])):
        rest.pop(0)
        if kept := "".join(letter for letter in found["flags"] if letter in _HARMLESS_LETTERS):
            options.append(f"-{kept}")
        if found["ends"]:
            value = found["ends"][1:] or (rest.pop(0) if rest else "")
            return PythonCommand(options=options, program=[f"-{found['ends'][0]}", value], arguments=rest)
        if found["name"]:
            value = found["value"] or (rest.pop(0) if rest else "")
            options += [f"-{found['name']}", value] if _is_harmless(found["name"], value) else []
    program = [] if rest[:1] == ["-"] else rest[:1]
    return PythonCommand(options=options, program=program, arguments=rest[1:])


def _is_harmless(name: str, value: str) -> bool:
    if name == "X":
        return _HARMLESS_X.fullmatch(value) is not None
    found = _WARNING.fullmatch(value)
    if found is None or not found["category"]:
        return found is not None
    category = getattr(builtins, found["category"], None)  # Python would import any other
    return isinstance(category, type) and issubclass(category, Warning)


def own_arguments(arguments: Sequence[str], hydras: Sequence[str]) -> list[str]:
    """Return those of a program's arguments that it has not left to Hydra.

    Args:
        arguments: all that it was given.
        hydras: those that Hydra read; a job of a sweep has others, and then it is told by their form.
    """
    own: list[str] = []
    left = list(hydras)
    for argument in reversed(arguments):
        if left and argument == left[-1]:
            left.pop()
        else:
            own.insert(0, argument)
    return own if not left else arguments_not_for_hydra(arguments)


def arguments_not_for_hydra(arguments: Sequence[str]) -> list[str]:
    """Return those arguments that have not the form of Hydra's flags and overrides, such as a subcommand."""
    own = []
    with_value = {*_HYDRAS_FLAGS_WITH_VALUE, *_HYDRAS_FLAGS_WITH_VALUE.values()} - {""}
    alone = {*_HYDRAS_FLAGS, *_HYDRAS_FLAGS.values(), "--resolve"}
    words = iter(arguments)
    for word in words:
        flag, equals, _ = word.partition("=")
        if flag in with_value:
            if not equals:
                next(words, None)
        elif word not in alone and not _OVERRIDE.match(word):
            own.append(word)
    return own


@functools.cache
def config_flags(arguments: tuple[str, ...]) -> list[str]:
    """Return those of Hydra's flags that say which config is composed."""
    given = parse_hydra_arguments(arguments)
    return [
        f"{flag}={value}" for name, flag in _CONFIG_FLAGS.items() if (value := getattr(given, name, None)) is not None
    ]


def overrides_in(arguments: Sequence[str]) -> list[str]:
    """Return the overrides of a Hydra command line."""
    return list(getattr(parse_hydra_arguments(arguments), "overrides", []))


def parse_hydra_arguments(arguments: Sequence[str]) -> argparse.Namespace | None:
    """Read a Hydra command line as Hydra does, without importing it; None for what is none, as in a notebook."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("overrides", nargs="*")
    for short, flag in _HYDRAS_FLAGS_WITH_VALUE.items():
        parser.add_argument(flag, *([short] if short else []))
    for short, flag in _HYDRAS_FLAGS.items():
        parser.add_argument(flag, short, action="store_true")
    for flag in ("--hydra-help", "--version", "--resolve"):
        parser.add_argument(flag, action="store_true")
    parser.add_argument("--info", "-i", nargs="?")
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            return parser.parse_args(list(arguments))
    except SystemExit:
        return None
