"""The two entry points that Lightning calls in every Trainer: one for each of its names.

In a process without Hydra they return nothing, having imported nothing. They never raise.
"""

from __future__ import annotations

import os
import sys
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
        from lit_hydra_bridge.record.lightning_seams import install

        install(package)
        classes = import_module(_RECORDERS[package])
        return _added(classes.RunRecorder) + _added_reporter(classes.ProgressReporter)
    except Exception as error:  # Lightning calls factories unguarded, and no Trainer may fail for us
        from lit_hydra_bridge.record.warning import warn

        warn(f"this Trainer is not recorded ({type(error).__name__}: {error})")
        return []


def _added(recorder_class: type[Any]) -> list[Any]:
    """Give the Trainer that is being made a recorder, unless it has one by hand.

    Lightning announces every callback that a factory returns, in each rank and for each Trainer. So the recorder
    goes into the Trainer's list itself, and is returned only where that list can't be found.
    """
    from lit_hydra_bridge.record.callback import RecorderHooks

    callbacks = _callbacks_of_trainer_being_made()
    if callbacks is None:
        return [recorder_class()]
    if not any(isinstance(callback, RecorderHooks) for callback in callbacks):
        callbacks.append(recorder_class())
    return []


def _added_reporter(reporter_class: type[Any]) -> list[Any]:
    """Where a launcher wants to know how far the training is, give the Trainer one more callback, as quietly."""
    from lit_hydra_bridge.progress import PROGRESS

    path = os.environ.get(PROGRESS)
    callbacks = _callbacks_of_trainer_being_made() if path else None
    if callbacks is not None:
        callbacks.append(reporter_class(path))
    return []


def _has_config_to_record() -> bool:
    if "hydra" in sys.modules:
        return True
    capture = sys.modules.get("lit_hydra_bridge.record.capture")
    return capture is not None and capture.is_recording_by_hand()


def _callbacks_of_trainer_being_made() -> list[Any] | None:
    """Return the Trainer's list of callbacks, found where Lightning calls from.

    It tells a factory nothing; but the connector that collects the callbacks is a few frames above.
    """
    frame: FrameType | None = sys._getframe()
    for _ in range(8):
        if frame is None:
            return None
        if frame.f_code.co_name == "on_trainer_init":
            trainer = getattr(frame.f_locals.get("self"), "trainer", None)
            callbacks = getattr(trainer, "callbacks", None)
            return callbacks if isinstance(callbacks, list) else None
        frame = frame.f_back
    return None
