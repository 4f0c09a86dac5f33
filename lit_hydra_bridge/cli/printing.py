"""Text that is safe to print: a hostile checkpoint must not drive the terminal."""

from __future__ import annotations

import sys
import unicodedata


def printable(text: str) -> str:
    """Return `text` with control characters other than newline and tab shown as escapes."""
    return "".join(
        character
        if character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cf", "Cs")
        else _escape(character)
        for character in text
    )


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def is_terminal() -> bool:
    """Tell whether a person is looking at the standard output."""
    return sys.stdout.isatty()
