"""A DictConfig as Hydra composed it -> plain data: its text, and its values node by node.

Apps register resolvers that are random, that make folders, that exist only inside the job. So a custom
resolver's node is evaluated on two separate copies, and its value is kept only where both agree; whatever
can't be evaluated keeps its text. The app's own config object is never touched.
"""

from __future__ import annotations

import copy
import enum
import math
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Final

from lit_hydra_bridge.record.interpolation import BUILTIN_RESOLVERS, InterpolationTexts, names_secret_env
from lit_hydra_bridge.record.redaction import (
    REDACTED,
    Redactor,
    path_looks_secret,
    redact_env_defaults,
    redact_text_under_secret_key,
)
from lit_hydra_bridge.record.run_record import ComposedConfig

_MAX_DEPTH: Final = 60
_MAX_NODES: Final = 100_000
_MISSING: Final = "???"


@dataclass
class _Trouble:
    """What could not be turned into plain data, as dotted keys."""

    unresolvable: list[str] = field(default_factory=list)
    """Interpolations that raised, each with the reason."""
    objects: list[str] = field(default_factory=list)


def read_config(config: Any, redactor: Redactor, *, custom_resolvers: bool = True) -> tuple[ComposedConfig, list[str]]:
    """Turn a config into plain data without its secrets.

    Args:
        config: a DictConfig; a `hydra` node in it is left out.
        redactor: learns the secrets found here, so that they are found elsewhere as well.
        custom_resolvers: False keeps the text of every node that needs one of the app's own resolvers.

    Returns:
        The config, and a list of what is missing from it, one sentence each.
    """
    from omegaconf import OmegaConf

    without_hydra = _copy_without_hydra(config)
    raw = OmegaConf.to_container(without_hydra, resolve=False, throw_on_missing=False, enum_to_str=True)
    if not isinstance(raw, dict):
        raw = {}
    texts = InterpolationTexts(raw)
    trouble = _Trouble()
    walk = _Walk(texts, redactor, trouble, evaluate_custom=custom_resolvers)
    second = _copy_without_hydra(config) if texts.has_custom and custom_resolvers else without_hydra
    resolved = walk.mapping(without_hydra, second, ())
    composed = _Composed(redactor, trouble).value(raw, ())
    text = OmegaConf.to_yaml(OmegaConf.create(composed)) if composed else "{}\n"
    return (
        ComposedConfig(
            composed=redactor.text(text),
            resolved=redactor.data(resolved),
            unresolved=walk.unresolved,
            redacted=list(dict.fromkeys(walk.redacted)),
        ),
        _sentences(trouble),
    )


def as_config(config: Any) -> Any:
    """Return a DictConfig for a DictConfig, a dict, YAML text, or a structured config.

    Raises:
        TypeError: `config` is none of these.
    """
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if isinstance(config, DictConfig):
        return config
    try:
        created = OmegaConf.create(config)
    except OmegaConfBaseException:
        created = None
    if not isinstance(created, DictConfig):
        raise TypeError(f"expected a DictConfig, a dict or a structured config, and got {type(config).__name__}")
    return created


def _copy_without_hydra(config: Any) -> Any:
    from omegaconf import OmegaConf, open_dict, read_write

    duplicate = copy.deepcopy(config)
    # Copies whose evaluation we compare must not share what a caching resolver answered before, except for
    # Hydra's own `now`, whose one answer per job is the point of it.
    cache = OmegaConf.get_cache(duplicate)
    for name in [name for name in cache if name not in BUILTIN_RESOLVERS]:
        del cache[name]
    if "hydra" in duplicate:
        with read_write(duplicate), open_dict(duplicate):
            del duplicate["hydra"]
    return duplicate


def _sentences(trouble: _Trouble) -> list[str]:
    result = []
    if trouble.unresolvable:
        result.append(f"config: no value for {_some(trouble.unresolvable)}; the text is kept")
    if trouble.objects:
        result.append(f"config: not plain data at {_some(trouble.objects)}; the text is kept")
    return result


def _some(items: list[str]) -> str:
    unique = list(dict.fromkeys(items))
    more = f" and {len(unique) - 5} more" if len(unique) > 5 else ""
    return ", ".join(unique[:5]) + more


def _dotted(path: tuple[Any, ...]) -> str:
    return ".".join(str(key) for key in path)


class _Composed:
    """Unresolved containers -> plain and redacted ones."""

    def __init__(self, redactor: Redactor, trouble: _Trouble) -> None:
        self._redactor = redactor
        self._trouble = trouble

    def value(self, value: Any, path: tuple[Any, ...]) -> Any:
        if isinstance(value, dict):
            return {_plain_key(key): self.value(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item, (*path, i)) for i, item in enumerate(value)]
        if path_looks_secret(path):
            return _redacted_leaf(value, self._redactor)
        plain, ok = _plain_leaf(value)
        if not ok:
            self._trouble.objects.append(_dotted(path))
        return redact_env_defaults(plain) if isinstance(plain, str) and names_secret_env(plain) else plain


