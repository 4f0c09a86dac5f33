"""Lets `torch.load(weights_only=True)` read checkpoints whose hyperparameters are omegaconf containers.

Putting DictConfig itself on torch's list of safe globals would be less safe than it looks: torch's loader may
call `set`, `OrderedDict` and the like on what it has built, iterating a DictConfig evaluates its interpolations,
and many apps register a resolver called `eval`. So nothing of omegaconf runs while the file is read:

    name in the pickle  ->  an inert stand-in that only keeps its state  ->  (file read)  ->  the real node

Only omegaconf's own nodes are rebuilt. A class that a structured config refers to is looked up among the
modules that are already imported, and put back as a reference: it is neither imported nor called.
"""

from __future__ import annotations

import builtins
import collections
import enum
import pathlib
import pickle
import re
import sys
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

_NODES: Final = {
    "omegaconf.nodes": (
        "AnyNode", "BooleanNode", "BytesNode", "EnumNode", "FloatNode", "IntegerNode", "PathNode", "StringNode",
        "InterpolationResultNode",
    ),
    "omegaconf.dictconfig": ("DictConfig",),
    "omegaconf.listconfig": ("ListConfig",),
    "omegaconf.base": ("Metadata", "ContainerMetadata", "UnionNode"),
}  # fmt: skip
_BUILTIN_REFERENCES: Final = (
    "dict",
    "list",
    "tuple",
    "str",
    "int",
    "float",
    "bool",
    "bytes",
    "object",
    "NoneType",
)
_TYPING_REFERENCES: Final = ("Any", "Dict", "List", "Tuple", "Optional", "Union")
# References to other nodes, and resolvers that neither run code nor read their argument as an interpolation, as
# oc.decode and oc.create do.
_HARMLESS_INTERPOLATION: Final = re.compile(
    r"\$\{\s*(?:[\w.\[\]-]+|(?:oc\.(?:env|select|dict\.keys|dict\.values)|hydra|now|python_version)\s*:[^${}]*)\s*\}"
)
_PATHS: Final = ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")


class _Node:
    """Stands for an omegaconf node while the file is read: keeps its state, does nothing."""

    real: type

    def __new__(cls, *args: Any) -> _Node:
        if args:
            raise pickle.UnpicklingError(f"{cls.real.__qualname__} can't be called by a checkpoint")
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Fixed:
    """What a file may make, and must not change afterwards."""

    def __setstate__(self, _: Any) -> None:
        raise pickle.UnpicklingError(f"{type(self).__name__} takes no state")


class _Reference:
    """Stands for a class that a node's metadata names; can't be called."""

    target: Any

    def __new__(cls, *args: Any) -> _Reference:
        raise pickle.UnpicklingError(f"{cls.target!r} can't be called by a checkpoint")


class _Member(_Fixed):
    """Stands for a member of an enumeration."""

    target: type[enum.Enum]

    def __init__(self, value: Any) -> None:
        self.value = value


class _Path(_Fixed):
    """Stands for a path."""

    target: type[pathlib.PurePath]

    def __init__(self, *parts: Any) -> None:
        if not all(type(part) is str for part in parts):
            raise pickle.UnpicklingError("a path's parts must be text")
        self.parts = parts


class _Generic(_Fixed):
    """Stands for `List[int]` and the like."""

    def __init__(self, origin: Any, arguments: Any) -> None:
        self.origin, self.arguments = origin, arguments


