"""What the text of an interpolation reaches: other nodes, resolvers, secrets. Nothing is evaluated here."""

from __future__ import annotations

import re
from typing import Any, Final

from lit_hydra_bridge.record.redaction import looks_secret, path_looks_secret

# Resolvers of omegaconf and Hydra themselves: known to have no side effects, `now` is cached per job.
BUILTIN_RESOLVERS: Final = frozenset({"now", "hydra", "python_version"})
_RESOLVER: Final = re.compile(r"\$\{\s*([A-Za-z_][\w.]*)\s*:")
_REFERENCE: Final = re.compile(r"\$\{\s*(\.*[^${}:]+?)\s*\}")
_ENV: Final = re.compile(r"oc\.env:\s*([\w.]+)")


def names_secret_env(text: str) -> bool:
    """Tell whether the text reads an environment variable that looks like a secret's."""
    return any(looks_secret(name) for name in _ENV.findall(text))


class InterpolationTexts:
    """What the interpolations of one config reach.

    Args:
        raw: the config as plain containers, interpolations as text.
    """

    def __init__(self, raw: dict[Any, Any]) -> None:
        self._raw = raw
        self.has_custom = self._any_custom(raw)

    def _any_custom(self, value: Any) -> bool:
        if isinstance(value, dict):
            return any(self._any_custom(item) for item in value.values())
        if isinstance(value, list):
            return any(self._any_custom(item) for item in value)
        return isinstance(value, str) and any(_is_custom(name) for name in _RESOLVER.findall(value))

    def reaches_custom(self, text: str, path: tuple[Any, ...]) -> bool:
        """Tell whether evaluating `text` at `path` may call one of the app's own resolvers."""
        return self.has_custom and self._reaches(text, path, frozenset(), custom=True)

    def reaches_secret(self, text: str, path: tuple[Any, ...]) -> bool:
        """Tell whether the value of `text` at `path` holds a secret's value."""
        return self._reaches(text, path, frozenset(), custom=False)

    def _reaches(self, text: str, path: tuple[Any, ...], seen: frozenset[tuple[Any, ...]], *, custom: bool) -> bool:
        if custom and any(_is_custom(name) for name in _RESOLVER.findall(text)):
            return True
        if not custom and any(looks_secret(name) for name in _ENV.findall(text)):
            return True
        if custom and text.count("${") > 1 and "${" in text[text.index("${") + 2 :].split("}")[0]:
            return True  # nested interpolation: where it leads is known only when evaluated
        for reference in _REFERENCE.findall(text):
            target = _absolute(reference, path)
            if target in seen:
                continue
            if not custom and path_looks_secret(target):
                return True
            found = self._select(target)
            if any(self._reaches(leaf, at, seen | {target}, custom=custom) for leaf, at in _leaves(found, target)):
                return True
        return False

    def _select(self, path: tuple[Any, ...]) -> Any:
        node: Any = self._raw
        for key in path:
            if isinstance(node, list) and str(key).isdigit() and int(key) < len(node):
                node = node[int(key)]
            elif isinstance(node, dict) and key in node:
                node = node[key]
            else:
                return None
        return node


def _is_custom(resolver: str) -> bool:
    return not resolver.startswith("oc.") and resolver not in BUILTIN_RESOLVERS


def _absolute(reference: str, path: tuple[Any, ...]) -> tuple[Any, ...]:
    """`..a.b` at ("x", "y", "z") -> ("x", "a", "b"): one dot is the node's own parent."""
    stripped = reference.lstrip(".")
    keys = tuple(key for key in re.split(r"[.\[\]]+", stripped) if key)
    dots = len(reference) - len(stripped)
    return (*path[: len(path) - dots], *keys) if dots else keys


def _leaves(value: Any, path: tuple[Any, ...]) -> list[tuple[str, tuple[Any, ...]]]:
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in _leaves(item, (*path, key))]
    if isinstance(value, list):
        return [leaf for i, item in enumerate(value) for leaf in _leaves(item, (*path, i))]
    return [(value, path)] if isinstance(value, str) and "${" in value else []