class _Walk:
    """Walks two copies of a config side by side and evaluates every node."""

    def __init__(
        self, texts: InterpolationTexts, redactor: Redactor, trouble: _Trouble, *, evaluate_custom: bool
    ) -> None:
        self._texts = texts
        self._redactor = redactor
        self._trouble = trouble
        self._evaluate_custom = evaluate_custom
        self._nodes = 0
        self.unresolved: list[str] = []
        self.redacted: list[str] = []

    def mapping(self, a: Any, b: Any, path: tuple[Any, ...]) -> dict[Any, Any]:
        return {_plain_key(key): self._child(a, b, key, path) for key in a}

    def _child(self, a: Any, b: Any, key: Any, parent: tuple[Any, ...]) -> Any:
        from omegaconf import OmegaConf
        from omegaconf.errors import InterpolationToMissingValueError

        path = (*parent, key)
        self._nodes += 1
        if OmegaConf.is_interpolation(a, key):
            text = str(a._get_node(key)._value())
            secret = path_looks_secret(path) or self._texts.reaches_secret(text, path)
            if self._nodes > _MAX_NODES or len(path) > _MAX_DEPTH:
                return self._keep(text, path, "nested too deeply")
            if not self._evaluate_custom and self._texts.reaches_custom(text, path):
                return self._keep(text, path)
            try:
                first, second = a[key], b[key] if b is not a else None
            except InterpolationToMissingValueError:
                return self._keep(text, path)
            except Exception as error:  # a resolver may raise anything
                return self._keep(
                    text, path, f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
                )
            before = len(self._trouble.unresolvable), len(self._trouble.objects), len(self.unresolved)
            value = self._value(first, first if b is a else second, path, secret=secret)
            if value is _DISAGREE:
                del self._trouble.unresolvable[before[0] :], self._trouble.objects[before[1] :]
                del self.unresolved[before[2] :]
                return self._keep(text, path)
            return value
        if OmegaConf.is_missing(a, key):
            return _MISSING
        return self._value(a[key], b[key], path, secret=path_looks_secret(path))

    def _keep(self, text: str, path: tuple[Any, ...], reason: str | None = None) -> str:
        self.unresolved.append(_dotted(path))
        if reason is not None:
            self._trouble.unresolvable.append(f"{_dotted(path)} ({self._redactor.text(reason)})")
        if path_looks_secret(path):
            return redact_text_under_secret_key(text)
        return redact_env_defaults(text) if names_secret_env(text) else text

    def _value(self, a: Any, b: Any, path: tuple[Any, ...], *, secret: bool) -> Any:
        from omegaconf import DictConfig, ListConfig

        if isinstance(a, DictConfig):
            if not isinstance(b, DictConfig) or list(a) != list(b):
                return _DISAGREE
            return self._settled({_plain_key(key): self._child(a, b, key, path) for key in a})
        if isinstance(a, ListConfig):
            if not isinstance(b, ListConfig) or len(a) != len(b):
                return _DISAGREE
            return self._settled([self._child(a, b, i, path) for i in range(len(a))])
        if not _same(a, b):
            return _DISAGREE
        if secret:
            value = _redacted_leaf(a, self._redactor, keep_interpolations=False)
            if value == REDACTED:
                self.redacted.append(_dotted(path))
            return value
        plain, ok = _plain_leaf(a)
        if not ok:
            self._trouble.objects.append(_dotted(path))
        return plain

    @staticmethod
    def _settled(value: Any) -> Any:
        items = value.values() if isinstance(value, dict) else value
        return _DISAGREE if any(item is _DISAGREE for item in items) else value


_DISAGREE: Final = object()


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


def _redacted_leaf(value: Any, redactor: Redactor, *, keep_interpolations: bool = True) -> Any:
    """A secret's leaf; None, a switch and a missing value say nothing that must be hidden."""
    if value is None or isinstance(value, bool) or value == _MISSING:
        return value
    if keep_interpolations and isinstance(value, str) and "${" in value:
        kept = redact_text_under_secret_key(value)
        if kept != REDACTED:
            return kept
    redactor.learn(value)
    return REDACTED


def _plain_key(key: Any) -> str | int | float | bool:
    if type(key) in (str, int, float, bool):
        return key  # type: ignore[no-any-return]
    return key.name if isinstance(key, enum.Enum) else str(key)


def _plain_leaf(value: Any) -> tuple[Any, bool]:
    """Return a leaf as plain data, and whether that says all of it."""
    if value is None or type(value) in (str, int, float, bool):
        return value, True
    if isinstance(value, enum.Enum):
        return value.name, True
    if isinstance(value, PurePath):
        return str(value), True
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace"), True
    if isinstance(value, list | tuple):
        parts = [_plain_leaf(item) for item in value]
        return [part for part, _ in parts], all(ok for _, ok in parts)
    if isinstance(value, dict):
        pairs = {_plain_key(key): _plain_leaf(item) for key, item in value.items()}
        return {key: part for key, (part, _) in pairs.items()}, all(ok for _, ok in pairs.values())
    for base in (bool, int, float, str):  # numpy scalars and str subclasses
        if isinstance(value, base):
            return base(value), True
    return _describe_object(value), False


def _describe_object(value: Any) -> str:
    name = getattr(value, "__qualname__", None)
    if isinstance(name, str):
        return f"{getattr(value, '__module__', '')}.{name}"
    return f"<{type(value).__module__}.{type(value).__qualname__}>"
