"""A checkpoint's record -> what the `ckpt://` config source serves.

    checkpoint/config             the whole config as composed, with its interpolations, at the top
    checkpoint/trainer            the node `trainer`, resolved, at `trainer`
    checkpoint/trainer/optimizer  the node `trainer.optimizer`, resolved, at `trainer.optimizer`

A node is served resolved because it is served alone: what its interpolations refer to may not be there, or be
something else in the app that composes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from lit_hydra_bridge.errors import BridgeError, CheckpointError, ConfigKeyError
from lit_hydra_bridge.record.run_record import REDACTED
from lit_hydra_bridge.reload.checkpoint import read_record
from lit_hydra_bridge.reload.config import as_omegaconf_content, config_of

if TYPE_CHECKING:
    from lit_hydra_bridge.record.run_record import RunRecord

GROUP: Final = "checkpoint"
WHOLE: Final = "config"
# A secret's default in an interpolation: `${oc.env:HF_TOKEN,'<redacted>'}`.
_REDACTED_DEFAULT: Final = f",'{REDACTED}'}}"
_MISSING: Final = "???"
# Words that Hydra puts something else in place of, wherever they stand in a package.
_PACKAGE_KEYWORD: Final = re.compile("_(?:global|group|name|here)_")

Keys = tuple[str, ...]


class CheckpointOptions:
    """The options of the group `checkpoint` that one checkpoint gives; the file is read once, here.

    Args:
        place: what `read_record` takes.
    """

    def __init__(self, place: str) -> None:
        self.error: str | None = None
        """Why there is no record to serve; one line."""
        self._place = place
        self._record: RunRecord | None = None
        self._nodes: dict[str, tuple[Keys, dict[Any, Any]]] = {}
        self._children: dict[str | None, list[str]] = {}
        try:
            self._record = read_record(place)
            self._add_nodes(self._record)
        except BridgeError as error:
            self.error = str(error)
        except Exception as error:  # a remote file system's own; Hydra asks unguarded whether we are available
            self.error = f"{place}: can't be read: {type(error).__name__}: {' '.join(str(error).split())[:200]}"

    def _add_nodes(self, record: RunRecord) -> None:
        for keys, content in _mappings(as_omegaconf_content(record, self._place), ()):
            name = "/".join(keys)
            if name not in self._nodes:  # a key may have a slash in it
                self._nodes[name] = keys, content
                self._children.setdefault("/".join(keys[:-1]), []).append(keys[-1])

    def is_group(self, path: str) -> bool:
        """Tell whether a path such as `checkpoint/trainer` has options below it.

        Without a record everything below `checkpoint` is one, so that Hydra comes to `load`, which says what is
        wrong. Hydra takes `+checkpoint=model` for a plain value if there is no such group, and goes on.
        """
        name = _below_group(path)
        return path == "" or name == "" or (name is not None and (self.error is not None or name in self._children))

    def is_config(self, path: str) -> bool:
        """Tell whether a path such as `checkpoint/model` is an option; without a record, all are."""
        return bool(_below_group(path)) and (self.error is not None or _is_whole(path) or self._node(path) is not None)

    def groups_in(self, path: str) -> list[str]:
        """Return the groups right below a path, `""` being the top."""
        if path == "":
            return [GROUP]
        return [child for child in self._children_of(path) if self.is_group(f"{path}/{child}")]

    def configs_in(self, path: str) -> list[str]:
        """Return the options right below a path."""
        whole = [WHOLE] if _below_group(path) == "" and self.error is None else []
        return [*whole, *self._children_of(path)]

    def load(self, path: str) -> tuple[dict[Any, Any], str]:
        """Return an option's content, as omegaconf takes it, and the package that it had in its run.

        Raises:
            CheckpointError: there is no readable record, or Hydra can't be given this part of it.
            ConfigKeyError: there is no such option.
        """
        if self._record is None or self.error is not None:
            raise CheckpointError(self.error)
        if _is_whole(path):
            content, package = self._whole(self._record), "_global_"
        else:
            node = self._node(path)
            if node is None:
                raise ConfigKeyError(f"{self._place}: the recorded config has no mapping for {path!r}")
            content, package = _served(node[1]), _package(node[0]) or ""
        if "defaults" in content:
            raise CheckpointError(
                f"{self._place}: {path!r} has a key named 'defaults', and Hydra would take that for a list of configs "
                "to compose; compose the node above it, or use lit_hydra_bridge.load_config"
            )
        return content, package

    def _whole(self, record: RunRecord) -> dict[Any, Any]:
        from omegaconf import OmegaConf

        raw = OmegaConf.to_container(config_of(record, False, self._place), resolve=False)
        assert isinstance(raw, dict)
        # A record has no `hydra`. In a forged one it would choose what the composing app's Hydra runs.
        content: dict[Any, Any] = _served({key: value for key, value in raw.items() if key != "hydra"})
        return content

    def _node(self, path: str) -> tuple[Keys, dict[Any, Any]] | None:
        name = _below_group(path) or ""
        return self._nodes.get(name) or self._nodes.get(name.removesuffix(".yaml"))

    def _children_of(self, path: str) -> list[str]:
        return self._children.get(_below_group(path), [])


def _below_group(path: str) -> str | None:
    """Return `trainer/optimizer` for `checkpoint/trainer/optimizer`; None for what is not in the group."""
    group, _, name = path.partition("/")
    return name.removeprefix("./") if group == GROUP else None


def _is_whole(path: str) -> bool:
    # A node of that name is `./config`: in the same place, and spelled otherwise.
    return path.removesuffix(".yaml") == f"{GROUP}/{WHOLE}"


def _mappings(node: dict[Any, Any], above: Keys) -> Iterator[tuple[Keys, dict[Any, Any]]]:
    """Walk all mappings that can be served alone; one whose place can't be written as a package can't be."""
    for key, value in node.items():
        keys = (*above, key)
        if not isinstance(value, dict) or not isinstance(key, str) or keys == ("hydra",):
            continue
        if _package(keys) is not None:
            yield keys, value
            yield from _mappings(value, keys)


def _package(keys: Keys) -> str | None:
    """Return the keys as omegaconf writes a path: `a.b`, or `a[b.c]` for a key with a dot in it."""
    parts = []
    for key in keys:
        if not key or _PACKAGE_KEYWORD.search(key):
            return None
        if not re.search(r"[.\[]", key):
            parts.append(f".{key}")
        elif re.search(r"[\]\n]", key):
            return None
        else:
            parts.append(f"[{key}]")
    return "".join(parts).removeprefix(".")


def _served(value: Any) -> Any:
    """Return a value without redacted parts: a secret is missing, and whoever needs it is told its key."""
    if isinstance(value, dict):
        return {key: _served(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_served(item) for item in value]
    if isinstance(value, str) and REDACTED in value:
        text = value.replace(_REDACTED_DEFAULT, "}")
        return _MISSING if REDACTED in text else text
    return value
