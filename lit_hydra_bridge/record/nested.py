"""Nested mappings, as loggers take them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lit_hydra_bridge.hydra_text import escape_interpolations


def merged(ours: Mapping[str, Any], theirs: Mapping[Any, Any]) -> dict[str, Any]:
    """Both, and `theirs` wherever both say something."""
    result = dict(ours)
    for key, value in theirs.items():
        mine = result.get(key)
        result[key] = merged(mine, value) if isinstance(mine, dict) and isinstance(value, Mapping) else value
    return result


def without(ours: Mapping[str, Any], theirs: Mapping[Any, Any]) -> dict[str, Any]:
    """Ours, less every value that `theirs` has as well."""
    result = {}
    for key, value in ours.items():
        if key not in theirs:
            result[key] = value
        elif isinstance(value, dict) and isinstance(theirs[key], Mapping):
            result[key] = without(value, theirs[key])
    return result


def flat(value: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}, "c": [{"d": 2}]}` -> `{"a/b": 1, "c/0/d": 2}`, as Lightning's loggers name nested keys."""
    result: dict[str, Any] = {}
    for key, item in value.items():
        name = f"{prefix}{key}"
        if isinstance(item, Mapping) and item:
            result |= flat(item, f"{name}/")
        elif isinstance(item, list) and item and all(isinstance(part, Mapping) for part in item):
            result |= flat(dict(enumerate(item)), f"{name}/")
        else:
            result[name] = item
    return result


def text_keys(value: Any) -> Any:
    """The same with every key as text."""
    if isinstance(value, dict):
        return {str(key): text_keys(item) for key, item in value.items()}
    return [text_keys(item) for item in value] if isinstance(value, list) else value


def plain_mapping(value: Any) -> dict[str, Any]:
    """Mappings as dicts all the way down, leaves as they are; nothing is resolved. Empty for what is no mapping."""
    if is_omegaconf(value):
        from omegaconf import OmegaConf

        value = OmegaConf.to_container(value, resolve=False)
    if not isinstance(value, Mapping):
        return {}
    return {
        str(key): plain_mapping(item) if isinstance(item, Mapping) or is_omegaconf_mapping(item) else item
        for key, item in value.items()
    }


def is_omegaconf(value: object) -> bool:
    """Tell whether a value is one of omegaconf's containers."""
    return type(value).__module__.startswith("omegaconf.")


def is_omegaconf_mapping(value: object) -> bool:
    """Tell whether a value is a DictConfig."""
    return is_omegaconf(value) and isinstance(value, Mapping)


def escaped(value: Any) -> Any:
    """The same for omegaconf to read as it is: no text in it is an interpolation."""
    return _each_text(value, escape_interpolations)


def readable_by_omegaconf(value: Any) -> Any:
    """The same, with text escaped that omegaconf can't parse: Lightning writes `hparams.yaml` through omegaconf."""
    return _each_text(value, _parsable)


def shown_empty(value: Any) -> Any:
    """Empty mappings and lists as the text `{}` and `[]`: Lightning's flattening drops them."""
    if isinstance(value, dict):
        return {key: shown_empty(item) for key, item in value.items()} or "{}"
    return "[]" if value == [] else value


def _each_text(value: Any, change: Any) -> Any:
    if isinstance(value, dict):
        return {key: _each_text(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [_each_text(item, change) for item in value]
    return change(value) if isinstance(value, str) and "${" in value else value


def _parsable(text: str) -> str:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        OmegaConf.create({"text": text})
    except OmegaConfBaseException:
        return escape_interpolations(text)
    return text
