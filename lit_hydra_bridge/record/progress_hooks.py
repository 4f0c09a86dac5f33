"""Writes how far a training is, where a launcher has asked for it. Nothing here may make a training fail."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

from lit_hydra_bridge.progress import LEAST_SECONDS_BETWEEN, Checkpoints, Progress, write_progress
from lit_hydra_bridge.record.training import read_metrics

Hook = TypeVar("Hook", bound=Callable[..., None])


def _harmless(hook: Hook) -> Hook:
    """A board that stands still is no reason to end a training."""

    @functools.wraps(hook)
    def guarded(self: Any, trainer: Any, *args: Any, **kwargs: Any) -> None:
        try:
            if trainer.is_global_zero:
                hook(self, trainer, *args, **kwargs)
        except Exception:
            self._path = ""

    return cast("Hook", guarded)


class ProgressHooks:
    """The hooks of ProgressReporter, the same for both names of Lightning.

    Args:
        path: of the file to write.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path
        self._written = 0.0

    def _tell(self, trainer: Any, *, now: bool = False) -> None:
        moment = time.monotonic()
        if not self._path or (not now and moment - self._written < LEAST_SECONDS_BETWEEN):
            return
        self._written = moment
        write_progress(self._path, read_progress_of(trainer))

    @_harmless
    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Lightning's hook."""
        self._tell(trainer, now=True)

    @_harmless
    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        """Lightning's hook."""
        self._tell(trainer)

    on_validation_batch_end = on_test_batch_end = on_predict_batch_end = on_train_batch_end

    @_harmless
    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Lightning's hook."""
        self._tell(trainer)

    @_harmless
    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Lightning's last hook: by now all metrics and checkpoints are known."""
        self._tell(trainer, now=True)


def read_progress_of(trainer: Any) -> Progress:
    """Describe how far a Trainer is."""
    stage = trainer.state.stage
    return Progress(
        stage=str(getattr(stage, "value", stage) or ""),
        epoch=int(trainer.current_epoch),
        max_epochs=_limit(trainer.max_epochs),
        step=_batches_done(trainer),
        steps=_limit(trainer.num_training_batches),
        global_step=int(trainer.global_step),
        max_steps=_limit(trainer.max_steps),
        metrics={name: value for name, value in read_metrics(trainer).items() if math.isfinite(value)},
        checkpoints=_checkpoints(trainer),
    )


def _limit(value: Any) -> int | None:
    """Lightning says -1, infinity or None where there is no limit."""
    return int(value) if isinstance(value, int | float) and 0 < value < math.inf else None


def _batches_done(trainer: Any) -> int:
    loop = getattr(trainer, "fit_loop", None)
    return int(loop.epoch_loop.batch_progress.current.completed) if loop is not None else 0


def _checkpoints(trainer: Any) -> Checkpoints:
    """Return what the first ModelCheckpoint with a monitor says, or else the first of all."""
    found = sorted(getattr(trainer, "checkpoint_callbacks", ()), key=lambda each: not getattr(each, "monitor", None))
    if not found:
        return {}
    callback = found[0]
    score = getattr(callback, "best_model_score", None)
    return {
        "best": str(callback.best_model_path) or None,
        "last": str(getattr(callback, "last_model_path", "")) or None,
        "monitor": getattr(callback, "monitor", None),
        "mode": getattr(callback, "mode", None),
        "score": float(score) if score is not None and math.isfinite(float(score)) else None,
    }
