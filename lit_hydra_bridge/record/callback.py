"""The hooks of RunRecorder, the same for both names of Lightning.

    Trainer()  ->  capture the job        (config, overrides: while the resolvers of the app are there)
                   leave with the loggers which sweep the job is of
    setup      ->  note the Trainer, hand the config to the loggers
    save       ->  stamp the record into the checkpoint

The classes that Lightning sees are in `callback_lightning.py` and `callback_pytorch_lightning.py`: each derives
from these hooks and from its own flavour's Callback. Nothing here may make a training fail.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

from lit_hydra_bridge.record.capture import (
    CaptureOptions,
    JobCapture,
    absolute_path,
    capture_by_hand,
    current_capture,
    is_current,
    is_rank_zero,
)
from lit_hydra_bridge.record.going_on import GoingOn
from lit_hydra_bridge.record.groups import end_in_loggers, prepare_loggers, show_in_loggers, tell_loggers
from lit_hydra_bridge.record.loggers import log_config, log_lost_keys, logger_runs, prepare_for_config
from lit_hydra_bridge.record.record_json import text_for_checkpoints
from lit_hydra_bridge.record.run_folder import RunFolder
from lit_hydra_bridge.record.run_record import RECORD_KEY, LoggerRun, RunRecord, SavedCheckpoint
from lit_hydra_bridge.record.sweep_job import SweepJob
from lit_hydra_bridge.record.training import read_metrics, read_saved_checkpoint, read_training
from lit_hydra_bridge.record.warning import warn
from lit_hydra_bridge.switch import groups_are_on, is_on

Hook = TypeVar("Hook", bound=Callable[..., None])


def _harmless(hook: Hook) -> Hook:
    """Turn any error inside a hook into one warning."""

    @functools.wraps(hook)
    def guarded(self: Any, *args: Any, **kwargs: Any) -> None:
        if not is_on():
            return
        try:
            hook(self, *args, **kwargs)
        except (Exception, SystemExit) as error:  # whatever it is, it is ours and must not end the training
            if not self._has_failed:
                self._has_failed = True
                warn(f"{hook.__name__} failed, and the record may be incomplete ({type(error).__name__}: {error})")

    return cast("Hook", guarded)


class RecorderHooks:
    """Records how a run was made into its checkpoints and loggers.

    Passing one to the Trainer by hand replaces the automatic one.

    Args:
        config: the config to record, where no Hydra job runs (compose API, notebooks).
        overrides: what to record as the overrides, together with `config`.
        diff: whether the git diff is recorded; by default unless LIT_HYDRA_BRIDGE_DIFF=off.
        diff_limit_kib: the longest git diff to keep, packed, in KiB.
        custom_resolvers: False keeps the text of config nodes that need the app's own resolvers.
        time_limit_s: the longest that the first save waits for git and the package list, in seconds.
        loggers: False keeps the config out of the Trainer's loggers.
        groups: whether the loggers are told which sweep a job is of; by default as `loggers`, and unless
            LIT_HYDRA_BRIDGE_GROUPS=off.
    """

    def __init__(
        self,
        config: Any = None,
        *,
        overrides: list[str] | None = None,
        diff: bool | None = None,
        diff_limit_kib: int = CaptureOptions.diff_limit_kib,
        custom_resolvers: bool = True,
        time_limit_s: float = CaptureOptions.time_limit_s,
        loggers: bool = True,
        groups: bool | None = None,
    ) -> None:
        super().__init__()
        self._options = CaptureOptions(
            diff=diff,
            diff_limit_kib=diff_limit_kib,
            custom_resolvers=custom_resolvers,
            time_limit_s=time_limit_s,
        )
        self._log_to_loggers = loggers
        self._groups = groups
        self._capture: JobCapture | None = None
        self._record: RunRecord | None = None
        self._text: Callable[[dict[str, float], SavedCheckpoint], str] | None = None
        self._config_logged = False
        self._going_on: GoingOn | None = None
        self._is_noted = False
        self._has_failed = False
        self._by_hand = config is not None
        if not is_on() or not is_rank_zero():
            return
        if config is not None:
            self._capture = capture_by_hand(config, overrides, self._options)
        else:
            self.capture()

    def capture(self) -> JobCapture | None:
        """Return what is known of the job that runs now; None where none runs.

        A Trainer made before Hydra started, or in an earlier job, belongs to the job in which it is used.
        """
        if not self._by_hand and not is_current(self._capture):
            with _one_warning(self):
                default = self._options == CaptureOptions()
                self._capture = current_capture(None if default else self._options)
        return self._capture

    def record(self, trainer: Any) -> RunRecord | None:
        """Return the record for this trainer; None where no config is known."""
        capture = self.capture()
        if capture is None:
            return self._record
        model = trainer.lightning_module
        training = capture.attempt("trainer", lambda: read_training(trainer, model, capture.config)) if model else None
        loggers = capture.attempt("loggers", lambda: self._logger_runs(trainer, capture)) or []
        record = capture.record(training=training, loggers=loggers)
        failures = [gap for gap in record.gaps if gap not in capture.quiet_gaps]
        if failures and not capture.gaps_were_told:
            capture.gaps_were_told = True
            warn("the record has gaps: " + "; ".join(failures))
        return record

    def stamp(self, trainer: Any, checkpoint: dict[str, Any]) -> None:
        """Put the record into a checkpoint that is about to be written."""
        if not trainer.is_global_zero:
            return
        if self._text is None or self._is_stale(trainer):
            self._record = self.record(trainer)
            self._text = text_for_checkpoints(self._record) if self._record is not None else None
        if self._text is not None:
            text = self._text(read_metrics(trainer), read_saved_checkpoint(trainer, checkpoint))
            rest = {key: value for key, value in checkpoint.items() if key != RECORD_KEY}
            checkpoint.clear()
            checkpoint[RECORD_KEY] = text  # first: a reader stops there
            checkpoint.update(rest)

    def _is_stale(self, trainer: Any) -> bool:
        """A later load adds to the lineage, and a logger may learn its run id late; all else is settled."""
        record = self._record
        if record is None or self._capture is None:
            return record is None
        self._capture.absorb_loads()
        return self._capture.ancestors != record.lineage or self._logger_runs(trainer, self._capture) != record.loggers

    @staticmethod
    def _logger_runs(trainer: Any, capture: JobCapture) -> list[LoggerRun]:
        return [LoggerRun(**capture.redactor.data(vars(run))) for run in logger_runs(trainer)]

    @_harmless
    def on_saved(self, trainer: Any, path: Any) -> None:
        """Not Lightning's: a checkpoint was written."""
        if (record := self._record) is not None and (folder := self._run_folder(trainer)) is not None:
            data = lambda: {**record.to_dict(), "metrics": read_metrics(trainer)}  # noqa: E731
            folder.saved(absolute_path(path), record.run_id, data)

    @_harmless
    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        """Lightning's hook: soon the record is in the run's folder, should the run be killed before it saves."""
        if not self._is_noted and trainer.is_global_zero:
            capture = self._capture
            self._is_noted = capture is None or capture.folder is None or capture.folder.has_record
            if not self._is_noted and capture is not None and capture.is_looked_up:
                self._note_in_folder(trainer)

    def _note_in_folder(self, trainer: Any) -> None:
        folder = self._run_folder(trainer)
        record = self.record(trainer) if folder is not None else None
        if folder is not None and record is not None:
            self._is_noted = True
            logs = [run.directory for run in logger_runs(trainer) if run.directory and Path(run.directory).is_dir()]
            data = {**record.to_dict(), "metrics": read_metrics(trainer)}
            folder.note(data, [absolute_path(each) for each in logs], is_fit=trainer.state.fn == "fit")

    def _run_folder(self, trainer: Any) -> RunFolder | None:
        capture = self.capture() if trainer.is_global_zero else None
        return capture.folder if capture is not None else None

    @_harmless
    def on_loggers_made(self, trainer: Any) -> None:
        """Not Lightning's: the Trainer has its loggers, and none of them need have started its run."""
        if self._has_loggers(trainer):
            prepare_for_config(trainer)
        if (job := self._sweep_job(trainer)) is not None:
            prepare_loggers(trainer, job)

    @_harmless
    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Lightning's hook before anything runs."""
        _install_seams(type(trainer).__module__)
        self._text = None
        self._config_logged = False
        self._going_on = None
        if (job := self._sweep_job(trainer)) is not None:
            tell_loggers(trainer, job)
        if self._has_loggers(trainer) and (capture := self.capture()) is not None:
            for problem in log_config(trainer, pl_module, capture.config, capture.hydra, capture.run_id):
                warn(problem)

    @_harmless
    def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Lightning's hook when it resumes: the checkpoint's own record becomes this run's lineage."""
        self._going_on = GoingOn(trainer, checkpoint)
        capture = self.capture() if trainer.is_global_zero else None
        if capture is not None and RECORD_KEY in checkpoint:
            path = absolute_path(trainer.ckpt_path) if trainer.ckpt_path else None
            capture.note_ancestor(checkpoint[RECORD_KEY], path, checkpoint.get("global_step"))

    @_harmless
    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """Lightning's hook where a training has ended by itself."""
        going_on, self._going_on = self._going_on, None
        if going_on is not None:
            going_on.end(trainer)

    @_harmless
    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Lightning's hook for full checkpoints; weights-only ones pass the seam alone."""
        self.stamp(trainer, checkpoint)

    @_harmless
    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """By now Lightning and the app's own `on_train_start` have logged what they log."""
        self._log_lost_keys(trainer, pl_module)

    on_test_start = on_predict_start = on_train_epoch_start

    @_harmless
    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """The same where only a validation runs."""
        if not trainer.training and not trainer.sanity_checking:
            self._log_lost_keys(trainer, pl_module)

    @_harmless
    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Lightning's last hook: what the app logged in between may have replaced our keys once more."""
        self._config_logged = False
        self._log_lost_keys(trainer, pl_module)
        self._end_in_loggers(trainer, failed=False)
        self._note_in_folder(trainer)

    @_harmless
    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Lightning's hook in the place of `teardown`, where something was raised."""
        self._end_in_loggers(trainer, failed=True)
        if not isinstance(exception, Exception) and (folder := self._run_folder(trainer)) is not None:
            folder.interrupted_by = type(exception).__name__
        self._note_in_folder(trainer)

    def _end_in_loggers(self, trainer: Any, *, failed: bool) -> None:
        if (job := self._sweep_job(trainer)) is not None:
            show_in_loggers(trainer)
            end_in_loggers(trainer, job, failed=failed)

    def _sweep_job(self, trainer: Any) -> SweepJob | None:
        """Which job of a sweep the loggers are told that this is; None where there is nothing to tell."""
        wanted = self._groups if self._groups is not None else self._log_to_loggers and groups_are_on()
        if not wanted or not trainer.is_global_zero or not trainer.loggers:
            return None
        capture = self.capture()
        return capture.sweep_job if capture is not None else None

    def _has_loggers(self, trainer: Any) -> bool:
        return bool(self._log_to_loggers and trainer.is_global_zero and trainer.loggers)

    def _log_lost_keys(self, trainer: Any, pl_module: Any) -> None:
        if self._sweep_job(trainer) is not None:
            show_in_loggers(trainer)
        if self._config_logged or not self._has_loggers(trainer):
            return
        self._config_logged = True
        if (capture := self.capture()) is not None:
            log_lost_keys(trainer, pl_module, capture.config)


