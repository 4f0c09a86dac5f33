"""While Hydra composes a config and prepares a job, omegaconf is asked to do less.

copies    Half of what that takes goes into `copy.deepcopy` of omegaconf's nodes: each is built anew and its value
          checked, and the small record beside it is looked into. Nodes of omegaconf's own kinds are copied field
          by field, with the same result; any other is left to `copy.deepcopy`, as ever.
texts     A text with an interpolation, and an override, is parsed once for all jobs that have it.
yaml      What Hydra writes down of a job's config goes through libyaml where that gives the same text.
"""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import yaml

_VALUES: Final = (
    "AnyNode", "BooleanNode", "BytesNode", "EnumNode", "FloatNode", "IntegerNode", "PathNode", "StringNode",
)  # fmt: skip
_FIELDS: Final = {"_content", "_parent", "_metadata", "_flags_cache"}
_MOST_TEXTS: Final = 512
_MARK: Final = "__lit_hydra_bridge_quick__"
_PLAIN_KEY: Final = re.compile(r"[\w./@-]{1,100}", re.ASCII)
_PLAIN_TEXT: Final = re.compile(r"([ -~]|(?<! )\n(?! ))*")
"""libyaml escapes other characters in its own way, and folds their lines at other places."""


@contextmanager
def quick_configs() -> Iterator[None]:
    """While the block runs, copy omegaconf's nodes field by field and parse texts once; not for the app's own code."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import DictConfig, ListConfig, OmegaConf, base

    if hasattr(DictConfig.__deepcopy__, _MARK):  # a block around this one
        yield
        return
    kinds: tuple[Any, ...] = (DictConfig, ListConfig) if vars(DictConfig({})).keys() >= _FIELDS else ()
    places: list[tuple[Any, str, Any]] = [(kind, "__deepcopy__", _quick(kind, kind.__deepcopy__)) for kind in kinds]
    if hasattr(base, "parse"):
        places.append((base, "parse", parsed_once))
    if hasattr(OverridesParser, "parse_rule"):
        places.append((OverridesParser, "parse_rule", _rule_parsed_once(OverridesParser.parse_rule)))
    places.append((OmegaConf, "to_yaml", staticmethod(functools.partial(_quick_yaml, OmegaConf.to_yaml))))
    originals = [vars(place)[name] for place, name, _ in places]
    for place, name, quick in places:
        setattr(place, name, quick)
    try:
        yield
    finally:
        for (place, name, _), original in zip(places, originals, strict=True):
            setattr(place, name, original)


@functools.lru_cache(maxsize=_MOST_TEXTS)
def parsed_once(text: str) -> Any:
    """Return omegaconf's parse tree of a text, which is only ever read."""
    from omegaconf.grammar_parser import parse

    return parse(text)


