"""The sweep that a job is of -> each logger.

    W&B          group, job type, tags                      group_wandb.py
    MLflow       a parent run for the sweep, tags           group_mlflow.py
    TensorBoard  overrides and metrics in the HParams tab   group_tensorboard.py

    Trainer()        what a logger must know before it starts its run
    setup            what a run that has been started is told
    training starts  what the app's own hyperparameters have not taken along
    the end          how it ended

What the app has set itself always stays.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from lit_hydra_bridge.record.lightning_loggers import LoggerNotes, base_class, kind_of, real_loggers
from lit_hydra_bridge.record.loggers import leave_out
from lit_hydra_bridge.record.sweep_job import SweepJob
from lit_hydra_bridge.record.warning import warn

_notes: Final = LoggerNotes()


def prepare_loggers(trainer: Any, job: SweepJob) -> None:
    """Do what is too late once a logger has started its run."""

    def prepare(logger: Any, kind: str) -> None:
        if kind == "WandbLogger":
            from lit_hydra_bridge.record.group_wandb import prepare_wandb

            prepare_wandb(logger, job)
        elif kind == "TensorBoardLogger":
            from lit_hydra_bridge.record.group_tensorboard import expect_session
            from lit_hydra_bridge.record.logger_tensorboard import install

            install(base_class(logger))
            expect_session(logger, job)

    _each(trainer, prepare)


def tell_loggers(trainer: Any, job: SweepJob) -> None:
    """Tell each logger's run which sweep it is of."""

    def tell(logger: Any, kind: str) -> None:
        if kind == "WandbLogger":
            from lit_hydra_bridge.record.group_wandb import tag_wandb

            tag_wandb(logger, job)
        elif kind == "MLFlowLogger":
            from lit_hydra_bridge.record.group_mlflow import join_parent

            join_parent(logger, job)

    prepare_loggers(trainer, job)
    _each(trainer, tell)


def show_in_loggers(trainer: Any) -> None:
    """Make the row of the HParams tab where nothing that the app has logged has made it."""

    def show(logger: Any, kind: str) -> None:
        if kind == "TensorBoardLogger":
            from lit_hydra_bridge.record.group_tensorboard import session_of

            if session := session_of(logger):
                session.begin(logger)

    _each(trainer, show)


def end_in_loggers(trainer: Any, job: SweepJob, *, failed: bool) -> None:
    """Say that a run is over."""

    def end(logger: Any, kind: str) -> None:
        if kind == "TensorBoardLogger":
            from lit_hydra_bridge.record.group_tensorboard import session_of

            if session := session_of(logger):
                session.end(logger, failed=failed)
        elif kind == "MLFlowLogger":
            from lit_hydra_bridge.record.group_mlflow import leave_parent

            leave_parent(logger, job)

    _each(trainer, end)


def _each(trainer: Any, work: Callable[[Any, str], None]) -> None:
    """Do something with each logger that has not refused before; a refusal is one warning."""
    for logger in real_loggers(trainer):
        try:
            if not _notes.refused(logger):
                work(logger, kind_of(logger))
        except (Exception, SystemExit) as error:  # any backend's own
            with suppress(TypeError):
                _notes.note_refusal(logger)
                if isinstance(error, TimeoutError):  # what does not answer is not waited for once more
                    leave_out(logger)
            warn(f"{type(logger).__name__} does not show the sweep as a whole ({type(error).__name__}: {error})")
