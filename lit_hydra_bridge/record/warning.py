"""One clear warning instead of a failed training."""

from __future__ import annotations

import sys
import warnings


class BridgeWarning(UserWarning):
    """The bridge could not do a part of its work; the training goes on."""


def warn(message: str) -> None:
    """Warn once at most per message and place; also where warnings are errors, nothing is raised."""
    from lit_hydra_bridge.record.redaction import process_redactor

    message = process_redactor().text(message)
    try:
        warnings.warn(f"lit-hydra-bridge: {message}", BridgeWarning, stacklevel=2)
    except BridgeWarning:
        print(f"lit-hydra-bridge: {message}", file=sys.stderr)
