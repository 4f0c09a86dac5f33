"""RunRecorder and ProgressReporter for `pytorch_lightning`."""

from __future__ import annotations

from pytorch_lightning import Callback

from lit_hydra_bridge.record.callback import RecorderHooks
from lit_hydra_bridge.record.progress_hooks import ProgressHooks


class RunRecorder(RecorderHooks, Callback):  # type: ignore[misc]
    __doc__ = RecorderHooks.__doc__


class ProgressReporter(ProgressHooks, Callback):  # type: ignore[misc]
    __doc__ = ProgressHooks.__doc__
