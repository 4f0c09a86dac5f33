"""A checkpoint's record -> the config of its run."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Final

from lit_hydra_bridge.errors import ConfigKeyError, DamagedCheckpointError
from lit_hydra_bridge.reload.checkpoint import read_record
from lit_hydra_bridge.reload.yaml_text import check_config, check_yaml, load_yaml

_MAX_LISTED: Final = 30

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from lit_hydra_bridge.record.run_record import RunRecord


def load_config(path: str | os.PathLike[str], resolve: bool = False) -> DictConfig:
    """Return the config of the run that wrote a checkpoint, as Hydra composed it.

    Args:
        path: what `read_record` takes.
        resolve: False keeps the interpolations; True gives the values that they had in the run. A node that had
            no one value then, such as a random resolver's, keeps its interpolation either way.

    Raises:
        CheckpointError: there is no record to read; see `read_record`.
    """
    return config_of(read_record(path), resolve, os.fsdecode(path))


def config_of(record: RunRecord, resolve: bool, name: str = "the record") -> DictConfig:
    """Return a record's config; `name` is what an error calls the record.

    Raises:
        DamagedCheckpointError: what the record holds is not a config.
    """
    if resolve:
        content: Any = as_omegaconf_content(record, name)
    else:
        content = record.config.composed
    try:
        return config_from(content, aliases=False)
    except ValueError as error:
        raise _not_a_config(name, str(error)) from None


def config_from(content: str | dict[Any, Any], *, aliases: bool = True) -> DictConfig:
    """Return the config that YAML of unknown origin, or plain data, gives.

    Raises:
        ValueError: it gives none; in one line.
    """
    from omegaconf import DictConfig, OmegaConf

    try:
        if isinstance(content, str):
            check_yaml(content, aliases=aliases)
            if aliases and "*" in content:  # omegaconf makes copies of what they name
                check_config(load_yaml(content))
        config = OmegaConf.create(content)
    except Exception as error:  # the YAML parser's, or omegaconf's
        raise ValueError(f"{type(error).__name__}: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(config, DictConfig):
        raise ValueError(f"it is a {type(config).__name__}, and should be a mapping")
    return config


def _not_a_config(name: str, reason: str) -> DamagedCheckpointError:
    return DamagedCheckpointError(
        f"{name}: the config in the record can't be read: {reason}. It was overwritten, or written by something else"
    )


def as_omegaconf_content(record: RunRecord, name: str = "the record") -> dict[Any, Any]:
    """Return the resolved config such that omegaconf reads every settled text as itself.

    A value like `${x}` that was not an interpolation is escaped; one that still is stays.

    Raises:
        DamagedCheckpointError: it is too large for a config.
    """
    from lit_hydra_bridge.hydra_text import escape_interpolations

    try:
        check_config(record.config.resolved)
    except ValueError as error:
        raise _not_a_config(name, str(error)) from None
    unresolved = set(record.config.unresolved)

    def content(value: Any, path: str) -> Any:
        if isinstance(value, dict):
            return {key: content(item, f"{path}.{key}" if path else str(key)) for key, item in value.items()}
        if isinstance(value, list):
            return [content(item, f"{path}.{i}") for i, item in enumerate(value)]
        if isinstance(value, str) and path not in unresolved:
            return escape_interpolations(value)
        return value

    result: dict[Any, Any] = content(record.config.resolved, "")
    return result


def select(config: Any, key: str) -> Any:
    """Return one value of a plain config by its dotted name; `a.b.0`, `a.b[0]` name a list's items.

    Raises:
        ConfigKeyError: there is no such key.
    """
    node, walked = config, ""
    rest = re.sub(r"\[([^\[\]]*)\]", r".\1", key).strip(".")
    while rest:
        name, child = _child(node, rest)
        if child is _ABSENT:
            raise ConfigKeyError(f"there is no {key!r}: {_what_there_is(node, walked, rest.partition('.')[0])}")
        node, walked, rest = child, f"{walked}.{name}".lstrip("."), rest[len(name) + 1 :]
    return node


_ABSENT = object()


def _child(node: Any, rest: str) -> tuple[str, Any]:
    """Return the value whose key `rest` begins with, and that key; a key may have dots in it."""
    if isinstance(node, dict):
        found = [(str(key), value) for key, value in node.items() if f"{rest}.".startswith(f"{key}.")]
        return max(found, key=lambda item: len(item[0]), default=("", _ABSENT))
    index = rest.partition(".")[0]
    if isinstance(node, list) and re.fullmatch(r"-?[0-9]{1,9}", index) and -len(node) <= int(index) < len(node):
        return index, node[int(index)]
    return "", _ABSENT


def _what_there_is(node: Any, walked: str, missing: str) -> str:
    here = repr(walked) if walked else "the config"
    if isinstance(node, dict):
        names = [str(name) for name in node]
        listed = ", ".join(names[:_MAX_LISTED]) + (", ..." if len(names) > _MAX_LISTED else "")
        return f"{here} has no {missing!r}; it has: {listed or 'nothing'}"
    if isinstance(node, list):
        return f"{here} is a list of {len(node)}, and {missing!r} is no position in it"
    return f"{here} is {node!r}, and has no keys"
