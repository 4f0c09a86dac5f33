"""What the text of an interpolation reaches: other nodes, resolvers, secrets. Nothing is evaluated here.

All answers lean to yes: a value taken for a secret's is lost from the resolved config, the other way it is leaked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from lit_hydra_bridge.record.redaction import looks_secret, path_looks_secret, value_end, variable_looks_secret

# Resolvers of omegaconf and Hydra themselves: known to have no side effects, `now` is cached per job.
BUILTIN_RESOLVERS: Final = frozenset({"now", "hydra", "python_version"})
_CALL: Final = re.compile(r"\s*([A-Za-z_][\w.]*)\s*:(.*)", re.DOTALL)
_INNER: Final = re.compile(r"\$\{\s*(\.*[\w.\[\]]+)\s*\}")
_PATH_ARGUMENT: Final = re.compile(r"\s*[\"']?(\.*[\w][\w.\[\]-]*)[\"']?\s*")
_KEY_SEPARATORS: Final = re.compile(r"[.\[\]]+")

Path = tuple[Any, ...]


@dataclass(frozen=True)
class _Body:
    """What stands between `${` and `}`."""

    text: str
    resolver: str | None
    arguments: str

    @property
    def is_dynamic(self) -> bool:
        """Where it leads is known only when evaluated."""
        return self.resolver is None and "${" in self.text


@lru_cache(maxsize=4096)
def _bodies(text: str) -> tuple[_Body, ...]:
    """All interpolations in a text, nested ones included."""
    result: list[_Body] = []
    starts: list[int | None] = []
    i = 0
    while i < len(text):
        if text.startswith("${", i):
            starts.append(i + 2)
            i += 1
        elif starts and text[i] == "{":
            starts.append(None)
        elif starts and text[i] == "}" and (start := starts.pop()) is not None:
            body = text[start:i]
            call = _CALL.fullmatch(body)
            result.append(_Body(body, call[1] if call else None, call[2] if call else ""))
        i += 1
    return tuple(result)


def needs_custom_resolver(text: str) -> bool:
    """Tell whether the text itself calls one of the app's own resolvers."""
    return any(body.resolver is not None and _is_custom(body.resolver) for body in _bodies(text))


def _names_secret(body: _Body) -> bool:
    """Tell whether a resolver's name or one of its arguments looks like a secret's: `${oc.env:DB_PASSWORD}`."""
    if body.resolver is None or body.resolver == "oc.dict.keys":
        return False
    if body.resolver == "oc.env" and body.arguments.lstrip().startswith("${"):
        return True
    named = variable_looks_secret if body.resolver == "oc.env" else looks_secret
    return looks_secret(body.resolver) or any(named(word) for word in re.findall(r"[\w-]+", body.arguments))