class _Reading:
    """One file's reading: the stand-ins it may meet, and their way back to real nodes."""

    def __init__(self) -> None:
        self._caches: dict[int, dict[Any, Any]] = {}
        self._made: dict[int, Any] = {}
        self._alive: list[Any] = []  # ids in `_made` must not be given to new objects

    def stand_ins(self, names: list[str]) -> list[tuple[Any, str]]:
        """Return torch's `(object, name)` pairs for those of the names that we know how to stand for."""
        return [(found, name) for name in names if (found := self._stand_in(name)) is not None]

    def _stand_in(self, name: str) -> Any:
        module, _, attribute = name.rpartition(".")
        if attribute in _NODES.get(module, ()):
            loaded = sys.modules.get(module)
            real = getattr(loaded, attribute, None)
            return type(attribute, (_Node,), {"real": real}) if isinstance(real, type) else None
        if module == "builtins" and attribute in _BUILTIN_REFERENCES:
            return _reference(type(None) if attribute == "NoneType" else getattr(builtins, attribute))
        if module == "typing" and attribute in _TYPING_REFERENCES:
            return _reference(getattr(typing, attribute))
        if module.startswith("pathlib") and attribute in _PATHS:
            return type(attribute, (_Path,), {"target": getattr(pathlib, attribute)})
        if name == "collections.defaultdict":
            return self._cache
        if name == "_operator.getitem":
            return _Generic
        return _stand_in_for_app_class(module, attribute)

    def _cache(self, *_: Any) -> dict[Any, Any]:
        """A node's resolver cache is a defaultdict, which torch's loader would not fill."""
        cache: dict[Any, Any] = {}
        self._caches[id(cache)] = cache
        return cache

    def revive(self, value: Any) -> Any:
        """Return `value` with every stand-in replaced by what it stands for.

        Raises:
            pickle.UnpicklingError: a stand-in is left where no node of omegaconf needs one.
        """
        revived = self._revive(value)
        if self._caches:
            raise pickle.UnpicklingError("a defaultdict outside of omegaconf's own nodes")
        return revived

    def _revive(self, value: Any) -> Any:
        if id(value) in self._made:
            return self._made[id(value)]
        if isinstance(value, _Node):
            return self._revive_node(value)
        if isinstance(value, type) and issubclass(value, _Node):
            return value.real
        if isinstance(value, dict):
            self._remember(value, value)
            items = [(self._revive(key), self._revive(item)) for key, item in value.items()]
            if any(new is not old or a is not b for (new, a), (old, b) in zip(items, value.items(), strict=True)):
                value.clear()
                value.update(items)
            return value
        if type(value) is list:
            self._remember(value, value)
            value[:] = [self._revive(item) for item in value]
            return value
        if type(value) is tuple:
            parts = [self._revive(item) for item in value]
            return tuple(parts) if any(a is not b for a, b in zip(parts, value, strict=True)) else value
        if isinstance(value, _Path):
            return value.target(*value.parts)
        if isinstance(value, _Member):
            return _member(value)
        if isinstance(value, _Generic) or (isinstance(value, type) and issubclass(value, _Reference | _Member | _Path)):
            raise pickle.UnpicklingError("a class outside of omegaconf's own nodes")
        return value

    def _revive_node(self, node: _Node) -> Any:
        real: Any = object.__new__(node.real)
        self._remember(node, real)
        state = getattr(node, "state", None)
        if not isinstance(state, dict):
            raise pickle.UnpicklingError(f"{node.real.__qualname__} without its state")
        is_metadata = node.real.__name__.endswith("Metadata")
        _refuse_resolvers(state.get("_val"), state.get("_content"))
        for key in list(state):
            if (is_metadata and key.endswith("_type")) or key == "enum_type":
                state[key] = _type(state[key])
            elif key == "resolver_cache" and isinstance(state[key], dict):
                self._caches.pop(id(state[key]), None)
                cache: dict[str, dict[Any, Any]] = collections.defaultdict(dict)
                cache.update(self._revive(state[key]))
                state[key] = cache
            else:
                state[key] = self._revive(state[key])
        if hasattr(real, "__setstate__"):
            real.__setstate__(state)
        else:
            real.__dict__.update(state)
        return real

    def _remember(self, stand_in: Any, real: Any) -> None:
        self._made[id(stand_in)] = real
        self._alive.append(stand_in)


def _refuse_resolvers(*texts: Any) -> None:
    """A DictConfig is read as soon as Lightning has it; a stranger's must not reach the app's own resolvers."""
    for text in texts:
        if isinstance(text, str) and "${" in text and _HARMLESS_INTERPOLATION.sub("", text).count("${"):
            raise pickle.UnpicklingError(f"an interpolation that may run the app's own code: {text[:100]!r}")


def _reference(target: Any) -> type:
    return type("Reference", (_Reference,), {"target": target})


def _stand_in_for_app_class(module: str, name: str) -> type | None:
    """A structured config's class or an Enum, if the app has imported it already."""
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, type):
        return None
    if issubclass(found, enum.Enum):
        return type("Member", (_Member,), {"target": found})
    if hasattr(found, "__dataclass_fields__") or hasattr(found, "__attrs_attrs__"):
        return _reference(found)
    return None


def _member(stand_in: _Member) -> enum.Enum:
    # Not `Enum(value)`: that may run the app's `_missing_`.
    for member in stand_in.target:
        if type(member.value) is type(stand_in.value) and member.value == stand_in.value:
            return member
    raise pickle.UnpicklingError(f"{stand_in.target.__qualname__} has no member {stand_in.value!r}")


def _type(value: Any) -> Any:
    """A type in a node's metadata: a class, or a generic alias of such."""
    if isinstance(value, type) and issubclass(value, _Reference | _Member | _Path):
        return value.target
    if isinstance(value, type) and issubclass(value, _Node):
        return value.real
    if isinstance(value, _Generic):
        arguments = value.arguments if isinstance(value.arguments, tuple) else (value.arguments,)
        return _type(value.origin)[tuple(_type(argument) for argument in arguments)]
    return value


@contextmanager
def omegaconf_stand_ins(names: list[str]) -> Iterator[Callable[[Any], Any]]:
    """Make torch's weights-only loader accept omegaconf's nodes, as inert stand-ins.

    Args:
        names: the globals in the file that torch does not allow by itself.

    Yields:
        A function that turns what was loaded into the real thing; call it after loading.
    """
    import torch

    reading = _Reading()
    with torch.serialization.safe_globals(reading.stand_ins(names)):
        yield reading.revive


def has_omegaconf(names: list[str]) -> bool:
    """Tell whether a list of pickled globals holds a container of omegaconf."""
    return "omegaconf.dictconfig.DictConfig" in names or "omegaconf.listconfig.ListConfig" in names
