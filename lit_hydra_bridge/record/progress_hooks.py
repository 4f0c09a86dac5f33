"""Writes how far a training is, where a launcher has asked for it. Nothing here may make a training fail."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

from lit_hydra_bridge.progress import LEAST_SECONDS_BETWEEN, Checkpoints, Progress, last_progress, write_progress
from lit_hydra_bridge.record.training import read_checkpoints, read_metrics, read_monitors, watching

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
        self._so_far = Progress()
        self._trained = False

    def _tell(self, trainer: Any, *, now: bool = False) -> None:
        moment = time.monotonic()
        if not self._path or (not now and moment - self._written < LEAST_SECONDS_BETWEEN):
            return
        self._written = moment
        write_progress(self._path, read_progress_of(trainer, self._so_far))

    @_harmless
    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Lightning's hook before anything runs. What the task's trainings have said up to now is kept."""
        self._so_far = last_progress(Path(self._path)) or Progress()

    @_harmless
    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Lightning's hook."""
        self._trained = False
        self._so_far = replace(self._so_far, fits=self._so_far.fits + 1, fit={})

    @_harmless
    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Lightning's hook."""
        self._tell(trainer, now=True)

    @_harmless
    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        """Lightning's hook."""
        self._trained = True
        self._tell(trainer)

    @_harmless
    def on_validation_batch_end(self, trainer: Any, *_: Any) -> None:
        """Lightning's hook."""
        self._tell(trainer)

    on_test_batch_end = on_predict_batch_end = on_validation_batch_end

    @_harmless
    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Lightning's hook."""
        self._note_best(trainer)
        self._tell(trainer)

    @_harmless
    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Lightning's hook."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._note_best(trainer)

    @_harmless
    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """Lightning's hook where a training has ended by itself."""
        ended = {"global_step": trainer.global_step, "metrics": read_metrics(trainer), "trained": self._trained}
        self._so_far = replace(self._so_far, fit=ended)

    @_harmless
    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Lightning's last hook: by now all metrics and checkpoints are known."""
        self._tell(trainer, now=True)

    @_harmless
    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Lightning's hook in the place of `teardown`, where something was raised."""
        self._tell(trainer, now=True)

    def _note_best(self, trainer: Any) -> None:
        monitors, metrics = read_monitors(trainer), read_metrics(trainer)
        now = [(name, metrics[name]) for name in monitors if name in metrics]
        self._so_far = replace(self._so_far, best=_best(self._so_far.best, monitors, now))


def read_progress_of(trainer: Any, so_far: Progress | None = None) -> Progress:
    """Describe how far a Trainer is.

    Args:
        trainer: which.
        so_far: what others in its task, or an earlier call of this one, have come to.
    """
    so_far = so_far or Progress()
    stage = trainer.state.stage
    monitors = so_far.monitors | read_monitors(trainer)
    return replace(
        so_far,
        stage=str(getattr(stage, "value", stage) or ""),
        epoch=int(trainer.current_epoch),
        max_epochs=_limit(trainer.max_epochs),
        step=_batches_done(trainer),
        steps=_limit(trainer.num_training_batches),
        global_step=int(trainer.global_step),
        max_steps=_limit(trainer.max_steps),
        metrics=so_far.metrics | read_metrics(trainer),
        best=_best(so_far.best, monitors, _scores(trainer)),
        monitors=monitors,
        checkpoints=_better(so_far.checkpoints, read_checkpoints(trainer)),
    )


def _scores(trainer: Any) -> list[tuple[str, float]]:
    """Return what ModelCheckpoint and EarlyStopping call the best, also of a training that goes on."""
    names = ("best_model_score", "best_score")
    found = [(monitor, getattr(callback, name, None)) for callback, monitor, _ in watching(trainer) for name in names]
    return [(monitor, float(score)) for monitor, score in found if score is not None]


def _best(
    known: Mapping[str, float], monitors: Mapping[str, str], values: Iterable[tuple[str, float]]
) -> dict[str, float]:
    best = dict(known)
    for name, value in values:
        if name in monitors and math.isfinite(value):
            pick = max if monitors[name] == "max" else min
            best[name] = pick(best.get(name, value), value)
    return best


def _better(before: Checkpoints, now: Checkpoints) -> Checkpoints:
    """Return the checkpoints of one of two Trainers: of the same metric the better, else those of more use."""
    if (before.get("monitor"), before.get("mode")) == (now.get("monitor"), now.get("mode")):
        score, earlier = now.get("score"), before.get("score")
        if earlier is None or score is None or score == earlier:
            return now if now.get("best") or now.get("last") else before
        return now if (score > earlier) == (now.get("mode") == "max") else before

    def use(found: Checkpoints) -> tuple[bool, bool]:
        there = bool(found.get("best") or found.get("last"))
        return there, there and bool(found.get("monitor"))

    return now if use(now) >= use(before) else before


def _limit(value: Any) -> int | None:
    """Lightning says -1, infinity or None where there is no limit."""
    return int(value) if isinstance(value, int | float) and 0 < value < math.inf else None


def _batches_done(trainer: Any) -> int:
    loop = getattr(trainer, "fit_loop", None)
    return int(loop.epoch_loop.batch_progress.current.completed) if loop is not None else 0
