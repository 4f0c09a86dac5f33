"""RunRecorder and ProgressReporter for a process that has imported both names of Lightning.

They serve either's Trainer.
"""

from __future__ import annotations

from lightning.pytorch import Callback
from pytorch_lightning import Callback as PytorchLightningCallback

from lit_hydra_bridge.record.callback import RecorderHooks
from lit_hydra_bridge.record.progress_hooks import ProgressHooks


class RunRecorder(RecorderHooks, Callback, PytorchLightningCallback):  # type: ignore[misc]
    __doc__ = RecorderHooks.__doc__


class ProgressReporter(ProgressHooks, Callback, PytorchLightningCallback):  # type: ignore[misc]
    __doc__ = ProgressHooks.__doc__
