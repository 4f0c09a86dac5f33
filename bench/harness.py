"""What the measurements share: running commands, and one table with goals."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable
QUIET = {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "HYDRA_FULL_ERROR": "1"}


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    value: str
    goal: str
    met: bool


def median_s(call: Callable[[], object], samples: int) -> float:
    """Return the median time of a call, in seconds; the first call is not counted."""
    call()
    taken = []
    for _ in range(samples):
        begun = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def run(*command: str, cwd: Path, env: dict[str, str] | None = None) -> str:
    """Run a command to its end and return what it printed."""
    # Bytecode is kept, as on a user's machine; where it isn't, each sample would time the compiler.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, cwd=cwd, env={**inherited, **QUIET, **(env or {})}, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")
    return done.stdout


def table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table that is also aligned for a terminal."""
    cells = [list(heads), *([cell.replace("|", "\\|") for cell in line] for line in lines)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(heads))]
    cells.insert(1, ["-" * width for width in widths])
    padded = (" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells)
    return "\n".join(f"| {line} |" for line in padded)


def goal_table(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table; a row without a goal only informs."""
    verdicts = ["" if not row.goal else "met" if row.met else "MISSED" for row in rows]
    lines = [(row.what, row.value, row.goal, verdict) for row, verdict in zip(rows, verdicts, strict=True)]
    return table(("measured", "value", "goal", ""), lines)


def main(description: str | None, benches: dict[str, Callable[[Path], Iterator[Row]]]) -> int:
    """Run the chosen measurements and print the table; the exit code is 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", choices=[[], *benches], help="which to run; all by default")
    chosen = parser.parse_args().what or list(benches)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        for what in chosen:
            print(f"measuring {what} …", file=sys.stderr, flush=True)
            rows += benches[what](Path(name))
    width, values = max(len(row.what) for row in rows), max(len(row.value) for row in rows)
    print(f"{'measured':<{width}}  {'value':<{values}}  goal")
    for row in rows:
        print(f"{row.what:<{width}}  {row.value:<{values}}  {row.goal}{'' if row.met else '   MISSED'}")
    return 0 if all(row.met for row in rows) else 1
