"""RunRecord -> each logger.

The composed config goes to the logger under its own top-level keys, with Hydra's facts under `hydra` beside it.
What the app logs itself always wins, whatever the backend does with a key that comes twice:

    CSV, W&B      a later call replaces a whole top-level key  ->  what that lost is added again
    TensorBoard   the first summary is the one that is shown   ->  ours and the app's together, first
    MLflow        a parameter can't be changed                 ->  the app's keys are left out of ours; a later
                                                                   one that still differs becomes a tag

These four are written to below `log_hyperparams`, so an app that replaced or overrode that for its own calls sees none
of ours. Any other logger can only be asked through the `log_hyperparams` of its class.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from lit_hydra_bridge.record.lightning_loggers import LoggerNotes, base_class, kind_of, real_loggers
from lit_hydra_bridge.record.nested import merged, plain_mapping, text_keys, without
from lit_hydra_bridge.record.run_record import ComposedConfig, HydraJob, LoggerRun
from lit_hydra_bridge.record.warning import warn

_URL_PASSWORD: Final = re.compile(r"(?<=://)[^/\s@]*:[^/\s]*@")
_handed: Final = LoggerNotes()


def logger_runs(trainer: Any) -> list[LoggerRun]:
    """Return what the trainer's loggers call this run. Starts none that has not been started."""
    return [_logger_run(logger) for logger in real_loggers(trainer)]


def _logger_run(logger: Any) -> LoggerRun:
    kind = kind_of(logger)
    if kind == "MLFlowLogger":  # its public properties start a run
        uri = _text(getattr(logger, "_tracking_uri", None))
        return LoggerRun(
            kind=kind,
            name=_text(getattr(logger, "_experiment_name", None)),
            run_id=_text(getattr(logger, "_run_id", None)),
            directory=_URL_PASSWORD.sub("<redacted>@", uri) if uri else None,
        )
    version = _text(_property(logger, "version"))
    return LoggerRun(
        kind=kind,
        name=_text(_property(logger, "name")),
        version=version,
        run_id=version if kind == "WandbLogger" else None,
        directory=_text(_property(logger, "log_dir") or _property(logger, "save_dir")),
    )


def log_config(trainer: Any, model: Any, config: ComposedConfig, hydra: HydraJob, run_id: str) -> list[str]:
    """Hand the config to every logger that has not had it, before the app's own hyperparameters are logged.

    Returns:
        One sentence for each logger that refused.
    """
    ours = _payload(config, hydra, run_id)

    def hand(logger: Any) -> None:
        if _handed.get(logger) != run_id:
            _handed.note(logger, run_id)
            _hand(logger, ours, trainer, model, config.composed)

    return _each(trainer, hand)


def prepare_for_config(trainer: Any) -> None:
    """Do what must be done before the app logs its own hyperparameters."""

    def prepare(logger: Any) -> None:
        if kind_of(logger) == "MLFlowLogger":
            from lit_hydra_bridge.record.logger_mlflow import guard_earlier_parameters

            guard_earlier_parameters(logger)

    for problem in _each(trainer, prepare):
        warn(problem)


def leave_out(logger: Any) -> None:
    """Hand nothing to this logger from now on."""
    _handed.note_refusal(logger)


def log_lost_keys(trainer: Any, model: Any, config: ComposedConfig) -> None:
    """Add again what the app's own hyperparameters of the same top-level key replaced."""
    ours = text_keys(config.resolved)
    for problem in _each(trainer, lambda logger: _restore(logger, ours, trainer, model)):
        warn(problem)


def _each(trainer: Any, work: Callable[[Any], None]) -> list[str]:
    problems = []
    for logger in real_loggers(trainer):
        try:
            if not _handed.refused(logger):
                work(logger)
        except (Exception, SystemExit) as error:  # any backend's own
            with suppress(TypeError):  # a logger that can't be remembered is asked again
                _handed.note_refusal(logger)
            problems.append(f"{type(logger).__name__} did not take the config ({type(error).__name__}: {error})")
    return problems


def _hand(logger: Any, ours: dict[str, Any], trainer: Any, model: Any, composed: str) -> None:
    """Hand the config over; each backend's module is imported where a logger of its kind is there."""
    kind = kind_of(logger)
    if kind == "TensorBoardLogger":
        from lit_hydra_bridge.record.logger_tensorboard import log_to_tensorboard

        log_to_tensorboard(logger, base_class(logger), ours, composed)
    elif kind == "MLFlowLogger":
        from lit_hydra_bridge.record.logger_mlflow import log_to_mlflow

        log_to_mlflow(logger, ours, _app_hyperparameters(trainer, model), composed)
    elif kind == "WandbLogger":
        from lit_hydra_bridge.record.logger_wandb import log_to_wandb, save_text_in_wandb

        log_to_wandb(logger, ours)
        save_text_in_wandb(logger.experiment, composed)
    elif not _logged_to_csv(logger, kind, ours):
        theirs = plain_mapping(_app_hyperparameters(trainer, model))
        type(logger).log_hyperparams(logger, without(ours, theirs))


def _restore(logger: Any, ours: dict[str, Any], trainer: Any, model: Any) -> None:
    kind = kind_of(logger)
    if kind == "TensorBoardLogger":
        from lit_hydra_bridge.record.logger_tensorboard import write_waiting

        write_waiting(logger, base_class(logger))
    elif kind == "WandbLogger":
        from lit_hydra_bridge.record.logger_wandb import log_to_wandb

        log_to_wandb(logger, ours)
    elif kind != "MLFlowLogger" and not _logged_to_csv(logger, kind, ours):
        theirs = plain_mapping(_app_hyperparameters(trainer, model))
        shared = {
            key: merged(value, theirs[key])
            for key, value in ours.items()
            if isinstance(value, dict) and isinstance(theirs.get(key), dict)
        }
        if shared:
            type(logger).log_hyperparams(logger, shared)


def _logged_to_csv(logger: Any, kind: str, ours: dict[str, Any]) -> bool:
    if kind != "CSVLogger":
        return False
    from lit_hydra_bridge.record.logger_csv import has_csv_writer, log_to_csv

    if not has_csv_writer(logger):
        return False
    log_to_csv(logger, ours)
    return True


def _payload(config: ComposedConfig, hydra: HydraJob, run_id: str) -> dict[str, Any]:
    facts: dict[str, Any] = {"run_id": run_id}
    if hydra:
        facts |= {
            "job_name": hydra.job_name,
            "job_num": hydra.job_num,
            "job_id": hydra.job_id,
            "mode": hydra.mode,
            "config_name": hydra.config_name,
            "overrides": list(hydra.overrides),
            "output_dir": hydra.output_dir,
            "sweep_dir": hydra.sweep_dir,
        }
    return {**text_keys(config.resolved), "hydra": facts}


def _app_hyperparameters(trainer: Any, model: Any) -> Any:
    """What Lightning is going to log by itself, as `_log_hyperparams` of its loggers puts it together."""
    if not getattr(trainer, "enable_autolog_hparams", True):
        return {}
    found = [
        owner.hparams_initial
        for owner in (model, getattr(trainer, "datamodule", None))
        if owner is not None and getattr(owner, "_log_hyperparams", False)
    ]
    return found[0] if len(found) == 1 else {key: value for part in found for key, value in part.items()}


def _property(logger: Any, name: str) -> Any:
    try:
        return getattr(logger, name, None)
    except Exception:  # a logger's property may ask a server
        return None


def _text(value: object) -> str | None:
    return None if value is None else str(value)
