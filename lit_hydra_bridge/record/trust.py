"""Which checkpoints did this process write, and are they still what it wrote?

A fingerprint holds the file's size and time, the zip's directory (every member's name, size and checksum), and a
digest of the pickles in it: the parts that can run code when loaded. The weights, which can't, are not read
again, so the cost does not grow with them.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path
from typing import Any

from lit_hydra_bridge.trusted import named_trusted

_written: set[tuple[int, int, str]] = set()


def note_written(path: Any) -> None:
    """Remember that this process has just written the checkpoint at `path`. Never raises."""
    found = _fingerprint(path)
    if found is not None:
        _written.add(found)


def wrote(path: Any) -> bool:
    """Tell whether this process wrote the file at `path`, and nothing has changed it since. Never raises."""
    now = state_of(path)
    # Size and time first: a stranger's archive is not even opened.
    if now is None or not any((size, time) == (now[2], now[3]) for size, time, _ in _written):
        return False
    return _fingerprint(path) in _written


def is_named_trusted(path: Any) -> bool:
    """Tell whether whoever started this process has named the file at `path` as one to load whole. Never raises."""
    named = named_trusted()
    return bool(named) and _is_local(path) and os.path.abspath(path) in named  # noqa: PTH100  # absolute() keeps `..`


def state_of(path: Any) -> tuple[int, ...] | None:
    """Return what changes when a local file is written anew, at the cost of a stat; None where there is none."""
    if not _is_local(path):
        return None
    try:
        stat = Path(path).stat()
    except (OSError, ValueError):
        return None
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _is_local(path: Any) -> bool:
    return isinstance(path, str | os.PathLike) and "://" not in str(path)


def _fingerprint(path: Any) -> tuple[int, int, str] | None:
    """Return (size in bytes, time in ns, digest) of a local zip checkpoint; None for anything else."""
    if not _is_local(path):
        return None
    try:
        with Path(path).open("rb") as file:
            stat = os.fstat(file.fileno())
            digest = hashlib.sha256()
            with zipfile.ZipFile(file) as archive:
                for info in archive.infolist():
                    digest.update(f"{info.filename}\0{info.file_size}\0{info.CRC}\0{info.header_offset}\n".encode())
                    if info.filename.endswith(".pkl"):
                        digest.update(archive.read(info))
    except Exception:  # a damaged file fails in any way it likes, and torch will say so
        return None
    return stat.st_size, stat.st_mtime_ns, digest.hexdigest()
