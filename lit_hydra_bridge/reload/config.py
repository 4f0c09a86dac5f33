"""A checkpoint's record -> the config of its run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from lit_hydra_bridge.errors import ConfigKeyError
from lit_hydra_bridge.reload.checkpoint import read_record

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
    from omegaconf import DictConfig, OmegaConf

    record = read_record(path)
    content = as_omegaconf_content(record) if resolve else record.config.composed
    config = OmegaConf.create(content)
    assert isinstance(config, DictConfig)
    return config


def as_omegaconf_content(record: RunRecord) -> dict[Any, Any]:
    """Return the resolved config such that omegaconf reads every settled text as itself.

    A value like `${x}` that was not an interpolation is escaped; one that still is stays.
    """
    from lit_hydra_bridge.record.run_record import escape_interpolations

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
    node = config
    walked: list[str] = []
    for part in key.replace("[", ".").replace("]", "").split("."):
        child = _child(node, part)
        if child is _ABSENT:
            here = ".".join(walked) or "the config"
            known = ", ".join(str(name) for name in node) if isinstance(node, dict) else ""
            hint = f"; it has: {known}" if known else ""
            raise ConfigKeyError(f"there is no {key!r}: {here} has no {part!r}{hint}")
        node = child
        walked.append(part)
    return node


_ABSENT = object()


def _child(node: Any, part: str) -> Any:
    if isinstance(node, dict):
        return next((value for name, value in node.items() if str(name) == part), _ABSENT)
    if isinstance(node, list) and part.lstrip("-").isdigit() and -len(node) <= int(part) < len(node):
        return node[int(part)]
    return _ABSENT
