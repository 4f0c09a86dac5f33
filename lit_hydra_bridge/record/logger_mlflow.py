"""The config in MLflow: parameters for searching, an artifact for reading.

A parameter can't be changed once it is there. So ours keep clear of what the app has logged and of what Lightning is
about to log for it; and where the app logs a parameter of ours with another value later, by whatever way, its value
becomes a tag instead of an error that would not be there without us. The same holds for all parameters of an MLflow run
that goes on in a new process: there the values that have changed since, ours and the app's, become tags.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lit_hydra_bridge.record.nested import flat, plain_mapping

CUT: Final = " …[cut]"
_MAX_KEY: Final = 250
_MAX_PER_CALL: Final = 100
_LIGHTNING_CUTS_AT: Final = 250  # MLFlowLogger does so without a word
_NOT_IN_KEYS: Final = re.compile(r"[^/\w.\- :]")
_RUN_ID: Final = "hydra/run_id"
_MARK: Final = "__lit_hydra_bridge__"


@dataclass(frozen=True)
class _Parameters:
    """What must not be logged with another value to one MLflow run."""

    values: dict[str, str]
    in_files: bool
    """MLflow's file store keeps `model` as a file and `model/lr` in a folder, so it can't have both."""

    def refuses(self, key: str, value: str) -> bool:
        """Tell whether MLflow could not take this beside ours."""
        mine = self.values.get(key)
        if mine is None:
            return self.in_files and _clashes_in_files(key, self.values)
        cut_by_lightning = len(value) == _LIGHTNING_CUTS_AT and mine.startswith(value)
        return value != mine and not cut_by_lightning


_ours: dict[str, _Parameters] = {}


def guard_earlier_parameters(logger: Any) -> None:
    """Where a logger goes on with an MLflow run, let what that has already be logged again with other values."""
    run, client = logger._run_id, logger._mlflow_client
    if run is not None and run not in _ours:
        _guard(client, run, client.get_run(run).data.params, _is_file_store(logger))


def _guard(client: Any, run: str, values: Mapping[str, str], in_files: bool) -> None:
    earlier = _ours[run].values if run in _ours else {}
    _ours[run] = _Parameters({**earlier, **values}, in_files)
    _install(type(client))


def log_to_mlflow(logger: Any, ours: Mapping[str, Any], theirs: Any, composed: str) -> None:
    """Log our parameters, all but those that the app has or is about to log, and the config as an artifact."""
    client, run = logger.experiment, logger.run_id
    in_files = _is_file_store(logger)
    there, apps = client.get_run(run).data.params, flat(plain_mapping(theirs))
    taken = {*there, *apps}
    values: dict[str, str] = {}
    parameters = _parameters(ours)
    if there.get(_RUN_ID, parameters[_RUN_ID]) != parameters[_RUN_ID]:  # an earlier run of the app began it
        _guard(client, run, there, in_files)
        _tag_changed(client, run, {key: value for key, value in parameters.items() if key not in apps})
    for key, value in parameters.items():
        if key not in taken and not (in_files and (_clashes_in_files(key, taken) or _clashes_in_files(key, values))):
            values[key] = value
    _guard(client, run, values, in_files)
    _log(client, run, values)
    client.log_text(run, composed, "hydra/config.yaml")


def _log(client: Any, run: str, values: Mapping[str, str]) -> None:
    from mlflow.entities import Param

    params = [Param(key, value) for key, value in values.items()]
    for start in range(0, len(params), _MAX_PER_CALL):
        client.log_batch(run, params=params[start : start + _MAX_PER_CALL])


def _tag_changed(client: Any, run: str, values: Mapping[str, str]) -> None:
    from mlflow.entities import RunTag

    there = _ours[run].values
    tags = [RunTag(key, value) for key, value in values.items() if key in there and _differs(value, there[key])]
    for start in range(0, len(tags), _MAX_PER_CALL):
        client.log_batch(run, tags=tags[start : start + _MAX_PER_CALL])


def _differs(value: str, there: str) -> bool:
    return value != there and not (len(there) == _LIGHTNING_CUTS_AT and value.startswith(there))


def _parameters(ours: Mapping[str, Any]) -> dict[str, str]:
    limit = _max_value()
    parameters: dict[str, str] = {}
    for key, value in flat(ours).items():
        name = unique = mlflow_key(key)
        count = 1
        while unique in parameters:  # two keys may differ in nothing but characters that MLflow refuses
            count += 1
            unique = f"{name[: _MAX_KEY - 5]}_{count}"
        if unique:
            parameters[unique] = cut(str(value), limit)
    return parameters


def mlflow_key(key: str) -> str:
    """MLflow takes few characters in a key, and none that are not a normal relative path."""
    parts = [part for part in _NOT_IN_KEYS.sub("_", key).split("/") if part not in ("", ".", "..")]
    name = "/".join(parts)[:_MAX_KEY].rstrip("/.")
    return f"_{name[2:]}" if name.startswith("..") else name


def cut(text: str, limit: int) -> str:
    """At most `limit` characters, with a marker where some are missing."""
    return text if len(text) <= limit else text[: limit - len(CUT)] + CUT


def _max_value() -> int:
    try:
        from mlflow.utils.validation import MAX_PARAM_VAL_LENGTH
    except ImportError:
        return _LIGHTNING_CUTS_AT
    return int(MAX_PARAM_VAL_LENGTH)


def _is_file_store(logger: Any) -> bool:
    uri = str(getattr(logger, "_tracking_uri", ""))
    return "://" not in uri or uri.startswith("file:")


def _clashes_in_files(key: str, others: Collection[str]) -> bool:
    """Tell whether a key would be a folder where another is a file, or the other way round."""
    parts = key.split("/")
    above = ("/".join(parts[:end]) for end in range(1, len(parts)))
    return any(name in others for name in above) or any(other.startswith(f"{key}/") for other in others)


# --- what the app logs later: its loggers, its own client and mlflow's functions all pass here ------------


def _install(client_class: Any) -> None:
    for name, wrapper in (("log_batch", _guarding_batch), ("log_param", _guarding_param)):
        original = getattr(client_class, name)
        if not hasattr(original, _MARK):
            wrapped = functools.wraps(original)(wrapper(original))
            setattr(wrapped, _MARK, True)
            setattr(client_class, name, wrapped)


def _guarding_batch(original: Callable[..., Any]) -> Callable[..., Any]:
    def log_batch(
        self: Any,
        run_id: str,
        metrics: Sequence[Any] = (),
        params: Sequence[Any] = (),
        tags: Sequence[Any] = (),
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        ours = _ours.get(run_id)
        if params and ours is not None:
            refused = [param for param in params if ours.refuses(param.key, str(param.value))]
            if refused:
                from mlflow.entities import RunTag

                _warn([param.key for param in refused])
                params = [param for param in params if param not in refused]
                tags = [*tags, *(RunTag(param.key, str(param.value)) for param in refused)]
            # A value that Lightning has cut is the value that is there.
            params = [param for param in params if param.key not in ours.values or _same(param, ours)]
        return original(self, run_id, metrics, params, tags, *args, **kwargs)

    return log_batch


def _guarding_param(original: Callable[..., Any]) -> Callable[..., Any]:
    def log_param(self: Any, run_id: str, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        ours = _ours.get(run_id)
        if ours is not None and ours.refuses(key, str(value)):
            _warn([key])
            self.set_tag(run_id, key, value)
            return value
        return original(self, run_id, key, value, *args, **kwargs)

    return log_param


def _same(param: Any, ours: _Parameters) -> bool:
    return str(param.value) == ours.values[param.key]


def _warn(keys: Sequence[str]) -> None:
    from lit_hydra_bridge.record.warning import warn

    warn(f"MLflow can't change the parameters {', '.join(sorted(keys))}; their new values are logged as tags")
