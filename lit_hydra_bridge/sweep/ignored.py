"""A launcher that was chosen on the command line of a single run does nothing; that is said."""

from __future__ import annotations

import functools
import os
import sys
from typing import Any, Final

from lit_hydra_bridge.sweep.job_environment import JOB

OURS: Final = ("hydra/launcher=lit_", "hydra.launcher.")
_MARK: Final = "__lit_hydra_bridge_ignored__"


def install() -> None:
    """Warn should Hydra run a single job in this process; a job's ranks have their sweep's command line."""
    from hydra._internal.hydra import Hydra

    chosen = [text for text in sys.argv[1:] if text.lstrip("+").startswith(OURS)]
    if os.environ.get(JOB) or not any("lit_" in text for text in chosen) or hasattr(Hydra.run, _MARK):
        return
    original = Hydra.run

    @functools.wraps(original)
    def run(*args: Any, **kwargs: Any) -> Any:
        print(
            f"lit-hydra-bridge: {chosen[0]} is ignored: this is a single run, and launchers are for multiruns "
            "(-m or --multirun)",
            file=sys.stderr,
        )
        return original(*args, **kwargs)

    setattr(run, _MARK, True)
    Hydra.run = run
