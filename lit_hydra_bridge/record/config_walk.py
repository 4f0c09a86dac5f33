"""Every node of a config evaluated, on two copies side by side.

A value is kept where both copies agree on it; where they don't, or where one raises, the text is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Final

from lit_hydra_bridge.record.interpolation import InterpolationTexts
from lit_hydra_bridge.record.plain import plain_key, plain_leaf
from lit_hydra_bridge.record.redaction import (
    REDACTED,
    Redactor,
    hides,
    path_looks_secret,
    redact_env_defaults,
    redact_text_under_secret_key,
)

MAX_DEPTH: Final = 90
"""Of a recorded config: whoever reads a record from a file of unknown origin has to stop somewhere."""
# Of nodes behind interpolations: a few lines of YAML that refer to one another can stand for billions.
_MAX_EXPANDED_NODES: Final = 20_000
_MISSING: Final = "???"
_DISAGREE: Final = object()

Path = tuple[Any, ...]


@dataclass
class Trouble:
    """What could not be turned into plain data, as dotted keys."""

    unresolvable: list[str] = field(default_factory=list)
    """Interpolations that raised, each with the reason."""
    objects: list[str] = field(default_factory=list)


class Walk:
    """Walks two copies of a config side by side and evaluates every node."""

    def __init__(
        self, texts: InterpolationTexts, redactor: Redactor, trouble: Trouble, *, evaluate_custom: bool
    ) -> None:
        self._texts = texts
        self._redactor = redactor
        self._trouble = trouble
        self._evaluate_custom = evaluate_custom
        self._expanded = 0
        self._behind_interpolation = 0
        self._opaque = 0
        self._open: list[int] = []
        """The containers that the walk is inside of."""
        self.unresolved: list[str] = []
        self.redacted: list[str] = []

    def value(self, a: Any, b: Any, path: Path, *, secret: bool) -> Any:
        """Return what both copies say, or _DISAGREE."""
        from omegaconf import DictConfig, ListConfig

        if len(path) > MAX_DEPTH:
            raise RecursionError
        if isinstance(a, DictConfig) and not a._is_none():
            if not isinstance(b, DictConfig) or b._is_none() or list(a) != list(b):
                return _DISAGREE
            keys = list(a)
        elif isinstance(a, ListConfig) and not a._is_none():
            if not isinstance(b, ListConfig) or b._is_none() or len(a) != len(b):
                return _DISAGREE
            keys = list(range(len(a)))
        else:
            return self._leaf(a, b, path, secret=secret)
        self._open.append(id(a))
        items = [self._child(a, b, key, path, secret=secret) for key in keys]
        self._open.pop()
        if any(item is _DISAGREE for item in items):
            return _DISAGREE
        return dict(zip(map(plain_key, keys), items, strict=True)) if isinstance(a, DictConfig) else items

    def _child(self, a: Any, b: Any, key: Any, parent: Path, *, secret: bool) -> Any:
        from omegaconf import OmegaConf

        path = (*parent, key)
        self._expanded += self._behind_interpolation > 0
        if OmegaConf.is_interpolation(a, key):
            return self._interpolation(a, b, key, path, secret=secret)
        if OmegaConf.is_missing(a, key):
            return _MISSING
        first = a[key]
        return self.value(first, first if b is a else b[key], path, secret=secret)

    def _interpolation(self, a: Any, b: Any, key: Any, path: Path, *, secret: bool) -> Any:
        from omegaconf.errors import InterpolationToMissingValueError

        text = str(a._get_node(key)._value())
        # Behind another interpolation the node's own place is not the path by which we came.
        place = (*_place(a), key)
        if self._expanded > _MAX_EXPANDED_NODES or len(path) > MAX_DEPTH // 2:
            return self._keep(text, path, "it stands for too many nodes")
        if not self._texts.reaches_custom(text, place):
            b = a  # what needs none of the app's resolvers has the same value in both
        elif not self._evaluate_custom:
            return self._keep(text, path)
        try:
            first = a[key]
            second = first if b is a else b[key]
        except InterpolationToMissingValueError:
            return self._keep(text, path)
        except (Exception, SystemExit) as error:  # a resolver may raise anything
            # Its message may tell the very value that it was given.
            secret = secret or path_looks_secret(path) or self._texts.reaches_secret(text, place)
            return self._keep(text, path, type(error).__name__ if secret else self._reason(error))
        if id(first) in self._open:
            return self._keep(text, path, "it stands for a node that holds it")
        secret = secret or self._texts.reaches_secret(text, place) or path_looks_secret(_place(first))
        return self._evaluated(text, first, second, path, secret=secret, opaque=self._texts.is_opaque(text, place))

    def _evaluated(self, text: str, a: Any, b: Any, path: Path, *, secret: bool, opaque: bool) -> Any:
        notes = (self._trouble.unresolvable, self._trouble.objects, self.unresolved, self.redacted)
        before = [len(note) for note in notes]
        self._behind_interpolation += 1
        self._opaque += opaque
        value = self.value(a, b, path, secret=secret)
        self._behind_interpolation -= 1
        self._opaque -= opaque
        if value is not _DISAGREE:
            return value
        for note, length in zip(notes, before, strict=True):
            del note[length:]
        return self._keep(text, path)

    def _leaf(self, a: Any, b: Any, path: Path, *, secret: bool) -> Any:
        if not _same(a, b):
            return _DISAGREE
        if secret or hides(path, a):
            value = redacted_leaf(a, self._redactor, keep_interpolations=False)
            if value == REDACTED:
                self.redacted.append(dotted(path))
            return value
        plain, ok = plain_leaf(a)
        if self._opaque and not isinstance(plain, bool | None) and self._redactor.holds_secret(plain):
            self.redacted.append(dotted(path))
            return REDACTED
        if not ok:
            self._trouble.objects.append(dotted(path))
        return plain

    def _reason(self, error: BaseException) -> str:
        try:
            first_line = str(error).partition("\n")[0]
        except Exception:  # an app's own error may fail even at this
            first_line = ""
        told = not first_line or self._redactor.holds_secret(first_line)
        return type(error).__name__ if told else f"{type(error).__name__}: {first_line}"

    def _keep(self, text: str, path: Path, reason: str | None = None) -> str:
        self.unresolved.append(dotted(path))
        if reason is not None:
            self._trouble.unresolvable.append(f"{dotted(path)} ({self._redactor.text(reason)})")
        return redact_text_under_secret_key(text) if path_looks_secret(path) else redact_env_defaults(text)


def _place(node: Any) -> Path:
    """The keys from the root down to a container; () for what is none."""
    keys: list[Any] = []
    while getattr(node, "_get_parent", None) is not None and node._key() is not None:
        keys.append(node._key())
        node = node._get_parent()
    return tuple(reversed(keys))


def _same(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, float) and math.isnan(a) and math.isnan(b):
        return True
    try:
        return bool(a == b)
    except Exception:  # an object's own __eq__ may raise anything, arrays do
        return False


def redacted_leaf(value: Any, redactor: Redactor, *, keep_interpolations: bool = True) -> Any:
    """A secret's leaf; None, a switch and a missing value say nothing that must be hidden."""
    if value is None or isinstance(value, bool) or (isinstance(value, str) and value == _MISSING):
        return value
    if keep_interpolations and isinstance(value, str) and "${" in value:
        kept = redact_text_under_secret_key(value)
        if kept != REDACTED:
            return kept
    redactor.learn(value)
    return REDACTED


def dotted(path: Path) -> str:
    """Return a path as the key that a person would write."""
    return ".".join(str(key) for key in path)
