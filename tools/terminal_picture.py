"""Draws a command's output as it looks in a terminal: an SVG for the documentation.

python tools/terminal_picture.py docs/show.svg lit-hydra show outputs/demo/0
"""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

WIDTH = 100


def output_in_terminal(command: list[str]) -> str:
    """Run a command on a pseudo-terminal of WIDTH columns and return what it printed, colours included."""
    controller, terminal = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(WIDTH), "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    process = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, env=environment)
    os.close(terminal)
    chunks: list[bytes] = []
    while True:
        try:
            chunk = os.read(controller, 65536)
        except OSError:  # Linux says so when the last writer is gone
            break
        if not chunk:
            break
        chunks.append(chunk)
    if process.wait():
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return b"".join(chunks).decode().replace("\r\n", "\n")


def main() -> None:
    """Write the picture."""
    target, *command = sys.argv[1:]
    # A picture for everybody: without the folders and the machine that it was made on.
    text = output_in_terminal(command).replace(str(Path.cwd()), "~/digits").replace(os.uname().nodename, "workstation")
    console = Console(record=True, width=WIDTH, file=StringIO(), force_terminal=True)
    shown = " ".join([Path(command[0]).name, *command[1:]])
    console.print(Text.from_ansi(f"$ {shown}\n{text}".rstrip("\n")))
    Path(target).write_text(console.export_svg(title="lit-hydra"), encoding="utf-8")


if __name__ == "__main__":
    main()
