"""What can be compared: a checkpoint's record, or a config file with what Hydra wrote beside it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from lit_hydra_bridge.errors import CheckpointError, CheckpointNotFoundError
from lit_hydra_bridge.files import DamagedFileError, read_text
from lit_hydra_bridge.record.run_record import RunRecord
from lit_hydra_bridge.reload.checkpoint import read_record
from lit_hydra_bridge.reload.yaml_text import MOST_BYTES, load_yaml


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
        text = read_text(path, MOST_BYTES)
    except DamagedFileError as error:
        raise CheckpointError(str(error)) from None
    if text is None:
        raise CheckpointNotFoundError(f"{name}: there is no such file or folder")
    return text


def _read_config(text: str, name: str, aliases: bool) -> dict[Any, Any]:
    """Return a config's YAML as plain data, without its `hydra` node, which no record has."""
    config = _load_yaml(text, name, aliases=aliases)
    if config is None:
        return {}
    if not isinstance(config, dict):
        raise CheckpointError(f"{name}: is not a config: it holds a {type(config).__name__}, and should be a mapping")
    return {key: value for key, value in config.items() if key != "hydra"}


def _load_yaml(text: str, name: str, *, aliases: bool = True) -> Any:
    try:
        return load_yaml(text, aliases=aliases)
    except ValueError as error:
        raise CheckpointError(f"{name}: is not a config that can be read: {error}") from None


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
