"""Where Lightning is wrapped in a Slurm job, so that a training that is told to end saves itself, and goes on exactly.

    _TrainingEpochLoop.on_advance_end    between two batches: save, if Slurm has asked
    _FitLoop.on_advance_end              between two epochs: the same
    _CheckpointConnector                 a fit that was interrupted goes on from the job's own hpc_ckpt, and no other
    _DataFetcher                         it goes on with the batch at which it was, in the same order

Lightning's own way saves in the signal's handler, in the middle of a step, below `default_root_dir`, which is often
shared by all jobs of a sweep; its checkpoints begin the epoch's data anew, and have no random state.
"""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lit_hydra_bridge.on_import import when_imported
from lit_hydra_bridge.sweep.slurm.data_position import can_skip, skip_batches
from lit_hydra_bridge.sweep.slurm.hpc_checkpoint import (
    Position,
    next_in,
    random_state,
    read_position,
    remove,
    restore_random_state,
    saved_in,
    write_position,
)

if TYPE_CHECKING:
    from lit_hydra_bridge.sweep.slurm.requeue import Signals

_PACKAGES: Final = ("lightning.pytorch", "pytorch_lightning")
_MARK: Final = "__lit_hydra_bridge_requeue__"
_AGREE_EVERY_S: Final = 1.0


def install(signals: Signals, folder: Path) -> None:
    """Wrap Lightning, under whichever of its names, once it is imported."""
    training = Training(signals, folder)
    for package in _PACKAGES:
        when_imported(
            {
                f"{package}.loops.training_epoch_loop": _patch(
                    f"{package}.loops.training_epoch_loop", "_TrainingEpochLoop", on_advance_end=training.after_batch
                ),
                f"{package}.loops.fit_loop": _patch(
                    f"{package}.loops.fit_loop", "_FitLoop", on_advance_end=training.after_epoch
                ),
                f"{package}.loops.fetchers": _patch(
                    f"{package}.loops.fetchers", "_DataFetcher", __iter__=training.begin_data, __next__=training.take
                ),
                f"{package}.trainer.connectors.checkpoint_connector": _patch(
                    f"{package}.trainer.connectors.checkpoint_connector",
                    "_CheckpointConnector",
                    _select_ckpt_path=training.choose,
                    _hpc_resume_path=None,
                ),
            }
        )


def _patch(module: str, name: str, **around: Callable[..., Any] | None) -> Callable[[], None]:
    def patch() -> None:
        cls = getattr(sys.modules[module], name)
        for method, wrapper in around.items():
            original: Any = getattr(cls, method, None)
            if wrapper is None:
                setattr(cls, method, None)
            elif original is None:  # another Lightning than all that are known
                print(f"lit-hydra-bridge: {name} has no {method}; a training that must end begins again", flush=True)
            elif not hasattr(original, _MARK):
                setattr(cls, method, _wrapped(original, wrapper))

    return patch


