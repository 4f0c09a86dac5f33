"""Text that is safe to print: a hostile checkpoint must not drive the terminal."""

from __future__ import annotations

import sys
import unicodedata

import click


class Failure(click.ClickException):
    """What was asked for could not be done: one line, and exit code 2."""

    exit_code = 2

    def format_message(self) -> str:
        return one_line(self.message)


def printable(text: str) -> str:
    """Return `text` with control characters other than newline and tab shown as escapes."""
    if text.isascii() and text.replace("\n", "").replace("\t", "").isprintable():
        return text
    return "".join(
        character
        if character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cf", "Cs")
        else _escape(character)
        for character in text
    )


def one_line(text: str) -> str:
    """Return `text` printable, on one line."""
    return printable(text).replace("\n", " ").replace("\t", " ")


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


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
