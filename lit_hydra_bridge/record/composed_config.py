"""A DictConfig as Hydra composed it -> plain data: its text, and its values node by node.

Apps register resolvers that are random, that make folders, that exist only inside the job. So a custom
resolver's node is evaluated on two separate copies, and its value is kept only where both agree; whatever
can't be evaluated keeps its text. The app's own config object is never touched.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from lit_hydra_bridge.hydra_text import yaml_text
from lit_hydra_bridge.record.config_walk import MAX_DEPTH, Path, Trouble, Walk, dotted, redacted_leaf
from lit_hydra_bridge.record.interpolation import BUILTIN_RESOLVERS, InterpolationTexts
from lit_hydra_bridge.record.plain import escaped_unless_text, plain_key, plain_leaf
from lit_hydra_bridge.record.random_state import random_state_kept
from lit_hydra_bridge.record.redaction import REDACTED, Redactor, hides, redact_env_defaults
from lit_hydra_bridge.record.run_record import ComposedConfig


@dataclass(frozen=True)
class ConfigReading:
    """A config as plain data, secrets redacted."""

    composed: dict[Any, Any]
    """With its interpolations as text."""
    resolved: dict[Any, Any]
    unresolved: list[str] = field(default_factory=list)
    redacted: list[str] = field(default_factory=list)

    def composed_config(self) -> ComposedConfig:
        """Return it as a record holds it; writing YAML is the slow half of reading a config."""
        return ComposedConfig(
            composed=yaml_text(self.composed),
            resolved=self.resolved,
            unresolved=self.unresolved,
            redacted=self.redacted,
        )


def read_config(config: Any, redactor: Redactor, *, custom_resolvers: bool = True) -> tuple[ConfigReading, list[str]]:
    """Turn a config into plain data without its secrets.

    Args:
        config: a DictConfig; a `hydra` node in it is left out.
        redactor: learns the secrets found here, so that they are found elsewhere as well.
        custom_resolvers: False keeps the text of every node that needs one of the app's own resolvers.

    Returns:
        The config, and a list of what is missing from it, one sentence each.
    """
    try:
        with random_state_kept():
            return _read_config(config, redactor, custom_resolvers=custom_resolvers)
    except RecursionError:
        return ConfigReading({}, {}), ["config: nested too deeply to be recorded"]


def _read_config(config: Any, redactor: Redactor, *, custom_resolvers: bool) -> tuple[ConfigReading, list[str]]:
    from omegaconf import OmegaConf

    raw = OmegaConf.to_container(config, resolve=False, throw_on_missing=False, enum_to_str=True)
    raw = {key: value for key, value in raw.items() if key != "hydra"} if isinstance(raw, dict) else {}
    trouble = Trouble()
    # First, because it learns all secrets that stand in the config, wherever the walk may meet them.
    composed = _Composed(redactor, trouble).value(raw, ())
    texts = InterpolationTexts(raw)
    first = _copy_without_hydra(config, raw)
    second = _copy_without_hydra(config, raw) if texts.has_custom and custom_resolvers else first
    walk = Walk(texts, redactor, trouble, evaluate_custom=custom_resolvers)
    resolved = {} if config._is_none() else walk.value(first, second, (), secret=False)
    # Leaf by leaf, and not in the finished YAML: a marker in the wrong place makes it another document.
    composed, resolved = redactor.data(composed), redactor.data(resolved)
    return (
        ConfigReading(
            composed=composed,
            resolved=resolved,
            unresolved=list(dict.fromkeys(walk.unresolved)),
            redacted=list(dict.fromkeys([*walk.redacted, *_redacted_keys(resolved, ())])),
        ),
        _sentences(trouble),
    )


def as_config(config: Any) -> Any:
    """Return a DictConfig for a DictConfig, a dict, YAML text, or a structured config.

    Raises:
        TypeError: `config` is none of these.
    """
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if isinstance(config, DictConfig):
        return config
    try:
        created = OmegaConf.create(config)
    except OmegaConfBaseException:
        created = None
    if not isinstance(created, DictConfig) or created._is_none():
        raise TypeError(f"expected a DictConfig, a dict or a structured config, and got {type(config).__name__}")
    return created


def _copy_without_hydra(config: Any, raw: dict[Any, Any]) -> Any:
    from omegaconf import AnyNode, OmegaConf, open_dict, read_write

    # The app's own objects are shared and not copied: copying may fail, or cost a model's memory.
    memo: dict[int, Any] = {id(leaf): leaf for leaf in _objects(raw)}
    if has_hydra := not config._is_none() and "hydra" in config:
        # Larger than most apps' own config, and deleted at once: an empty node takes its place in the copy.
        memo[id(config._get_node("hydra"))] = AnyNode(None)
    # Copies whose evaluation we compare must not share what a caching resolver answered before, except for
    # Hydra's own `now`, whose one answer per job is the point of it.
    cache = OmegaConf.get_cache(config)
    memo[id(cache)] = defaultdict(dict, {name: dict(cache[name]) for name in BUILTIN_RESOLVERS & cache.keys()})
    duplicate = copy.deepcopy(config, memo)
    if has_hydra:
        with read_write(duplicate), open_dict(duplicate):
            del duplicate["hydra"]
    return duplicate


def _objects(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in _objects(item)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in _objects(item)]
    return [] if value is None or isinstance(value, str | int | float | bytes) else [value]


def _redacted_keys(value: Any, path: Path) -> Iterator[str]:
    """Give the dotted keys of the values in which something was hidden."""
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _redacted_keys(item, (*path, key))
    elif isinstance(value, str) and REDACTED in value:
        yield dotted(path)


def _sentences(trouble: Trouble) -> list[str]:
    result = []
    if trouble.unresolvable:
        result.append(f"config: no value for {_some(trouble.unresolvable)}; the text is kept")
    if trouble.objects:
        result.append(f"config: not plain data at {_some(trouble.objects)}; the text is kept")
    return result


def _some(items: list[str]) -> str:
    unique = list(dict.fromkeys(items))
    more = f" and {len(unique) - 5} more" if len(unique) > 5 else ""
    return ", ".join(unique[:5]) + more


class _Composed:
    """Unresolved containers -> plain and redacted ones."""

    def __init__(self, redactor: Redactor, trouble: Trouble) -> None:
        self._redactor = redactor
        self._trouble = trouble

    def value(self, value: Any, path: Path) -> Any:
        if len(path) > MAX_DEPTH:
            raise RecursionError
        if isinstance(value, dict):
            return {plain_key(key): self.value(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item, (*path, i)) for i, item in enumerate(value)]
        if hides(path, value):
            return redacted_leaf(value, self._redactor)
        plain, ok = plain_leaf(value)
        if not ok:
            self._trouble.objects.append(dotted(path))
        plain = escaped_unless_text(value, plain)
        return redact_env_defaults(plain) if isinstance(plain, str) else plain
