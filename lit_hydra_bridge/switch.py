"""The off switches: environment variables that turn the automatic part off."""

from __future__ import annotations

import os
import sys
from typing import Final

SWITCH: Final = "LIT_HYDRA_BRIDGE"
DIFF_SWITCH: Final = "LIT_HYDRA_BRIDGE_DIFF"
GROUPS_SWITCH: Final = "LIT_HYDRA_BRIDGE_GROUPS"
RUN_FILE_SWITCH: Final = "LIT_HYDRA_BRIDGE_RUN_FILE"

_OFF: Final = frozenset({"off", "0", "false", "no"})


def is_on() -> bool:
    """Tell whether the bridge may act by itself; `LIT_HYDRA_BRIDGE=off` turns all of it off, and so does Windows."""
    return _is_on(SWITCH) and not unsupported()


def unsupported() -> str:
    """Return why this platform is not supported; empty where it is."""
    return "lit-hydra-bridge does not support Windows" if sys.platform == "win32" else ""


def diff_is_on() -> bool:
    """Tell whether the git diff goes into the record; `LIT_HYDRA_BRIDGE_DIFF=off` leaves it out."""
    return _is_on(DIFF_SWITCH)


def groups_are_on() -> bool:
    """Tell whether loggers are told which sweep a job is of; `LIT_HYDRA_BRIDGE_GROUPS=off` keeps it from them."""
    return _is_on(GROUPS_SWITCH)


def run_file_is_on() -> bool:
    """Tell whether run.json is written into a run's folder; `LIT_HYDRA_BRIDGE_RUN_FILE=off` leaves it out."""
    return _is_on(RUN_FILE_SWITCH)


def _is_on(switch: str) -> bool:
    return os.environ.get(switch, "").strip().lower() not in _OFF
