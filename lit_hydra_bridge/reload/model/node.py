"""A record's config node -> the model that Hydra builds of it.

The config is the recorded one, whole, so that interpolations find what they refer to. A reference (`${model.lr}`)
stays alive: it follows an override. A resolver's call (`${oc.env:SIZE}`, `${hydra:job.num}`) is not made again, here
and now, but has the value that it had in the run; unless that was a secret, or was not the same twice.
"""

from __future__ import annotations

import enum
import functools
import inspect
import pathlib
import re
import warnings
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Final

from lit_hydra_bridge.errors import ModelError
from lit_hydra_bridge.record.run_record import REDACTED, TARGETS
from lit_hydra_bridge.reload.config import as_omegaconf_content, config_of, select
from lit_hydra_bridge.reload.model.hyperparameters import Hyperparameters, placeholder_in
from lit_hydra_bridge.reload.weights import Placeholder, brief
from lit_hydra_bridge.reload.yaml_text import bounded_resolving

if TYPE_CHECKING:
    from lit_hydra_bridge.record.run_record import RunRecord
    from lit_hydra_bridge.reload.model.classes import ClassFinder

_RESOLVER_CALL: Final = re.compile(r"\$\{\s*[A-Za-z_][\w.]*\s*:")
_ABSENT: Final = object()
# Names that `instantiate` has for itself.
_NOT_BY_KEYWORD: Final = ("config", "isolate")


class ModelNode:
    """The config node that a model is built of.

    Args:
        record: the run's record.
        key: the node's dotted key.
        place: what an error calls the checkpoint.

    Raises:
        ConfigKeyError: there is no such node.
        ModelError: it has no `_target_`.
    """

    def __init__(self, record: RunRecord, key: str, place: str) -> None:
        self.recorded = select(record.config.resolved, key)
        self._record, self._key, self._place = record, key, place
        self.name = f"{key!r} in the recorded config" if key else "the recorded config"
        target = _target_of(self.recorded)
        if not isinstance(target, str):
            raise ModelError(f"{place}: {self.name} has no _target_, so no model is built of it")
        self.target: str = target

    def arguments_of(self, hyper: Hyperparameters, target: Any, passed: Collection[str] = ()) -> dict[str, Any]:
        """Return the arguments that the task itself gave the model, beside the config or instead of its values.

        The checkpoint's hyperparameters tell them: they are what the class was called with.

        Args:
            hyper: the hyperparameters.
            target: the class.
            passed: names of arguments that are known anyway.

        Raises:
            ModelError: a mapping has keys of an Enum that is not imported, and the config has their names alone.
        """
        if hyper.name != "kwargs" or not isinstance(hyper.content, dict) or not isinstance(target, type):
            return {}
        names, takes_any = parameters_of(target)
        for name, value in hyper.content.items():
            recorded = self.recorded.get(name)
            is_mapping = isinstance(recorded, dict) and _target_of(recorded) is None
            if is_mapping and isinstance(value, Placeholder) and name not in passed:
                raise self._no_value((str(name),), f"has keys of {value.stands_for}, which is not imported")
        return {
            name: value
            for name, value in hyper.content.items()
            if (takes_any or name in names)
            and placeholder_in(value) is None
            and (name not in self.recorded or _was_another(self.recorded[name], value) or _has_enum_keys(value))
        }

    def build(self, given: dict[str, Any], finder: ClassFinder, model_class: Any, settings: dict[str, Any]) -> Any:
        """Return what Hydra builds of the node.

        Args:
            given: arguments that win over the node's.
            finder: finds classes of the training script.
            model_class: a class in place of the node's `_target_`; None for that.
            settings: more for `hydra.utils.instantiate`.

        Raises:
            ModelError: an argument has no value here, or what is called raises.
        """
        from hydra.utils import instantiate

        node = self._node(given, finder, model_class)
        try:
            with bounded_resolving():
                self._check(node, given, ())
        except ValueError as error:
            raise ModelError(f"{self._place}: {self.name} can't be built: {error}") from None
        if self.recorded.get("_partial_"):
            settings = {**settings, "_partial_": False}
        if node.get("_zen_partial"):
            node["_zen_partial"] = False
        for name in _NOT_BY_KEYWORD:
            if name in given:
                node[name] = given[name]
        for name in given:
            if _has_enum_keys(given[name]):  # Hydra would merge it into the mapping with the names as keys
                node.pop(name, None)
        given = {name: value for name, value in given.items() if name not in _NOT_BY_KEYWORD}
        try:
            with warnings.catch_warnings():
                # Hydra 1.4 asks for a whitelist of whoever has given none: load_model's caller, who knows.
                warnings.filterwarnings("ignore", r"hydra\.utils\.instantiate\(\) resolved")
                return instantiate(node, **given, **settings)
        except Exception as error:  # Hydra's, or whatever the model's own code raises
            raise ModelError(
                f"{self._place}: {self.name} can't be built: {_reason(error)}. An argument can "
                "be passed: load_model(path, name=...)"
            ) from error

    def _node(self, given: dict[str, Any], finder: ClassFinder, model_class: Any) -> Any:
        from omegaconf import DictConfig, OmegaConf

        needed = {name: value for name, value in self.recorded.items() if name not in given}
        if model_class is not None:
            needed = {name: value for name, value in needed.items() if name not in TARGETS}
        here = {name: finder.name_here(name) for name in sorted(_targets(needed))}
        config = OmegaConf.create(_with_targets(self._content(), here), flags={"allow_objects": True})
        node = OmegaConf.select(config, self._key) if self._key else config
        if not isinstance(node, DictConfig):
            raise ModelError(f"{self._place}: {self.name} is no mapping in its text")
        if model_class is not None:
            node["_target_"] = _without_zen(model_class, self.recorded.get("_zen_exclude"))
        return node

    def _content(self) -> Any:
        from omegaconf import OmegaConf

        composed = OmegaConf.to_container(config_of(self._record, False, self._place), resolve=False)
        secret = self._record.config.redacted

        def settled(value: Any, then: Any, path: str) -> Any:
            if isinstance(value, dict):
                below = then if isinstance(then, dict) else {}
                return {key: settled(item, below.get(key, _ABSENT), _join(path, key)) for key, item in value.items()}
            if isinstance(value, list):
                items = then if isinstance(then, list) and len(then) == len(value) else [_ABSENT] * len(value)
                return [settled(item, items[i], _join(path, i)) for i, item in enumerate(value)]
            if then is _ABSENT or not isinstance(value, str) or not _RESOLVER_CALL.search(value):
                return value
            return value if any(key == path or key.startswith(f"{path}.") for key in secret) else then

        return settled(composed, as_omegaconf_content(self._record), "")

    def _check(self, node: Any, given: Any, path: tuple[str, ...]) -> None:
        """Refuse a node with an argument that has no value here, or was a secret."""
        from omegaconf import DictConfig, OmegaConf
        from omegaconf.errors import OmegaConfBaseException

        for name in node:
            inner = (*path, str(name))
            if name in given:
                if isinstance(given[name], dict) and isinstance(node._get_node(name), DictConfig):
                    self._check(node[name], given[name], inner)
                continue
            try:
                value = node[name]
                value = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
            except OmegaConfBaseException as error:
                if self.recorded.get("_partial_") and OmegaConf.is_missing(node, name):
                    continue
                raise self._no_value(inner, f"has no value here: {brief(error)}") from error
            if (where := _redacted_in(value, inner)) is not None:
                raise self._no_value(where, "was a secret, and is not in the record")

    def _no_value(self, path: tuple[str, ...], problem: str) -> ModelError:
        argument = "".join(f"{{{name!r}: " for name in path[1:]) + "..." + "}" * (len(path) - 1)
        key = ".".join([self._key, *path] if self._key else path)
        return ModelError(f"{self._place}: {key!r} {problem}; pass it: load_model(path, {path[0]}={argument})")


