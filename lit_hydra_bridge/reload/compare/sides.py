"""What can be compared: a checkpoint's record, or a config file with what Hydra wrote beside it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path, PurePath
from typing import Any, Final

from lit_hydra_bridge.errors import CheckpointError, CheckpointNotFoundError
from lit_hydra_bridge.record.run_record import RunRecord
from lit_hydra_bridge.reload.checkpoint import read_record

_MAX_DEPTH: Final = 100
_MAX_VALUES: Final = 500_000
_MAX_YAML_BYTES: Final = 1 << 25
# As omegaconf reads floats, so that 1e-3 is one.
_FLOAT: Final = re.compile(
    r"""^(?:
     [-+]?[0-9]+(?:_[0-9]+)*\.[0-9_]*(?:[eE][-+]?[0-9]+)?
    |[-+]?[0-9]+(?:_[0-9]+)*(?:[eE][-+]?[0-9]+)
    |\.[0-9]+(?:_[0-9]+)*(?:[eE][-+][0-9]+)?
    |[-+]?[0-9]+(?:_[0-9]+)*(?::[0-5]?[0-9])+\.[0-9_]*
    |[-+]?\.(?:inf|Inf|INF)
    |\.(?:nan|NaN|NAN))$""",
    re.VERBOSE,
)


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two that are compared."""

    name: str
    record: RunRecord | None = None
    """None where it is a config file."""
    text: str
    """The composed config, as YAML."""
    overrides: list[str] | None = None
    """None where they are not known."""

    @cached_property
    def composed(self) -> dict[Any, Any]:
        """The composed config, interpolations as text.

        Raises:
            CheckpointError: it is no config.
        """
        # No recorded config has aliases; by them, a few bytes of a hostile one can stand for gigabytes.
        return _read_config(self.text, self.name, aliases=self.record is None)


def load_side(source: str | os.PathLike[str] | RunRecord) -> Side:
    """Read a record or a config file.

    Raises:
        CheckpointError: there is neither at that place, or it can't be read.
    """
    if isinstance(source, RunRecord):
        return _side_of(source, f"run {source.run_id}")
    place = os.fsdecode(source)
    is_local = "://" not in place
    if is_local and place.lower().endswith((".yaml", ".yml")) and not Path(place).is_dir():
        return _side_of_file(Path(place), place)
    try:
        return _side_of(read_record(place), place)
    except CheckpointNotFoundError:
        written = Path(place) / ".hydra" / "config.yaml"
        if not is_local or not place or not written.is_file():
            raise
        return _side_of_file(written, place)


def _side_of(record: RunRecord, name: str) -> Side:
    overrides = record.hydra.overrides if record.hydra else None
    return Side(name=name, record=record, text=record.config.composed, overrides=overrides)


def _side_of_file(path: Path, name: str) -> Side:
    overrides = None
    beside = path.with_name("overrides.yaml")
    if path.parent.name == ".hydra" and beside.is_file():
        read = _load_yaml(_text_of(beside, str(beside)), str(beside))
        overrides = [item for item in read if isinstance(item, str)] if isinstance(read, list) else None
    return Side(name=name, text=_text_of(path, name), overrides=overrides)


def _text_of(path: Path, name: str) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_YAML_BYTES + 1)
        if len(data) > _MAX_YAML_BYTES:
            raise CheckpointError(f"{name}: is longer than any config ({_MAX_YAML_BYTES} bytes)")
        return data.decode("utf-8-sig")
    except FileNotFoundError:
        raise CheckpointNotFoundError(f"{name}: there is no such file or folder") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(f"{name}: can't be read: {reason}") from None


def _read_config(text: str, name: str, aliases: bool) -> dict[Any, Any]:
    """Return a config's YAML as plain data, without its `hydra` node, which no record has."""
    config = _load_yaml(text, name, aliases=aliases)
    if config is None:
        return {}
    if not isinstance(config, dict):
        raise CheckpointError(f"{name}: is not a config: it holds a {type(config).__name__}, and should be a mapping")
    return {key: value for key, value in config.items() if key != "hydra"}


