"""`results.csv` in a sweep's folder: its table as a file, for whatever reads one."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from lit_hydra_bridge.errors import ResultsError
from lit_hydra_bridge.results.read import read_sweep

NAME: Final = "results.csv"


def write_results(folder: Path) -> Path:
    """Write the table of a sweep beside and rename, so that no reader sees half of it; return its path.

    Raises:
        ResultsError: there is no sweep in the folder, or the file that is there is none of ours.
        OSError: it can't be written.
    """
    path = folder / NAME
    if not _is_ours(path):
        raise ResultsError("the file that is there was written by something else; hydra.launcher.results_csv=false")
    text = read_sweep(folder).to_csv()
    beside = path.with_name(f"{NAME}.{os.getpid()}.tmp")
    try:
        beside.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")
        os.replace(beside, path)
    except OSError:
        with suppress(OSError):
            beside.unlink()
        raise
    return path


def _is_ours(path: Path) -> bool:
    """Tell whether the file may be written over: there is none yet, or its first line is that of our tables."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            names = file.readline().rstrip("\n").split(",")
    except FileNotFoundError:
        return True
    return names[0] == "number" and names[-3:] == ["checkpoint", "folder", "reason"]
