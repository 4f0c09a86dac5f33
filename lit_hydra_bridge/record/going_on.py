"""A fit that goes on from a checkpoint: what the earlier training had logged is there again for the app.

Lightning begins a fit with no metrics. Where the training is over in the checkpoint there is nothing to do, so nothing
is logged, and an app that returns `trainer.callback_metrics["val_loss"]` would fail at each attempt.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lit_hydra_bridge.progress import BEFORE, PROGRESS, last_progress
from lit_hydra_bridge.record.record_json import parse_record
from lit_hydra_bridge.record.run_record import RECORD_KEY
from lit_hydra_bridge.record.training import put_back


class GoingOn:
    """One fit that has loaded a checkpoint.

    Args:
        trainer: whose fit it is.
        checkpoint: what it has loaded.
    """

    def __init__(self, trainer: Any, checkpoint: Mapping[str, Any]) -> None:
        self._step = checkpoint.get("global_step")
        self._is_own = _is_of_this_job(trainer.ckpt_path)
        text = checkpoint.get(RECORD_KEY)
        self._metrics = parse_record(text).metrics if text else {}
        earlier = _fit_before() if self._is_own else {}
        if earlier and earlier["global_step"] == self._step:
            # The training was over here, perhaps by early stopping, of which Lightning's checkpoints know nothing.
            trainer.should_stop = True
            self._metrics = {**self._metrics, **earlier["metrics"]}

    def end(self, trainer: Any) -> None:
        """Put back what was not logged again; of another run's metrics only where nothing was trained."""
        if self._is_own or trainer.global_step == self._step:
            put_back(trainer, self._metrics)


def _is_of_this_job(checkpoint: Any) -> bool:
    progress = os.environ.get(PROGRESS)
    return bool(progress and checkpoint and Path(checkpoint).absolute().is_relative_to(Path(progress).parent))


def _fit_before() -> dict[str, Any]:
    """Return how the training ended in the attempt from whose checkpoint this one goes on; nothing if it did not."""
    progress = last_progress(Path(os.environ[PROGRESS]).with_name(BEFORE))
    return progress.fit if progress is not None else {}