def _rule_parsed_once(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return what stands in the place of Hydra's `OverridesParser.parse_rule`."""

    def parse_rule(parser: Any, text: str, rule_name: str) -> Any:
        key = (rule_name, text)
        if key not in _overrides:
            if len(_overrides) >= _MOST_TEXTS:
                del _overrides[next(iter(_overrides))]
            _overrides[key] = original(parser, text, rule_name)
        return copy.deepcopy(_overrides[key])  # Hydra writes into it

    return parse_rule


_overrides: dict[tuple[str, str], Any] = {}
"""By rule and text."""


def _quick_yaml(to_yaml: Callable[..., str], config: Any, **options: Any) -> str:
    """In the place of `OmegaConf.to_yaml`."""
    from omegaconf import OmegaConf

    dumper = _libyaml_dumper()
    if dumper is None or options or not OmegaConf.is_config(config):
        return to_yaml(config, **options)
    plain = OmegaConf.to_container(config, resolve=False, enum_to_str=True)
    if not _is_plain(plain):
        return to_yaml(config)
    return str(yaml.dump(plain, default_flow_style=False, allow_unicode=True, sort_keys=False, Dumper=dumper))


@functools.cache
def _libyaml_dumper() -> Any:
    """Return omegaconf's dumper upon libyaml; None where that is not there."""
    try:
        from omegaconf._utils import get_omega_conf_dumper

        ours: Any = get_omega_conf_dumper()
        tables = ("yaml_representers", "yaml_multi_representers", "yaml_implicit_resolvers")
        return type("LibyamlDumper", (yaml.CDumper,), {name: getattr(ours, name) for name in tables})
    except (ImportError, AttributeError):
        return None


def _is_plain(node: Any) -> bool:
    """Tell whether libyaml writes the same as PyYAML's own emitter."""
    if isinstance(node, str):
        return _PLAIN_TEXT.fullmatch(node) is not None
    if isinstance(node, dict):
        return all(isinstance(key, str) and _PLAIN_KEY.fullmatch(key) and _is_plain(node[key]) for key in node)
    if isinstance(node, list):
        return all(_is_plain(item) for item in node)
    return node is None or type(node) in (bool, int, float)


def parse_ahead(config: Any) -> None:
    """Parse the texts of a node that every job will resolve, before jobs are forked."""
    from omegaconf import OmegaConf

    with suppress(Exception):  # a job says better what is wrong with it
        for text in _texts(OmegaConf.to_container(config, resolve=False)):
            parsed_once(text)


def _texts(plain: Any) -> Iterator[str]:
    if isinstance(plain, dict | list):
        for item in plain.values() if isinstance(plain, dict) else plain:
            yield from _texts(item)
    elif isinstance(plain, str) and "${" in plain:
        yield plain


def _quick(kind: Any, original: Callable[..., Any]) -> Callable[..., Any]:
    """Return what stands in the place of a container's `__deepcopy__`; a subclass is left to the original."""

    def quick_copy(config: Any, memo: dict[int, Any]) -> Any:
        return _quick_copy(config, memo) if type(config) is kind else original(config, memo)

    setattr(quick_copy, _MARK, True)
    return quick_copy


@functools.cache
def _own_kinds() -> tuple[frozenset[type], frozenset[type]]:
    """Return omegaconf's containers and its values."""
    from omegaconf import DictConfig, ListConfig, nodes

    return frozenset((DictConfig, ListConfig)), frozenset(
        getattr(nodes, name) for name in _VALUES if hasattr(nodes, name)
    )


def _quick_copy(config: Any, memo: dict[int, Any]) -> Any:
    containers, values = _own_kinds()

    def copied(node: Any, parent: Any) -> Any:
        new = memo.get(id(node))
        if new is not None:
            new.__dict__["_parent"] = parent
            return new
        if type(node) in values:
            new = _fields_copied(node, parent, memo)
        elif type(node) in containers:
            new = _fields_copied(node, parent, memo)
            content = node.__dict__["_content"]
            if type(content) is dict:
                new.__dict__["_content"] = {key: copied(child, new) for key, child in content.items()}
            elif type(content) is list:
                new.__dict__["_content"] = [copied(child, new) for child in content]
        else:
            new = _as_ever(node, parent, memo)
        memo[id(node)] = new
        return new

    return copied(config, config.__dict__["_parent"])


def _fields_copied(node: Any, parent: Any, memo: dict[int, Any]) -> Any:
    """A value is shared with its copy, as omegaconf does it."""
    new = object.__new__(type(node))
    fields = new.__dict__
    fields.update(node.__dict__)
    fields["_metadata"] = _metadata_copied(fields["_metadata"], memo)
    fields["_flags_cache"] = None
    fields["_parent"] = parent
    return new


def _metadata_copied(metadata: Any, memo: dict[int, Any]) -> Any:
    new = object.__new__(type(metadata))
    fields = new.__dict__
    fields.update(metadata.__dict__)
    # What can be changed in place. A cache of resolvers' answers may hold anything.
    if fields.get("flags") is not None:
        fields["flags"] = dict(fields["flags"])
    if "resolver_cache" in fields:
        cache = fields["resolver_cache"]
        fields["resolver_cache"] = copy.deepcopy(cache, memo) if cache else cache.copy()
    return new


def _as_ever(node: Any, parent: Any, memo: dict[int, Any]) -> Any:
    """As omegaconf copies the children of a container."""
    before = node.__dict__["_parent"]
    node.__dict__["_parent"] = None
    try:
        new = copy.deepcopy(node, memo)
    finally:
        node.__dict__["_parent"] = before
    new.__dict__["_parent"] = parent
    return new
