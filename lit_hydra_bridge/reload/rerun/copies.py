"""Asking a run that is made again to keep copies of its checkpoints, and finding the one that is looked for.

The copies are made by `record/kept_copies.py`, in the run's own process.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from lit_hydra_bridge.record.kept_copies import KEEP

_VERSION: Final = re.compile(r"-v\d+(?=\.ckpt$)")


@contextmanager
def keeping(folder: Path, global_step: int | None) -> Iterator[dict[str, str]]:
    """Give the environment in which a run keeps the checkpoints of this step (None: of all) in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    # Copies are made by what the bridge puts into Lightning, so it must be on.
    yield {KEEP: json.dumps({"folder": str(folder), "global_step": global_step}), "LIT_HYDRA_BRIDGE": "on"}


def find_copy(folder: Path, name: str) -> Path | None:
    """Return the copy of the checkpoint called `name`, else the one that was saved last; None where there is none."""
    copies = sorted((path for path in folder.glob("*/*")), key=lambda path: path.stat().st_mtime_ns)
    wanted = _without_version(name)
    for copy in reversed(copies):
        if _without_version(copy.name) == wanted:
            return copy
    return copies[-1] if copies else None


def _without_version(name: str) -> str:
    """Lightning adds `-v1` where a file of the name is there already."""
    return _VERSION.sub("", name)


def how_it_ended(status: int) -> str:
    """Say what an exit status means for a run that was to write a checkpoint."""
    return f"was started again and failed (exit status {status})" if status else "was made again"
