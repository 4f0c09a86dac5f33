"""Draws a command's output as it looks in a terminal: an SVG for the documentation.

    python tools/terminal_picture.py --lines 26 docs/show.svg lit-hydra show outputs/demo/0
    python tools/terminal_picture.py --at 60% docs/sweep.svg python example_app/train.py -m hydra/launcher=lit_local …

With --at it is what the screen shows at one moment of the command's run.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import time
from io import StringIO
from itertools import groupby
from pathlib import Path

import pyte
from rich.console import Console
from rich.style import Style
from rich.text import Text

WIDTH, HEIGHT = 110, 40


def output_in_terminal(command: list[str]) -> list[tuple[float, bytes]]:
    """Run a command on a pseudo-terminal; return what it wrote, and when, in seconds."""
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
    environment = {**os.environ, "COLUMNS": str(WIDTH), "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    begun = time.monotonic()
    process = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, env=environment)
    os.close(terminal)
    chunks: list[tuple[float, bytes]] = []
    while True:
        try:
            chunk = os.read(controller, 65536)
        except OSError:  # Linux says so when the last writer is gone
            break
        if not chunk:
            break
        chunks.append((time.monotonic() - begun, chunk))
    if process.wait():
        said = b"".join(chunk for _, chunk in chunks).decode(errors="replace")
        raise SystemExit(f"{said}\n{' '.join(command)} ended with {process.returncode}")
    return chunks


def everything(chunks: list[tuple[float, bytes]]) -> Text:
    """All that was printed."""
    return Text.from_ansi(_anonymous(b"".join(chunk for _, chunk in chunks).decode().replace("\r\n", "\n")))


def screen_at(chunks: list[tuple[float, bytes]], share: float) -> Text:
    """What the screen showed when a share of the time was over."""
    screen = pyte.Screen(WIDTH, HEIGHT)
    stream = pyte.ByteStream(screen)
    for moment, chunk in chunks:
        if moment > share * chunks[-1][0]:
            break
        stream.feed(chunk)
    lines = [_line(screen.buffer[row]) for row in range(HEIGHT)]
    while lines and not lines[-1].plain.strip():
        lines.pop()
    return Text("\n").join(lines)


def _line(cells: dict[int, pyte.screens.Char]) -> Text:
    row = [cells[column] for column in range(WIDTH)]
    text = "".join(cell.data[:1] or " " for cell in row)
    for hidden, shown in _hidden().items():  # what stands behind stays where it is
        for word in re.findall(rf"{re.escape(hidden)}\S*", text):
            text = text.replace(word, word.replace(hidden, shown).ljust(len(word)))
    line = Text()
    # Spaces apart: an SVG's viewer may draw a longer text a little narrower than it was.
    for (style, _), group in groupby(zip(row, text, strict=True), key=lambda pair: (_style(pair[0]), pair[1] == " ")):
        line.append("".join(letter for _, letter in group), style)
    line.rstrip()
    return line


def _style(cell: pyte.screens.Char) -> Style:
    return Style(color=_colour(cell.fg), bold=cell.bold, reverse=cell.reverse)


def _colour(name: str) -> str | None:
    if name == "default":
        return None
    names = {"brown": "yellow", "brightbrown": "bright_yellow"}
    plain = names.get(name, name.replace("bright", "bright_"))
    return f"#{plain}" if len(plain) == 6 and all(letter in "0123456789abcdef" for letter in plain) else plain


def _hidden() -> dict[str, str]:
    """A picture is for everybody: without the folders and the machine that it was made on."""
    return {str(Path.cwd()): "~/digits", os.uname().nodename: "gpu-box"}


def _anonymous(text: str) -> str:
    for hidden, shown in _hidden().items():
        text = text.replace(hidden, shown)
    return text


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path, help="the SVG to write")
    parser.add_argument("--lines", type=int, help="show the first lines only")
    parser.add_argument("--at", type=lambda text: float(text.rstrip("%")) / 100, help="a moment, such as 60%%")
    parser.add_argument("--title", default="lit-hydra")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    asked = parser.parse_args()
    chunks = output_in_terminal(asked.command)
    console = Console(record=True, width=WIDTH, file=StringIO(), force_terminal=True)
    if asked.at is not None:
        shown = screen_at(chunks, asked.at)
    else:
        lines = everything(chunks).split("\n", allow_blank=True)
        cut = asked.lines is not None and asked.lines < len(lines)
        shown = Text("\n").join(
            [Text(f"$ {' '.join(asked.command)}"), *lines[: asked.lines], *([Text("…")] if cut else [])]
        )
    console.print(shown, end="")
    asked.picture.write_text(console.export_svg(title=asked.title), encoding="utf-8")


if __name__ == "__main__":
    main()