def _wrapped(original: Callable[..., Any], wrapper: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return wrapper(functools.partial(original, self), self, *args, **kwargs)

    setattr(method, _MARK, True)
    return method


class Training:
    """The trainings of this process.

    Args:
        signals: what Slurm has asked.
        folder: the job's.
    """

    def __init__(self, signals: Signals, folder: Path) -> None:
        self._signals, self._folder = signals, folder
        self._fits = 0
        self._trainer: Any = None
        self._resuming: Position | None = None
        self._at_iter: dict[str, Any] = {}
        self._at_first: dict[str, Any] = {}
        self._is_first_batch = False
        self._agreed_at = 0
        self._agree_again = 0
        self._batches = 0
        self._since = 0.0

    # --- going on -----------------------------------------------------------------------------------------

    def choose(self, original: Callable[..., Any], connector: Any, state_fn: Any, *args: Any, **kwargs: Any) -> Any:
        """Which checkpoint a Trainer begins with: a fit that was interrupted goes on from what it saved."""
        if getattr(state_fn, "value", None) != "fit":
            return original(state_fn, *args, **kwargs)
        self._fits += 1
        self._trainer, self._resuming = connector.trainer, None
        self._batches = self._agree_again = 0
        saved = saved_in(self._folder)
        position = read_position(saved, _rank()) or read_position(saved, 0) if saved else None
        if saved is None or position is None or position.fit != self._fits:
            return original(state_fn, *args, **kwargs)
        self._resuming = position
        print(f"lit-hydra-bridge: going on from {saved}", flush=True)
        return str(saved)

    def begin_data(self, original: Callable[..., Any], fetcher: Any) -> Any:
        """An epoch's data loaders begin."""
        if not self._is_training(fetcher):
            return original()
        resuming, skips = self._resuming, False
        if resuming is not None:
            restore_random_state(resuming.at_iter if resuming.batches else resuming.now)
            if resuming.batches and (skips := can_skip(fetcher)):
                skip_batches(fetcher, resuming)
        self._at_iter, self._is_first_batch = random_state(), True
        result = original()
        if resuming is not None and resuming.batches and not skips:
            self._drop(fetcher, resuming)
        return result

    def _drop(self, fetcher: Any, resuming: Position) -> None:
        """Load what was done, and leave it."""
        restore_random_state(resuming.at_first)
        for _ in range(resuming.batches):
            next(fetcher.iterator, None)
        restore_random_state(resuming.now)
        self._at_first = resuming.at_first
        self._resuming, self._is_first_batch = None, False

    def take(self, original: Callable[..., Any], fetcher: Any) -> Any:
        """A batch is taken."""
        if not self._is_first_batch or not self._is_training(fetcher):
            return original()
        self._is_first_batch = False
        resuming, self._resuming = self._resuming, None
        if resuming is None or not resuming.batches:
            self._at_first = random_state()
            return original()
        self._at_first = resuming.at_first
        restore_random_state(resuming.at_first)
        batch = original()
        # A loader with workers has skipped when it began, and draws nothing here.
        if _is_same(resuming.at_first, random_state()):
            restore_random_state(resuming.now)
        return batch

    def _is_training(self, fetcher: Any) -> bool:
        loop = getattr(self._trainer, "fit_loop", None)
        return loop is not None and getattr(loop, "_data_fetcher", None) is fetcher

    # --- saving -------------------------------------------------------------------------------------------

    def after_batch(self, original: Callable[..., Any], loop: Any, data_fetcher: Any) -> Any:
        """A batch is done, with its validation if any."""
        self._batches += 1
        looks = self._looks(loop.trainer)
        validated = looks and loop._should_check_val_fx(data_fetcher)
        with self._sigterm_later(loop.trainer):
            result = original(data_fetcher)
        between = not (loop._is_training_done or loop.batch_progress.is_last_batch or validated)
        if looks and between and not loop._should_accumulate() and self._is_asked(loop.trainer):
            self._save(loop.trainer, loop.batch_progress.current.completed)
        return result

    def after_epoch(self, original: Callable[..., Any], loop: Any) -> Any:
        """An epoch is done."""
        with self._sigterm_later(loop.trainer):
            result = original()
        self._agree_again = 0
        if not _is_over(loop) and self._looks(loop.trainer) and self._is_asked(loop.trainer):
            self._save(loop.trainer, 0)
        return result

    @contextmanager
    def _sigterm_later(self, trainer: Any) -> Iterator[None]:
        """Lightning ends a training that has got SIGTERM; it is to save before."""
        connector = trainer._signal_connector
        received = connector.received_sigterm
        if trainer is self._trainer:
            connector.received_sigterm = False
        try:
            yield
        finally:
            connector.received_sigterm = connector.received_sigterm or received

    def _looks(self, trainer: Any) -> bool:
        """Whether it is time to see what Slurm has asked: with several ranks the same for all of them."""
        if trainer is not self._trainer:
            return False
        return self._batches >= self._agree_again if trainer.world_size > 1 else self._signals.asked is not None

    def _is_asked(self, trainer: Any) -> bool:
        """Whether Slurm has asked any of the ranks, which must all save after the same batch.

        They agree about once a second, after a number of batches that the first of them says.
        """
        if trainer.world_size == 1:
            return self._signals.asked is not None
        asked = trainer.strategy.reduce_boolean_decision(self._signals.asked is not None, all=False)
        now = time.monotonic()
        pace = (self._batches - self._agreed_at) / max(now - self._since, 1e-6) if self._since else 0.0
        self._agreed_at, self._since = self._batches, now
        count = trainer.strategy.broadcast(max(1, int(pace * _AGREE_EVERY_S)))
        self._agree_again = self._batches + int(count)
        return bool(asked)

    def _save(self, trainer: Any, batches: int) -> None:
        """Save, and end the training.

        Raises:
            Stopped: always.
        """
        path = Path(str(trainer.strategy.broadcast(str(next_in(self._folder)))))
        stateful = batches and all(hasattr(loader, "load_state_dict") for loader in _loaders(trainer))
        position = Position(
            fit=self._fits,
            batches=0 if stateful else batches,  # such loaders are saved by Lightning
            now=random_state(),
            at_iter=self._at_iter,
            at_first=self._at_first,
        )
        write_position(path, _rank(), position)
        trainer.save_checkpoint(path)
        if trainer.is_global_zero:
            remove(self._folder, but=path)
        if self._signals.asked is None:
            self._signals.asked = self._signals.usual
        raise self._signals.stop(f"{path.name} saved")


def _is_over(loop: Any) -> bool:
    """Whether the training ends anyway. The loop's own `done` says so aloud."""
    epochs, steps = loop.max_epochs, loop.epoch_loop.max_steps
    return bool(
        loop.trainer.should_stop
        or (epochs not in (None, -1) and loop.epoch_progress.current.processed >= epochs)
        or (steps != -1 and loop.epoch_loop.global_step >= steps)
    )


def _rank() -> int:
    return int(os.environ.get("SLURM_PROCID", "0"))


def _loaders(trainer: Any) -> list[Any]:
    combined = getattr(trainer.fit_loop, "_combined_loader", None)
    return list(combined.flattened) if combined is not None else []


def _is_same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return "torch" not in one or bool((one["torch"] == other["torch"]).all())
