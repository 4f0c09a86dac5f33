"""RunRecorder for `pytorch_lightning`."""

from __future__ import annotations

from pytorch_lightning import Callback

from lit_hydra_bridge.record.callback import RecorderHooks


class RunRecorder(RecorderHooks, Callback):  # type: ignore[misc]
    __doc__ = RecorderHooks.__doc__
