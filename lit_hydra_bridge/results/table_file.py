"""`results.csv` in a sweep's folder: its table as a file, for whatever reads one."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from lit_hydra_bridge.errors import ResultsError
from lit_hydra_bridge.files import opened, write_file
from lit_hydra_bridge.results.read import read_sweep

NAME: Final = "results.csv"


def write_results(folder: Path) -> Path:
    """Write the table of a sweep; return its path.

    Raises:
        ResultsError: there is no sweep in the folder, or the file that is there is none of ours.
        OSError: it can't be written.
    """
    path = folder / NAME
    there = _read(path)
    if there is not None and not _is_ours(there):
        raise ResultsError("the file that is there was written by something else; hydra.launcher.results_csv=false")
    text = read_sweep(folder).to_csv().encode("utf-8", "backslashreplace")
    if text == there:
        return path
    write_file(path, text)
    return path


def _read(path: Path) -> bytes | None:
    try:
        with opened(path) as file:
            return file.read()
    except FileNotFoundError:
        return None


def _is_ours(content: bytes) -> bool:
    """Tell whether the file may be written over: its first line is that of our tables."""
    names = content.partition(b"\n")[0].split(b",")
    return names[0] == b"number" and names[-3:] == [b"checkpoint", b"folder", b"reason"]
