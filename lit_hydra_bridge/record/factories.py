"""The two entry points that Lightning calls in every Trainer: one for each of its names.

In a process without Hydra they return nothing, having imported nothing. They never raise.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib import import_module
from types import FrameType
from typing import Any, Final

from lit_hydra_bridge.switch import is_on

_RECORDERS: Final = {
    "lightning.pytorch": "lit_hydra_bridge.record.callback_lightning",
    "pytorch_lightning": "lit_hydra_bridge.record.callback_pytorch_lightning",
}


def lightning_callbacks() -> list[Any]:
    """Entry point of `lightning.pytorch.callbacks_factory`."""
    return _callbacks("lightning.pytorch")


def pytorch_lightning_callbacks() -> list[Any]:
    """Entry point of `pytorch_lightning.callbacks_factory`."""
    return _callbacks("pytorch_lightning")


def import_recorders() -> None:
    """Import what the Trainers of this process will need, so that its forks have it."""
    for package, recorder_module in _RECORDERS.items():
        if package in sys.modules and is_on():
            import_module(recorder_module)


def _callbacks(package: str) -> list[Any]:
    if not is_on() or not _has_config_to_record():
        return []
    try:
        from lit_hydra_bridge.record.callback import RecorderHooks
        from lit_hydra_bridge.record.lightning_seams import install

        install(package)
        classes = import_module(_RECORDERS[package])
        return _added(RecorderHooks, classes.RunRecorder) + _added_reporter(classes.ProgressReporter)
    except Exception as error:  # Lightning calls factories unguarded, and no Trainer may fail for us
        from lit_hydra_bridge.record.warning import warn

        warn(f"this Trainer is not recorded ({type(error).__name__}: {error})")
        return []


def _added(hooks: type[Any], make: Callable[[], Any]) -> list[Any]:
    """Give the Trainer that is being made a callback, unless it has one with these hooks.

    Lightning announces every callback that a factory returns, in each rank and for each Trainer. So it joins the
    Trainer's callbacks itself, and is returned only where the Trainer can't be found.
    """
    trainer = _trainer_being_made()
    if trainer is None:
        return [make()]
    if not any(isinstance(callback, hooks) for callback in trainer.callbacks):
        _append(trainer, make())
    return []


def _append(trainer: Any, callback: Any) -> None:
    """Add to whatever sequence the app gave: a list, or the ListConfig that Hydra's `instantiate` makes of one.

    In place where possible: Lightning adds the callbacks of other factories to this very object.
    """
    try:
        trainer.callbacks.append(callback)
    except Exception:  # such as a ListConfig that is read-only
        trainer.callbacks = [*trainer.callbacks, callback]


def _added_reporter(reporter_class: type[Any]) -> list[Any]:
    """Where a launcher wants to know how far the training is, give the Trainer one more callback, as quietly."""
    from lit_hydra_bridge.progress import PROGRESS
    from lit_hydra_bridge.record.progress_hooks import ProgressHooks

    path = os.environ.get(PROGRESS)
    return _added(ProgressHooks, lambda: reporter_class(path)) if path else []


def _has_config_to_record() -> bool:
    if "hydra" in sys.modules:
        return True
    capture = sys.modules.get("lit_hydra_bridge.record.capture")
    return capture is not None and capture.is_recording_by_hand()


def _trainer_being_made() -> Any:
    """Return the Trainer, found where Lightning calls from; None where it can't be.

    It tells a factory nothing; but the connector that collects the callbacks is a few frames above.
    """
    frame: FrameType | None = sys._getframe()
    for _ in range(8):
        if frame is None:
            return None
        if frame.f_code.co_name == "on_trainer_init":
            trainer = getattr(frame.f_locals.get("self"), "trainer", None)
            return trainer if hasattr(trainer, "callbacks") else None
        frame = frame.f_back
    return None
