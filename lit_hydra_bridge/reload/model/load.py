"""A checkpoint -> its model, built as its run built it, with its weights."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lit_hydra_bridge.errors import ModelError, NoRecordError
from lit_hydra_bridge.reload.checkpoint import read_record
from lit_hydra_bridge.reload.model.classes import ClassFinder
from lit_hydra_bridge.reload.model.hyperparameters import Hyperparameters, hyperparameters_of, placeholder_in, put_back
from lit_hydra_bridge.reload.model.node import ModelNode, missing_arguments, parameters_of
from lit_hydra_bridge.reload.weights import MapLocation, brief, checkpoint_place, load_checkpoint, state_dict_of

if TYPE_CHECKING:
    from lit_hydra_bridge.record.run_record import RunRecord


def load_model(
    path: str | os.PathLike[str],
    /,
    *,
    map_location: MapLocation = "cpu",
    strict: bool | None = None,
    model_class: type | None = None,
    config_key: str | None = None,
    execution_whitelist: Any = None,
    **overrides: Any,
) -> Any:
    """Return the LightningModule that a checkpoint is of, built as its run built it, with the checkpoint's weights.

    It runs code that the file names, unlike all else that reads a record: load models from those only whose code you
    would run. The pickles in the file are not among it.

    The model is built of the node of the recorded config whose `_target_` is its class, by Hydra; arguments that the
    task gave beside that come from the checkpoint's hyperparameters. Without such a node the class is called with the
    hyperparameters, as Lightning does. As after `load_from_checkpoint`, the model is in training mode.

    A class is looked for on sys.path, and in the folders of the recorded script, its package, its working folder and
    its git repository, each with its `src`, as far as they are here. A class of the script itself is found in this
    process's `__main__`, or the script is imported, without running its task.

    Args:
        path: what `read_record` takes; but a sharded checkpoint has to be converted first.
        map_location: the device for the weights and the model, as `torch.load` takes it.
        strict: whether model and weights must have the same keys; None leaves it to the model's `strict_loading`.
        model_class: the class, where the recorded one has moved or can't be imported.
        config_key: the dotted key of the node to build, where it is not the recorded one; "" for the whole config.
        execution_whitelist: what Hydra 1.4 may run, as its `instantiate` takes it. With it, or with Hydra's own around
            the call, only sys.path is searched and no script is imported.
        **overrides: arguments for the model; they win over recorded ones. A dict changes a node of the config.

    Raises:
        ModelError: the class is not known or not found, an argument is missing, or the weights don't fit.
        ConfigKeyError: the recorded config has no `config_key`.
        CheckpointError: there is no checkpoint to read; see `load_checkpoint`.
    """
    settings = _whitelist_settings(execution_whitelist)
    place = checkpoint_place(path)
    record = _record_of(place, needed=model_class is None)
    key = config_key
    if key is None and record is not None and record.training is not None:
        key = record.training.model_key
    finder = ClassFinder(record, guarded=_is_guarded(execution_whitelist))
    with finder.importable():
        if key is not None and record is not None:
            node = ModelNode(record, key, place)
            target = model_class or (None if finder.guarded else finder.find(node.target))
            checkpoint, hyper = _read(place, map_location, target, finder)
            given = {**node.arguments_of(hyper, target, overrides), **overrides}
            _check_arguments(place, target, {**node.recorded, **given})
            model = node.build(given, finder, model_class, settings)
        else:
            target = model_class or _recorded_class(place, record, finder)
            checkpoint, hyper = _read(place, map_location, target, finder)
            with _naming_config_keys(record, key):
                model = _called(place, target, hyper, overrides)
        _check_is_model(place, model)
        _fill(model, checkpoint, strict, place)
    return model


def _whitelist_settings(execution_whitelist: Any) -> dict[str, Any]:
    """What a caller's whitelist is to `instantiate`; none is ever made of what a file says."""
    if execution_whitelist is None:
        return {}
    import inspect

    import hydra
    from hydra.utils import instantiate

    if "_execution_whitelist_" not in inspect.signature(instantiate).parameters:
        raise ModelError(
            f"execution_whitelist needs Hydra 1.4 or newer, and this is {hydra.__version__}, which would not hold it; "
            "leave it out to run whatever the checkpoint's config names"
        )
    return {"_execution_whitelist_": execution_whitelist}


def _is_guarded(execution_whitelist: Any) -> bool:
    """Tell whether a whitelist holds for this call: the one given, or one that the caller has set around it."""
    try:
        from hydra._internal import execution_policy as policy
    except ImportError:
        return False
    try:
        active = policy._resolve_execution_whitelist(execution_whitelist)
        return active is not None and active is not policy.UNSAFE_DISABLE_EXECUTION_CHECKS
    except AttributeError:  # another Hydra than we know: rather find less than run more
        return True


def _record_of(place: str, *, needed: bool) -> RunRecord | None:
    try:
        return read_record(place)
    except NoRecordError as error:
        if needed:
            raise ModelError(f"{error}; so its model's class is not known: pass model_class=") from None
        return None


def _recorded_class(place: str, record: RunRecord | None, finder: ClassFinder) -> Any:
    training = record.training if record is not None else None
    if training is None:
        raise ModelError(f"{place}: its record does not say which class the model has; pass model_class=")
    if finder.guarded:
        raise ModelError(
            f"{place}: the model was not built of a config node, so an execution whitelist can't decide on its class "
            f"{training.model_class}; import it yourself and pass model_class="
        )
    return finder.find(training.model_class)


def _read(
    place: str, map_location: MapLocation, target: Any, finder: ClassFinder
) -> tuple[dict[str, Any], Hyperparameters]:
    checkpoint = _migrated(load_checkpoint(place, map_location=map_location), target)
    hyper = hyperparameters_of(checkpoint, target, finder.name_here_if_loaded)
    put_back(checkpoint, target, hyper.content)
    return checkpoint, hyper


