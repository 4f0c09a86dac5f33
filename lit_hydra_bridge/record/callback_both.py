"""RunRecorder for a process that has imported both names of Lightning: it serves either's Trainer."""

from __future__ import annotations

from lightning.pytorch import Callback
from pytorch_lightning import Callback as PytorchLightningCallback

from lit_hydra_bridge.record.callback import RecorderHooks


class RunRecorder(RecorderHooks, Callback, PytorchLightningCallback):  # type: ignore[misc]
    __doc__ = RecorderHooks.__doc__
