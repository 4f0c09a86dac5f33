"""RunRecord -> each logger.

The composed config goes to the logger under its own top-level keys, with Hydra's facts under `hydra` beside it.
What the app logs itself always wins, whatever the backend does with a key that comes twice:

    CSV, W&B      a later call replaces a whole top-level key  ->  ours first, what that lost is added again
    TensorBoard   the first summary is the one that is shown   ->  ours and the app's together, first
    MLflow        a parameter can't be changed                 ->  the app's keys are left out of ours; a later
                                                                   one that still differs becomes a tag

The logger's class is asked to log, not the object: an app that replaced `log_hyperparams` on its logger did so
for its own calls, and sees none of ours.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any, Final

from lit_hydra_bridge.record.run_record import ComposedConfig, HydraJob, LoggerRun

CUT: Final = " …[cut]"
_MLFLOW_MAX_VALUE: Final = 250  # what Lightning's MLFlowLogger cuts at, without saying so
_MLFLOW_MAX_KEY: Final = 250
_NOT_IN_MLFLOW_KEYS: Final = re.compile(r"[^/\w.\- :]")


def logger_runs(trainer: Any) -> list[LoggerRun]:
    """Return what the trainer's loggers call this run. Starts none that has not been started."""
    return [_logger_run(logger) for logger in trainer.loggers if type(logger).__name__ != "DummyLogger"]


def _logger_run(logger: Any) -> LoggerRun:
    kind = _kind(logger)
    if kind == "MLFlowLogger":  # its public properties start a run
        return LoggerRun(
            kind=kind,
            name=_text(getattr(logger, "_experiment_name", None)),
            run_id=_text(getattr(logger, "_run_id", None)),
            directory=_text(getattr(logger, "_tracking_uri", None)),
        )
    version = _text(_property(logger, "version"))
    return LoggerRun(
        kind=kind,
        name=_text(_property(logger, "name")),
        version=version,
        run_id=version if kind == "WandbLogger" else None,
        directory=_text(_property(logger, "log_dir") or _property(logger, "save_dir")),
    )


def log_config(trainer: Any, model: Any, config: ComposedConfig, hydra: HydraJob | None, run_id: str) -> list[str]:
    """Hand the config to every logger, before the app's own hyperparameters are logged.

    Returns:
        One sentence for each logger that refused.
    """
    problems = []
    ours = _payload(config, hydra, run_id)
    theirs = _app_hyperparameters(trainer, model)
    for logger in trainer.loggers:
        try:
            log = {"TensorBoardLogger": _log_tensorboard, "MLFlowLogger": _log_mlflow}.get(_kind(logger), _log_any)
            log(logger, ours, theirs, config.composed)
        except Exception as error:  # any backend's own
            problems.append(f"{type(logger).__name__} did not take the config ({type(error).__name__}: {error})")
    return problems


def log_lost_keys(trainer: Any, model: Any, config: ComposedConfig) -> None:
    """Add again what the app's own hyperparameters of the same top-level key replaced."""
    theirs = _plain_mapping(_app_hyperparameters(trainer, model))
    ours = _text_keys(config.resolved)
    shared = {
        key: _merged(ours[key], theirs[key])
        for key in ours
        if isinstance(ours[key], dict) and isinstance(theirs.get(key), dict)
    }
    for logger in trainer.loggers if shared else ():
        if _kind(logger) not in ("TensorBoardLogger", "MLFlowLogger"):
            type(logger).log_hyperparams(logger, shared)


def _log_any(logger: Any, ours: dict[str, Any], theirs: Any, _: str) -> None:
    type(logger).log_hyperparams(logger, _without(ours, _plain_mapping(theirs)))


def _log_tensorboard(logger: Any, ours: dict[str, Any], theirs: Any, composed: str) -> None:
    merged = _merged(ours, dict(theirs))
    if _is_omegaconf(theirs):
        # The logger will merge its parameters into the app's DictConfig, which would read our text anew.
        merged = _merged(_escaped(ours), _plain_mapping(theirs))
    type(logger).log_hyperparams(logger, merged)
    block = "\n".join(f"    {line}" for line in composed.splitlines())
    logger.experiment.add_text("hydra/config", block, 0)