@contextlib.contextmanager
def _one_warning(recorder: RecorderHooks) -> Iterator[None]:
    try:
        yield
    except (Exception, SystemExit) as error:
        if not recorder._has_failed:
            recorder._has_failed = True
            warn(f"the job could not be recorded ({type(error).__name__}: {error})")


def stamp(trainer: Any, checkpoint: Any) -> None:
    """Stamp a checkpoint that Lightning has just put together, whichever recorder the trainer has."""
    if not is_on() or not isinstance(checkpoint, dict):
        return
    recorder = acting_recorder(trainer)
    if recorder is not None:
        recorder.on_save_checkpoint(trainer, None, checkpoint)


def note_saved(trainer: Any, path: Any) -> None:
    """A trainer has saved a checkpoint."""
    recorder = acting_recorder(trainer)
    if recorder is not None:
        recorder.on_saved(trainer, path)


def note_loggers(trainer: Any) -> None:
    """A Trainer that is being made has got its loggers."""
    recorder = acting_recorder(trainer) if is_on() else None
    if recorder is not None:
        recorder.on_loggers_made(trainer)


def acting_recorder(trainer: Any) -> RecorderHooks | None:
    """Return the trainer's recorder."""
    for callback in getattr(trainer, "callbacks", ()):
        if isinstance(callback, RecorderHooks):
            return callback
    return None


def _install_seams(trainer_module: str) -> None:
    """In a process that Lightning spawned no factory has run."""
    from lit_hydra_bridge.record.lightning_seams import FABRIC, install

    for package in FABRIC:
        if f"{package}.trainer.trainer" in sys.modules:
            install(package)
