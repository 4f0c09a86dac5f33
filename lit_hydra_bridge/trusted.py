"""Checkpoints that whoever starts a process names to it as those that may be loaded whole."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Final

TRUSTED: Final = "LIT_HYDRA_BRIDGE_TRUSTED"
"""Environment variable: JSON list of paths."""


def named_trusted() -> list[str]:
    """Return what this process was named."""
    try:
        named = json.loads(os.environ.get(TRUSTED) or "[]")
    except ValueError:
        return []
    return named if isinstance(named, list) else []


def naming(paths: Sequence[str]) -> dict[str, str]:
    """Return the environment variable that names them to another process; nothing for none."""
    return {TRUSTED: json.dumps(list(paths))} if paths else {}
