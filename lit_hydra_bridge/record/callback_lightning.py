"""RunRecorder for `lightning.pytorch`."""

from __future__ import annotations

from lightning.pytorch import Callback

from lit_hydra_bridge.record.callback import RecorderHooks


class RunRecorder(RecorderHooks, Callback):  # type: ignore[misc]
    __doc__ = RecorderHooks.__doc__
