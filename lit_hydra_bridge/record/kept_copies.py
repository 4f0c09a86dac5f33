"""Copies of the checkpoints that `lit-hydra rerun --verify` compares, taken while the run is made again.

A run may write over its checkpoints, move or delete them before it ends, and puts them where its config says. So the
copy is taken at the moment of the save. Nothing happens unless the environment asks for it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

KEEP: Final = "LIT_HYDRA_BRIDGE_KEEP"
"""Environment variable: JSON with `folder`, and `global_step` of the checkpoints to keep, or null for all."""


def keep_copy(path: Any, global_step: object) -> None:
    """Copy the checkpoint that was just written, if its step is the one asked for. Never raises."""
    wanted = os.environ.get(KEEP)
    if not wanted or "://" in str(path):
        return
    with suppress(Exception):  # no copy is told at the end; a run that failed for it is worse
        request = json.loads(wanted)
        source = Path(path)
        if not source.exists() or request["global_step"] not in (None, global_step):
            return
        # One folder a path: a later save of the same checkpoint replaces the earlier one.
        folder = Path(request["folder"], hashlib.sha256(os.fsencode(source.absolute())).hexdigest()[:16])
        folder.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, folder / source.name, dirs_exist_ok=True)
        else:
            shutil.copyfile(source, folder / source.name)
