"""What the commands print, and to whom."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from lit_hydra_bridge.text import one_line as one_line
from lit_hydra_bridge.text import printable as printable


class Failure(click.ClickException):
    """What was asked for could not be done: one line, and exit code 2."""

    exit_code = 2

    def format_message(self) -> str:
        return one_line(self.message)


def is_terminal() -> bool:
    """Tell whether a person is looking at the standard output."""
    return sys.stdout is not None and sys.stdout.isatty()


def print_file(text: str) -> None:
    """Print what could as well be written to a file: to a program in UTF-8, whatever the locale says."""
    if is_terminal():
        click.echo(printable(text), nl=False)
    else:
        click.echo(text.encode("utf-8", "backslashreplace"), nl=False)


def let_any_text_be_printed() -> None:
    """A terminal that can't show a character shows its escape; printing never fails for that."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def json_text(value: Any) -> str:
    """In ASCII, so that any locale can carry it and no terminal is driven by it."""
    import json

    return json.dumps(_finite(value), indent=2, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {_finite(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    return value


class Patience:
    """Says on a terminal what takes so long, once it has taken two seconds."""

    _WAIT_S = 2.0
    _BETWEEN_S = 0.2

    def __init__(self) -> None:
        self._next = time.monotonic() + self._WAIT_S
        self._said = False

    def __enter__(self) -> Patience:
        return self

    def __exit__(self, *_: object) -> None:
        if self._said:
            click.echo("\r\x1b[K", err=True, nl=False)

    def say(self, what: str) -> None:
        """Show what is being done, if it is time."""
        now = time.monotonic()
        if now >= self._next and sys.stderr is not None and sys.stderr.isatty():
            self._next, self._said = now + self._BETWEEN_S, True
            click.echo(f"\r\x1b[K{one_line(what)} …", err=True, nl=False)