def _load_yaml(text: str, name: str, *, aliases: bool = True) -> Any:
    import yaml

    from lit_hydra_bridge.record.plain import plain_leaf

    loader = _loader()
    try:
        _check_events(yaml.parse(text, Loader=loader), aliases)
        value = yaml.load(text, Loader=loader)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{name}: is not a config that can be read: {reason}") from None
    if not _is_small(value):
        raise CheckpointError(f"{name}: is not a config: its aliases make it endless")
    return plain_leaf(value)[0]


def _check_events(events: Any, aliases: bool) -> None:
    """Refuse what yaml's own parser in C does not survive: it follows any depth by recursion."""
    import yaml

    depth = 0
    for event in events:
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if isinstance(event, yaml.AliasEvent) and not aliases:
            raise ValueError("it has YAML aliases, which no recorded config has")
        if depth > _MAX_DEPTH:
            raise ValueError(f"it has more than {_MAX_DEPTH} levels")


def _is_small(value: Any) -> bool:
    level, count = [value], 0
    for _ in range(_MAX_DEPTH + 1):
        level = [
            child
            for node in level
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
        ]
        count += len(level)
        if not level or count > _MAX_VALUES:
            return count <= _MAX_VALUES
    return False


@lru_cache(maxsize=1)
def _loader() -> Any:
    """A loader that reads scalars as omegaconf does, in C where there is one."""
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        pass

    Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))
    Loader.yaml_implicit_resolvers = {
        first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in Loader.yaml_implicit_resolvers.items()
    }
    Loader.add_multi_constructor(
        "tag:yaml.org,2002:python/object/apply:pathlib.",
        lambda loader, _, node: str(PurePath(*map(str, loader.construct_sequence(node)))),
    )
    return Loader


class InterpolationReach:
    """Tells which values of a config follow from when and where the run took place, and from nothing else."""

    def __init__(self, composed: Mapping[Any, Any]) -> None:
        self._composed = composed

    def is_volatile(self, steps: tuple[Any, ...]) -> bool:
        """Tell whether the text at a place asks, itself or by a reference, for a time or for Hydra's folders."""
        seen: set[tuple[Any, ...]] = set()
        waiting = [steps]
        while waiting:
            place = waiting.pop()
            text, owner = self._find(place)
            if text is None or place in seen:
                continue
            seen.add(place)
            if _VOLATILE.search(text):
                return True
            for found in _REFERENCE.finditer(text):
                # Below an interpolated node, the same steps lead on from what it refers to.
                waiting.append((*_referred(owner, found[1]), *place[len(owner) :]))
        return False

    def text_at(self, steps: tuple[Any, ...]) -> str | None:
        """Return the text at a place, or that from which the place was interpolated; None where there is none."""
        return self._find(steps)[0]

    def _find(self, steps: tuple[Any, ...]) -> tuple[str | None, tuple[Any, ...]]:
        node: Any = self._composed
        for i, step in enumerate(steps):
            name = step[0] if isinstance(step, tuple) else step
            if isinstance(node, dict) and name in node:
                node = node[name]
            elif isinstance(node, list) and re.fullmatch(r"[0-9]{1,9}", str(name)) and int(name) < len(node):
                node = node[int(name)]
            elif isinstance(node, str) and "${" in node:
                return node, steps[:i]  # the whole node was interpolated
            else:
                return None, steps
        return (node if isinstance(node, str) else None), steps


_VOLATILE: Final = re.compile(
    r"\$\{\s*(?:now\s*:|hydra\s*:\s*(?:runtime\.(?:output_dir|cwd)|run\.dir|sweep\.(?:dir|subdir)|job\.id)\s*\})"
)
_REFERENCE: Final = re.compile(r"\$\{\s*(\.*[^:${}\s]+)\s*\}")


def _referred(place: tuple[Any, ...], reference: str) -> tuple[Any, ...]:
    dots = len(reference) - len(reference.lstrip("."))
    names = re.sub(r"\[([^\[\]]*)\]", r".\1", reference.lstrip(".")).strip(".").split(".")
    return (*(place[: max(len(place) - dots, 0)] if dots else ()), *names)
