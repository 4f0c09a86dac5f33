"""Which of Lightning's two names does this process use? Importing the other one would cost seconds."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any


def run_recorder_class() -> type[Any]:
    """Return the RunRecorder that derives from the Callback of the Lightning in use.

    Raises:
        ImportError: neither `lightning` nor `pytorch_lightning` is installed.
    """
    lightning = "lightning.pytorch" in sys.modules
    pytorch_lightning = "pytorch_lightning" in sys.modules
    if lightning and pytorch_lightning:
        home = "callback_both"
    elif pytorch_lightning or (not lightning and find_spec("lightning") is None):
        home = "callback_pytorch_lightning"
    else:
        home = "callback_lightning"
    found: type[Any] = import_module(f"lit_hydra_bridge.record.{home}").RunRecorder
    return found
