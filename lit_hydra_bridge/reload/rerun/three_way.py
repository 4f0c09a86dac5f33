"""The recorded config, changed by exactly what the new overrides change.

    base      what the app's files give today for the recorded overrides
    theirs    what they give today for the recorded and the new overrides
    recorded  what the run had

Where `theirs` differs from `base`, the user has asked for a change, and gets it; everywhere else the record holds. So
values, options of config groups in any package, and deletions all follow from Hydra's own composition, and edits to
the app's files since the run do not. This is the three-way merge of version control, with the run as the ancestor's
other child.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from lit_hydra_bridge.record.run_record import PLACEHOLDER
from lit_hydra_bridge.reload.compare.config_changes import dotted_key, is_same

Path = tuple[Any, ...]
_ABSENT: Final = object()
_MISSING: Final = "???"
AS_COMPOSED: Final = object()
"""In place of a value: what was composed stays."""


def plain_config(config: Any) -> dict[Any, Any]:
    """Return a config without its `hydra` node as a record would hold it, secrets left in place."""
    from omegaconf import OmegaConf

    raw = OmegaConf.to_container(config, resolve=False, throw_on_missing=False, enum_to_str=True)
    return {_key(key): _plain(value) for key, value in raw.items() if key != "hydra"} if isinstance(raw, dict) else {}


def _key(key: Any) -> Any:
    from lit_hydra_bridge.record.plain import plain_key

    return plain_key(key)


def _plain(value: Any) -> Any:
    from lit_hydra_bridge.record.plain import escaped_unless_text, plain_leaf

    if isinstance(value, dict):
        return {_key(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return escaped_unless_text(value, plain_leaf(value)[0])


def fill_redacted(recorded: Any, base: Any) -> Any:
    """Return `recorded` with what was redacted in it taken from `base`; `???` where that has nothing."""
    if isinstance(recorded, dict):
        here = base if isinstance(base, dict) else {}
        return {key: fill_redacted(item, here.get(key, _ABSENT)) for key, item in recorded.items()}
    if isinstance(recorded, list):
        alike = isinstance(base, list) and len(base) == len(recorded)
        return [fill_redacted(item, base[i] if alike else _ABSENT) for i, item in enumerate(recorded)]
    if isinstance(recorded, str) and PLACEHOLDER.search(recorded):
        return _MISSING if base is _ABSENT or isinstance(base, dict | list) else base
    return recorded


def walk_leaves(value: Any, steps: Path = ()) -> Iterator[tuple[str, Any]]:
    """Give each leaf of a plain config with its dotted key, as `config_changes` names it."""
    for path, leaf in leaves(value, steps, lists=True):
        yield dotted_key(path), leaf


def redacted_keys(recorded: Any) -> list[str]:
    """Return the dotted keys of a recorded config under which a secret, or a part of one, was redacted."""
    return [key for key, leaf in walk_leaves(recorded) if isinstance(leaf, str) and PLACEHOLDER.search(leaf)]


def put_back(config: Any, base: dict[Any, Any], recorded: dict[Any, Any], keep: Mapping[Path, Any]) -> list[str]:
    """Give a composed config the recorded values, in place.

    Args:
        config: the DictConfig composed with the new overrides (`theirs`); its types are kept.
        base: `plain_config` of what is composed without them.
        recorded: the recorded config, redacted values filled in.
        keep: paths that new overrides decide on, and their values; AS_COMPOSED where what is composed stays.

    Returns:
        What did not fit the types of the app's config, one sentence each.
    """
    merge = _Merge(keep)
    merge.children(config, plain_config(config), base, recorded, ())
    return merge.unfit


class _Merge:
    def __init__(self, keep: Mapping[Path, Any]) -> None:
        self._keep = keep
        self.unfit: list[str] = []

    def children(self, node: Any, theirs: Any, base: Any, recorded: Any, path: Path) -> None:
        for key in list(_keys(recorded)) + [key for key in _keys(theirs) if key not in _keys(recorded)]:
            if (*path, key) not in self._keep:
                a, b, c = (_get(container, key) for container in (theirs, base, recorded))
                self._child(node, key, a, b, c, (*path, key))
        if isinstance(recorded, dict):
            _reorder(node, list(recorded))

    def _child(self, node: Any, key: Any, theirs: Any, base: Any, recorded: Any, path: Path) -> None:
        if _alike(theirs, base, recorded):
            self.children(node._get_node(key), theirs, base, recorded, path)
        elif is_same(theirs, recorded):
            return
        elif inside := {kept[len(path) :]: value for kept, value in self._keep.items() if kept[: len(path)] == path}:
            if isinstance(recorded, dict | list) and AS_COMPOSED not in inside.values():
                # The node has another shape today: the recorded one, with the new values in it.
                self._set(node, key, _with_values(recorded, inside), path)
        elif is_same(theirs, base):
            self._set(node, key, recorded, path)

    def _set(self, node: Any, key: Any, value: Any, path: Path) -> None:
        from omegaconf import flag_override

        try:
            with flag_override(node, ["struct", "readonly"], False):
                if value is _ABSENT:
                    del node[key]
                else:
                    _assign(node, key, value)
        except Exception as error:  # the app's types say no, each kind of node in its own way
            reason = str(error).partition("\n")[0]
            self.unfit.append(f"{'.'.join(map(str, path))} ({reason})")


def _assign(node: Any, key: Any, value: Any) -> None:
    from omegaconf import BytesNode, DictConfig
    from omegaconf.errors import ValidationError

    if isinstance(value, str) and isinstance(node._get_node(key), BytesNode):
        value = value.encode()  # a record has its text
    try:
        node[key] = value
    except ValidationError:
        # A plain mapping is no instance of a structured config's class; merging makes one of it.
        if not isinstance(node, DictConfig) or not isinstance(value, dict | list):
            raise
        node.merge_with({key: value})


def _alike(*values: Any) -> bool:
    """Tell whether all are mappings, or lists of one length: then what differs is looked for inside."""
    if all(isinstance(value, dict) for value in values):
        return True
    return all(isinstance(value, list) for value in values) and len({len(value) for value in values}) == 1


def _keys(value: Any) -> Collection[Any]:
    return value.keys() if isinstance(value, dict) else range(len(value))


def _get(container: Any, key: Any) -> Any:
    return container.get(key, _ABSENT) if isinstance(container, dict) else container[key]


def _reorder(node: Any, order: list[Any]) -> None:
    """Callbacks are made in the order in which they stand: it is part of the config."""
    from omegaconf import DictConfig

    content = node.__dict__.get("_content") if isinstance(node, DictConfig) else None
    if not isinstance(content, dict):
        return
    position = {key: i for i, key in enumerate(order)}
    wanted = sorted(content, key=lambda key: position.get(_key(key), len(position)))
    if wanted != list(content):
        items = [(key, content[key]) for key in wanted]
        content.clear()
        content.update(items)


def _with_values(container: Any, values: Mapping[Path, Any]) -> Any:
    result = copy.deepcopy(container)
    for path, value in values.items():
        here = result
        for step in path[:-1]:
            if not isinstance(here, dict) or not isinstance(here.get(step), dict | list):
                break
            here = here[step]
        if isinstance(here, dict) or (isinstance(here, list) and isinstance(path[-1], int) and path[-1] < len(here)):
            here[path[-1]] = value
    return result


def leaves(value: Any, path: Path = (), *, lists: bool = False) -> Iterator[tuple[Path, Any]]:
    """Give the leaves that setting `value` at `path` sets: Hydra merges a mapping key by key.

    Args:
        value: plain data.
        path: where it is.
        lists: whether a list's items are leaves of their own.
    """
    if value and isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*path, key), lists=lists)
    elif value and lists and isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, (*path, (index,)), lists=True)  # as dotted_key wants it
    else:
        yield path, value