class InterpolationTexts:
    """What the interpolations of one config reach.

    Args:
        raw: the config as plain containers, interpolations as text.
    """

    def __init__(self, raw: dict[Any, Any]) -> None:
        self._raw = raw
        self.has_custom = False
        self._secret_paths: list[Path] = []
        for value, path in _nodes(raw, ()):
            if isinstance(value, str) and "${" in value and not self.has_custom:
                self.has_custom = needs_custom_resolver(value)
            if path_looks_secret(path):
                self._secret_paths.append(path)
        self._answers: dict[tuple[str, Path, bool], bool] = {}

    def reaches_custom(self, text: str, path: Path) -> bool:
        """Tell whether evaluating `text` at `path` may call one of the app's own resolvers."""
        return self.has_custom and self._answer(text, path, custom=True)

    def reaches_secret(self, text: str, path: Path) -> bool:
        """Tell whether the value of `text` at `path` holds a secret's value.

        A plain reference to a container doesn't: what stands under a secret's key in there is seen to later.
        """
        return self._answer(text, path, custom=False)

    def is_opaque(self, text: str, path: Path) -> bool:
        """Tell whether reading the text can't tell what its value is made of."""
        return self.reaches_custom(text, path) or any(body.is_dynamic for body in self._settled_bodies(text, path))

    def _answer(self, text: str, path: Path, *, custom: bool) -> bool:
        question = (text, path if "${." in text.replace(" ", "") or ":" in text else (), custom)
        if question not in self._answers:
            self._answers[question] = self._search(text, path, custom=custom)
        return self._answers[question]

    def _search(self, text: str, path: Path, *, custom: bool) -> bool:
        waiting = [(text, path, False)]
        seen: set[tuple[Path, bool]] = set()
        while waiting:
            text, path, inside_text = waiting.pop()
            bodies = self._settled_bodies(text, path)
            is_plain = all(body.resolver is None for body in bodies) and _ends_where_it_starts(text)
            part_of_text = inside_text or not is_plain
            if any(self._settles(body, path, custom=custom) for body in bodies):
                return True
            for target in (target for body in bodies for target in _targets(body, path)):
                if (target, part_of_text) in seen:
                    continue
                seen.add((target, part_of_text))
                if not custom and path_looks_secret(target):
                    return True
                if not custom and part_of_text and self._has_secret_below(target):
                    return True
                waiting += self._next(target, part_of_text, custom=custom)
        return False

    def _settled_bodies(self, text: str, path: Path) -> tuple[_Body, ...]:
        """All interpolations in a text; `db.${which}` as `db.host` where `which` is a literal in the config."""
        return tuple(self._settled(body, path) if body.is_dynamic else body for body in _bodies(text))

    def _settled(self, body: _Body, path: Path) -> _Body:
        def literal(found: re.Match[str]) -> str:
            value, _ = self._select(_absolute(found[1], path))
            return str(value) if isinstance(value, str | int) and "${" not in str(value) else found[0]

        text, before = body.text, ""
        while text != before:
            text, before = _INNER.sub(literal, text), text
        return _Body(text, None, "")

    def _settles(self, body: _Body, path: Path, *, custom: bool) -> bool:
        if custom:
            return body.is_dynamic or (body.resolver is not None and _is_custom(body.resolver))
        return _names_secret(body) or (body.is_dynamic and self._may_be_secret(body.text, path))

    def _may_be_secret(self, dynamic: str, path: Path) -> bool:
        """Tell whether some secret's path begins and ends like `db.${which}.key`."""
        # What the inner one gives may be a part of a key, so only whole keys on both sides are compared.
        before, after = dynamic.split("${", 1)[0], dynamic.rsplit("}", 1)[-1]
        before = before[: before.rfind(".") + 1] if "." in before else ""
        first = _absolute(before, path) if before.strip(". ") or before.startswith(".") else ()
        last = tuple(key for key in _KEY_SEPARATORS.split(after.partition(".")[2]) if key)
        return any(
            secret[: len(first)] == first and tuple(map(str, secret[len(secret) - len(last) :])) == last
            for secret in self._secret_paths
        )

    def _has_secret_below(self, path: Path) -> bool:
        found, _ = self._select(path)
        return isinstance(found, dict | list) and any(
            path_looks_secret(at[len(path) :]) for _, at in _nodes(found, path)
        )

    def _next(self, target: Path, part_of_text: bool, *, custom: bool) -> list[tuple[str, Path, bool]]:
        found, at = self._select(target)
        if isinstance(found, str):
            return [(found, at, part_of_text)] if "${" in found else []
        if not (custom or part_of_text):
            return []
        return [
            (leaf, leaf_at, part_of_text)
            for leaf, leaf_at in _nodes(found, target)
            if isinstance(leaf, str) and "${" in leaf
        ]

    def _select(self, path: Path) -> tuple[Any, Path]:
        """Return the node at a path and where it is: an interpolation on the way stands for what is behind it."""
        node: Any = self._raw
        for depth, key in enumerate(path):
            if isinstance(node, list) and str(key).isdigit() and int(key) < len(node):
                node = node[int(key)]
            elif isinstance(node, dict):
                match = key if key in node else next((known for known in node if str(known) == key), None)
                if match is None:
                    return None, path
                node = node[match]
            else:
                return (node, path[:depth]) if isinstance(node, str) else (None, path)
        return node, path


def _ends_where_it_starts(text: str) -> bool:
    """Tell whether a text is one interpolation and nothing else."""
    text = text.strip()
    return text.startswith("${") and value_end(text, 2, "") == len(text) - 1


def _targets(body: _Body, path: Path) -> Iterator[Path]:
    if body.resolver is None:
        if not body.is_dynamic:
            yield _absolute(body.text.strip(), path)
    elif body.resolver not in ("oc.env", "oc.dict.keys"):
        # oc.select, oc.dict.values and many an app's own resolver take keys for arguments.
        for argument in body.arguments.split(","):
            if found := _PATH_ARGUMENT.fullmatch(argument):
                yield _absolute(found[1], path)


def _is_custom(resolver: str) -> bool:
    return not resolver.startswith("oc.") and resolver not in BUILTIN_RESOLVERS


def _absolute(reference: str, path: Path) -> Path:
    """`..a.b` at ("x", "y", "z") -> ("x", "a", "b"): one dot is the node's own parent."""
    stripped = reference.lstrip(".")
    keys = tuple(key for key in _KEY_SEPARATORS.split(stripped) if key)
    dots = len(reference) - len(stripped)
    return (*path[: max(0, len(path) - dots)], *keys) if dots else keys


def _nodes(value: Any, path: Path) -> Iterator[tuple[Any, Path]]:
    waiting = [(value, path)]
    while waiting:
        value, path = waiting.pop()
        yield value, path
        if isinstance(value, dict):
            waiting += [(item, (*path, key)) for key, item in value.items()]
        elif isinstance(value, list):
            waiting += [(item, (*path, i)) for i, item in enumerate(value)]