def _log_mlflow(logger: Any, ours: dict[str, Any], theirs: Any, composed: str) -> None:
    client, run = logger.experiment, logger.run_id
    taken = {*client.get_run(run).data.params, *_flat(_plain_mapping(theirs))}
    parameters = {
        name: _cut(str(value), _MLFLOW_MAX_VALUE)
        for key, value in _flat(ours).items()
        if (name := _mlflow_key(key)) and name not in taken
    }
    type(logger).log_hyperparams(logger, parameters)
    if "log_hyperparams" not in vars(logger):
        logger.log_hyperparams = functools.partial(_log_beside_ours, logger, parameters)
    client.log_text(run, composed, "hydra/config.yaml")


def _log_beside_ours(logger: Any, ours: dict[str, str], params: Any) -> None:
    """MLflow refuses to change a parameter: where ours came first, the app's value becomes a tag."""
    flat = _flat(
        _plain_mapping(vars(params) if hasattr(params, "__dict__") and not isinstance(params, Mapping) else params)
    )
    differing = {
        key: value for key, value in flat.items() if key in ours and str(value)[:_MLFLOW_MAX_VALUE] != ours[key]
    }
    if not differing:
        type(logger).log_hyperparams(logger, params)
        return
    from lit_hydra_bridge.record.callback import warn

    warn(f"MLflow can't change the parameters {', '.join(sorted(differing))}; their new values are logged as tags")
    for key, value in differing.items():
        logger.experiment.set_tag(logger.run_id, key, value)
    type(logger).log_hyperparams(logger, {key: value for key, value in flat.items() if key not in differing})


def _payload(config: ComposedConfig, hydra: HydraJob | None, run_id: str) -> dict[str, Any]:
    facts: dict[str, Any] = {"run_id": run_id}
    if hydra is not None:
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
    return {**_text_keys(config.resolved), "hydra": facts}


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


def _plain_mapping(value: Any) -> dict[str, Any]:
    """Mappings as dicts all the way down, leaves as they are; nothing is resolved."""
    if _is_omegaconf(value):
        from omegaconf import OmegaConf

        value = OmegaConf.to_container(value, resolve=False)
    if not isinstance(value, Mapping):
        return {}
    return {
        str(key): _plain_mapping(item) if isinstance(item, Mapping) or _is_omegaconf(item) else item
        for key, item in value.items()
    }


def _is_omegaconf(value: object) -> bool:
    return type(value).__module__.startswith("omegaconf.")


def _text_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _text_keys(item) for key, item in value.items()}
    return [_text_keys(item) for item in value] if isinstance(value, list) else value


def _escaped(value: Any) -> Any:
    from lit_hydra_bridge.record.run_record import escape_interpolations

    if isinstance(value, dict):
        return {key: _escaped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    return escape_interpolations(value) if isinstance(value, str) else value


def _merged(ours: dict[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Both, and `theirs` wherever both say something."""
    result = dict(ours)
    for key, value in theirs.items():
        mine = result.get(key)
        result[key] = _merged(mine, value) if isinstance(mine, dict) and isinstance(value, Mapping) else value
    return result


def _without(ours: dict[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Ours, less every value that `theirs` has as well."""
    result = {}
    for key, value in ours.items():
        if key not in theirs:
            result[key] = value
        elif isinstance(value, dict) and isinstance(theirs[key], Mapping):
            result[key] = _without(value, theirs[key])
    return result


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` -> `{"a/b": 1}`, the way Lightning's loggers name nested keys."""
    result: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            result |= _flat(item, f"{prefix}{key}/")
        else:
            result[f"{prefix}{key}"] = item
    return result


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - len(CUT)] + CUT


def _mlflow_key(key: str) -> str:
    """MLflow takes few characters in a key, and none that are not a normal path."""
    parts = [part for part in _NOT_IN_MLFLOW_KEYS.sub("_", key).split("/") if part not in ("", ".", "..")]
    return "/".join(parts)[:_MLFLOW_MAX_KEY]


def _kind(logger: object) -> str:
    """The name of the Lightning logger that this is, or derives from."""
    for base in type(logger).__mro__:
        if ".loggers." in base.__module__ and base.__module__.split(".")[0] in (
            "lightning",
            "pytorch_lightning",
        ):
            return base.__name__
    return type(logger).__name__


def _property(logger: Any, name: str) -> Any:
    try:
        return getattr(logger, name, None)
    except Exception:  # a logger's property may ask a server
        return None


def _text(value: object) -> str | None:
    return None if value is None else str(value)
