"""Text that is safe to print: a hostile checkpoint must not drive the terminal."""

from __future__ import annotations

import unicodedata


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


def shortened(text: str, limit: int = 200) -> str:
    """Return `text` on one line of at most `limit` characters, printable."""
    line = one_line(text[: limit + 1])
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
