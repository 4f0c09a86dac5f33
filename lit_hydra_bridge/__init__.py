"""lit-hydra-bridge: every Lightning checkpoint and logger of a Hydra app knows how it was made.

Nothing has to be called for that. The names below are for more: reading records, making runs again, recording by
hand. They are loaded on first use, so that importing this package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lit_hydra_bridge.record.callback_lightning import RunRecorder as RunRecorder
    from lit_hydra_bridge.record.capture import recording as recording
    from lit_hydra_bridge.record.run_record import RunRecord as RunRecord
    from lit_hydra_bridge.reload.check.report_card import check as check
    from lit_hydra_bridge.reload.checkpoint import read_record as read_record
    from lit_hydra_bridge.reload.compare.comparison import compare as compare
    from lit_hydra_bridge.reload.config import load_config as load_config
    from lit_hydra_bridge.reload.model.load import load_model as load_model
    from lit_hydra_bridge.reload.rerun.plan import RerunOptions as RerunOptions
    from lit_hydra_bridge.reload.rerun.plan import rerun as rerun
    from lit_hydra_bridge.reload.rerun.verify import verify as verify
    from lit_hydra_bridge.reload.strip.strip import strip as strip
    from lit_hydra_bridge.reload.weights import read_weights as read_weights
    from lit_hydra_bridge.results.read import read_sweep as read_sweep

__version__ = "0.1.0"

_HOMES = {
    "RerunOptions": "lit_hydra_bridge.reload.rerun.plan",
    "RunRecord": "lit_hydra_bridge.record.run_record",
    "check": "lit_hydra_bridge.reload.check.report_card",
    "compare": "lit_hydra_bridge.reload.compare.comparison",
    "load_config": "lit_hydra_bridge.reload.config",
    "load_model": "lit_hydra_bridge.reload.model.load",
    "read_record": "lit_hydra_bridge.reload.checkpoint",
    "read_sweep": "lit_hydra_bridge.results.read",
    "read_weights": "lit_hydra_bridge.reload.weights",
    "recording": "lit_hydra_bridge.record.capture",
    "rerun": "lit_hydra_bridge.reload.rerun.plan",
    "strip": "lit_hydra_bridge.reload.strip.strip",
    "verify": "lit_hydra_bridge.reload.rerun.verify",
}
__all__ = [
    "RerunOptions",
    "RunRecord",
    "RunRecorder",
    "check",
    "compare",
    "load_config",
    "load_model",
    "read_record",
    "read_sweep",
    "read_weights",
    "recording",
    "rerun",
    "strip",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name == "RunRecorder":
        from lit_hydra_bridge.record.flavour import run_recorder_class

        return run_recorder_class()
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