def _target_of(node: Any) -> Any:
    """Return the name of what is built of a node: hydra-zen's `_target_` only wraps it."""
    return node.get("_zen_target", node.get("_target_")) if isinstance(node, dict) else None


def _without_zen(model_class: Any, excluded: Any) -> Any:
    """Return the class such that hydra-zen's own arguments, and those that it would leave out, don't reach it."""
    if excluded is None:
        return model_class

    @functools.wraps(model_class, updated=())
    def build(*args: Any, **kwargs: Any) -> Any:
        kept = {name: kwargs[name] for name in kwargs if name not in excluded and not name.startswith("_zen_")}
        return model_class(*args, **kept)

    return build


def _has_enum_keys(value: Any) -> bool:
    """The config's text has the names of such keys alone."""
    if not hasattr(value, "keys"):
        return False
    return any(isinstance(key, enum.Enum) or _has_enum_keys(value[key]) for key in value)


def parameters_of(target: Any) -> tuple[dict[str, inspect.Parameter], bool]:
    """Return what a class or function takes by name, and whether it takes any name."""
    try:
        parameters = inspect.signature(target).parameters
    except (TypeError, ValueError):  # written in C
        return {}, True
    by_name = {
        name: parameter
        for name, parameter in parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    return by_name, any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())


def missing_arguments(target: Any, given: Any) -> list[str]:
    """Return the names of arguments that a class needs and that are not in `given`."""
    return [
        name
        for name, parameter in parameters_of(target)[0].items()
        if parameter.default is parameter.empty and name not in given
    ]


def _was_another(recorded: Any, value: Any) -> bool:
    """Tell whether an argument differs from its config's value: by the task's own hand, or as an Enum's member."""
    if isinstance(recorded, dict | list) or not _is_leaf(value):
        return False
    return type(recorded) is not type(value) or recorded != value


def _is_leaf(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str | bytes | enum.Enum | pathlib.PurePath)


def _targets(value: Any) -> set[str]:
    """All targets in a plain config."""
    if isinstance(value, dict):
        own = {target for name in TARGETS if isinstance(target := value.get(name), str)}
        return functools.reduce(set.union, map(_targets, value.values()), own)
    return functools.reduce(set.union, map(_targets, value), set()) if isinstance(value, list) else set()


def _with_targets(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {
            key: names.get(item, item) if key in TARGETS and isinstance(item, str) else _with_targets(item, names)
            for key, item in value.items()
        }
    return [_with_targets(item, names) for item in value] if isinstance(value, list) else value


def _redacted_in(value: Any, path: tuple[str, ...]) -> tuple[str, ...] | None:
    if isinstance(value, dict):
        children = [(str(key), item) for key, item in value.items()]
    elif isinstance(value, list | tuple):
        children = [(str(i), item) for i, item in enumerate(value)]
    else:
        return path if isinstance(value, str) and REDACTED in value else None
    return next((found for key, item in children if (found := _redacted_in(item, (*path, key))) is not None), None)


def _join(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)


def _reason(error: BaseException) -> str:
    """Hydra wraps what is raised, and says less than the cause."""
    while error.__cause__ is not None and type(error).__name__ == "InstantiationException":
        error = error.__cause__
    return brief(error)
