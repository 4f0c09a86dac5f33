"""When two jobs are the same job, and two configs the same config.

A job is known by its overrides as Hydra reads them, so neither their order nor their quoting counts; its number does
not. A config is compared as it was composed, with its interpolations, and without Hydra's own node.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final

from lit_hydra_bridge.record.redaction import process_redactor
from lit_hydra_bridge.text import one_line

_LONGEST_VALUE: Final = 60
_ABSENT: Final = object()


def job_key(overrides: Iterable[str]) -> tuple[str, ...]:
    """Return the same for the same overrides, in whatever order and quotes they are written."""
    # Of two that change the same key the later one counts, and sorting keeps their order.
    return tuple(key + value for key, value in sorted(map(_read, overrides), key=lambda pair: pair[0]))


@functools.lru_cache(maxsize=1 << 15)
def _read(override: str) -> tuple[str, str]:
    try:
        from hydra.core.override_parser.overrides_parser import OverridesParser

        parsed = OverridesParser.create().parse_override(override)
        return f"{parsed.get_key_element()}=", json.dumps(_plain_value(parsed._value), default=repr)
    except Exception:  # Hydra can't read it, or this Hydra works otherwise
        return override, ""


def _plain_value(value: Any) -> Any:
    """Return an override's value without its quotes; of a sweep over several, all that says which."""
    from hydra.core.override_parser.types import QuotedString

    if isinstance(value, QuotedString):
        return value.text
    if is_dataclass(value):
        names = [field.name for field in fields(value) if field.name != "simple_form"]
        return {name: _plain_value(getattr(value, name)) for name in names}
    if isinstance(value, dict):
        return {str(key): _plain_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain_value(item) for item in value]
    return value


def config_id(config: Any) -> str:
    """Return what is the same for configs that are the same but for Hydra's own node."""
    text = json.dumps(_plain(config), sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _plain(node: Any) -> Any:
    """Return a config as plain data: omegaconf's own way takes ten times as long, and ten thousand jobs are many."""
    from omegaconf import Node, OmegaConf

    try:
        value = node.__dict__["_content" if "_content" in node.__dict__ else "_val"]
    except (AttributeError, KeyError):  # a newer omegaconf
        return OmegaConf.to_container(node, resolve=False) if OmegaConf.is_config(node) else node
    is_root = node._get_parent() is None
    if isinstance(value, dict):
        return {_text(key): _plain(item) for key, item in value.items() if not (is_root and key == "hydra")}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, Node):
        return _plain(value)
    return value.name if isinstance(value, Enum) else value


def _text(key: Any) -> str:
    return key.name if isinstance(key, Enum) else str(key)


def config_changes(job: Path, config: Any, given: Sequence[str | None] = ()) -> tuple[str, ...]:
    """Return what has changed since a job was run, as `key: old -> new`; nothing where that can't be told.

    Args:
        job: its folder, in which Hydra has saved the config.
        config: the job's today.
        given: the checkpoints that it was told to go on from, which are no part of the config.
    """
    from omegaconf import OmegaConf

    from lit_hydra_bridge.sweep.frozen_config import calls_resolver

    old: dict[str, Any] = {}
    with suppress(Exception):  # not saved, or damaged
        old = dict(_leaves(_plain(OmegaConf.load(job / str(config.hydra.output_subdir) / "config.yaml"))))
    if not old:
        return ()
    new = dict(_leaves(_plain(config)))
    return tuple(
        f"{key}: {_shown(key, old.get(key, _ABSENT))} -> {_shown(key, new.get(key, _ABSENT))}"
        for key in dict.fromkeys([*old, *new])
        if repr(old.get(key, _ABSENT)) != repr(new.get(key, _ABSENT))
        and not (new.get(key) is None and old.get(key) in given)
        and not calls_resolver(str(new.get(key)))  # a job saves the answer
    )


def _leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict) and node:
        for key, item in node.items():
            yield from _leaves(item, f"{path}.{key}" if path else key)
    else:
        yield path, node


def _shown(key: str, value: Any) -> str:
    if value is _ABSENT:
        return "(none)"
    value = process_redactor().plain(value, tuple(key.split(".")))
    text = one_line(value if isinstance(value, str) else json.dumps(value, default=str))
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "…"