def _migrated(checkpoint: dict[str, Any], target: Any) -> dict[str, Any]:
    """Bring an old Lightning's checkpoint into today's form, by the Lightning that the model's class is of."""
    if "pytorch-lightning_version" not in checkpoint:
        return checkpoint
    from importlib import import_module

    for package in ("lightning.pytorch", "pytorch_lightning"):
        if any(base.__module__.startswith(f"{package}.") for base in getattr(target, "__mro__", ())):
            migrated: dict[str, Any] = import_module(f"{package}.utilities.migration").migrate_checkpoint(checkpoint)[0]
            return migrated
    return checkpoint


@contextmanager
def _naming_config_keys(record: RunRecord | None, key: str | None) -> Iterator[None]:
    """Where the class can't be called as it is, a config node may build the model: by a function, or a wrapper."""
    try:
        yield
    except ModelError as error:
        found = _built_nodes(record.config.resolved) if record is not None and key is None else []
        if not found:
            raise
        listed = ", ".join(map(repr, found[:5])) + (", ..." if len(found) > 5 else "")
        raise ModelError(
            f"{error}; or, if a config node builds the model, name it: config_key= one of {listed}"
        ) from error


def _built_nodes(config: Any, path: str = "") -> list[str]:
    """Return the dotted keys of the outermost nodes that have a `_target_`, below the whole config."""
    if not isinstance(config, dict):
        return []
    if path and "_target_" in config:
        return [path]
    return [found for key, node in config.items() for found in _built_nodes(node, f"{path}.{key}".lstrip("."))]


def _called(place: str, model_class: Any, hyper: Hyperparameters, overrides: dict[str, Any]) -> Any:
    """Call a class with a checkpoint's hyperparameters, as Lightning does."""
    arguments = _arguments(place, model_class, hyper, overrides)
    for name, value in arguments.items():
        if (found := placeholder_in(value)) is not None:
            raise ModelError(
                f"{place}: the hyperparameter {name!r} holds an object of {found}, and objects are not unpickled; "
                f"pass it: load_model(path, {name}=...), or allow its class by torch.serialization.add_safe_globals"
            )
    _check_arguments(place, model_class, arguments)
    try:
        return model_class(**arguments)
    except Exception as error:  # whatever the model's own code raises
        raise ModelError(
            f"{place}: {model_class.__qualname__} can't be built of the checkpoint's hyperparameters: {brief(error)}. "
            "An argument can be passed: load_model(path, name=...)"
        ) from error


def _arguments(place: str, model_class: Any, hyper: Hyperparameters, overrides: dict[str, Any]) -> dict[str, Any]:
    names, takes_any = parameters_of(model_class)
    content = hyper.content
    if "_instantiator" in content:
        raise ModelError(f"{place}: the model was made by LightningCLI; use its class's load_from_checkpoint")
    own = {name: value for name, value in overrides.items() if name in names}
    other = {name: value for name, value in overrides.items() if name not in names}
    if hyper.name is not None and hyper.name in names:
        # One argument has it all, so an override that is no argument is meant for its content.
        return {hyper.name: _updated(content, other), **own}
    if other and not takes_any:
        takes = ", ".join(names) or "none"
        raise ModelError(f"{model_class.__qualname__} takes no argument {next(iter(other))!r}; it takes {takes}")
    return {**{str(name): content[name] for name in content if takes_any or name in names}, **overrides}


def _updated(content: Any, changes: dict[str, Any]) -> Any:
    if not changes:
        return content
    if isinstance(content, dict):
        return {**content, **changes}
    from omegaconf import open_dict, read_write

    with read_write(content), open_dict(content):
        for name, value in changes.items():
            content[name] = value
    return content


def _check_arguments(place: str, target: Any, given: dict[str, Any]) -> None:
    if target is None or "_args_" in given:
        return
    missing = missing_arguments(target, given)
    if missing:
        passed = ", ".join(f"{name}=..." for name in missing)
        raise ModelError(
            f"{place}: {target.__qualname__} needs {', '.join(map(repr, missing))}, and neither the recorded config "
            f"nor the hyperparameters have it; pass it: load_model(path, {passed})"
        )


def _check_is_model(place: str, model: Any) -> None:
    if not all(hasattr(model, name) for name in ("load_state_dict", "on_load_checkpoint")):
        raise ModelError(
            f"{place}: what was built is a {type(model).__qualname__}, and should be a LightningModule; say what to "
            "build with config_key= or model_class="
        )


def _fill(model: Any, checkpoint: dict[str, Any], strict: bool | None, place: str) -> None:
    """Load the weights, with the hooks that Lightning calls before."""
    weights = state_dict_of(checkpoint, place)
    if hasattr(model, "configure_model"):
        model.configure_model()
    model.on_load_checkpoint(checkpoint)
    strict = bool(getattr(model, "strict_loading", True)) if strict is None else strict
    try:
        keys = model.load_state_dict(weights, strict=strict)
    except RuntimeError as error:
        raise ModelError(
            f"{place}: the weights don't fit the {type(model).__qualname__} that was built: {brief(error, 600)}. Has "
            "its code changed since? An argument can be passed: load_model(path, name=...)"
        ) from error
    for what, names in (("missing in the checkpoint", keys.missing_keys), ("not in the model", keys.unexpected_keys)):
        if names:
            warnings.warn(f"{place}: weights {what}: {', '.join(names)}", stacklevel=3)
    device = next((tensor.device for tensor in weights.values() if hasattr(tensor, "device")), None)
    if device is not None:
        model.to(device)
