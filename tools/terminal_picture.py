"""Draws a command's output as it looks in a terminal: an SVG for the documentation.

python tools/terminal_picture.py --lines 26 docs/show.svg lit-hydra show outputs/demo/0
"""

from __future__ import annotations

import argparse
import os
import pty
import subprocess
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path, help="the SVG to write")
    parser.add_argument("--lines", type=int, help="show the first lines only")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    asked = parser.parse_args()
    # A picture for everybody: without the folders and the machine that it was made on.
    text = (
        output_in_terminal(asked.command).replace(str(Path.cwd()), "~/digits").replace(os.uname().nodename, "gpu-box")
    )
    lines = text.rstrip("\n").split("\n")
    shown = lines[: asked.lines] + (["…"] if asked.lines and asked.lines < len(lines) else [])
    console = Console(record=True, width=WIDTH, file=StringIO(), force_terminal=True)
    console.print(Text.from_ansi("\n".join([f"$ {' '.join(asked.command)}", *shown])))
    asked.picture.write_text(console.export_svg(title="lit-hydra"), encoding="utf-8")


if __name__ == "__main__":
    main()
