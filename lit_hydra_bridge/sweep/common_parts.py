"""What the jobs of a sweep have in common is composed once.

Jobs that choose the same options of the same config groups have the same defaults list, and the same config before
single values are overridden; that is most of what composing takes. Both are kept, by what they depend on, and so are
the places that configs come from. So a resolver in a defaults list is asked once for each choice of options.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Final

from lit_hydra_bridge.hydra_seams import private

_MOST_KEPT: Final = 64
"""Configs of some 100 KiB each."""


class CommonParts:
    """Defaults lists, the configs that they stand for, and where these come from.

    Args:
        loader: Hydra's config loader, whose config files must not change.
    """

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self._lists: dict[Hashable, Any] = {}
        self._configs: dict[Hashable, Any] = {}
        self._sources: dict[Hashable, Any] = {}

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """While the block runs, Hydra composes with what is kept; a Hydra that works otherwise is left alone."""
        module = private("hydra._internal", "config_loader_impl")
        make_list = getattr(module, "create_defaults_list", None)
        compose = getattr(self._loader, "_compose_config_from_defaults_list", None)
        source = getattr(module, "ConfigSourceInfo", None)
        if make_list is None or compose is None or source is None:
            yield
            return
        module.create_defaults_list = _kept(make_list, self._lists, _list_key, _with_values)
        module.ConfigSourceInfo = _kept(partial(_as_node, source), self._sources, _source_key, _copied)
        self._loader._compose_config_from_defaults_list = _kept(compose, self._configs, _config_key, _copied)
        try:
            yield
        finally:
            module.create_defaults_list, module.ConfigSourceInfo = make_list, source
            del self._loader._compose_config_from_defaults_list


def _kept(
    original: Callable[..., Any],
    known: dict[Hashable, Any],
    key_of: Callable[..., tuple[Hashable, Any]],
    given: Callable[[Any, Any], Any],
) -> Callable[..., Any]:
    """Return `original`, with a memory.

    Args:
        original: Hydra's function.
        known: what it has returned, by key.
        key_of: takes its arguments; returns all that the result depends on, and what is this call's own.
        given: makes from what is kept, and what is this call's own, what is returned.
    """

    def function(*args: Any, **kwargs: Any) -> Any:
        try:
            key, own = key_of(*args, **kwargs)
            is_known = key in known
        except Exception:  # Hydra says it better, and then says it once
            key = None
        if key is None:
            return original(*args, **kwargs)
        if not is_known:
            while len(known) >= _MOST_KEPT:
                del known[next(iter(known))]
            known[key] = original(*args, **kwargs)
        return given(known[key], own)

    return function


def _list_key(
    repo: Any, config_name: str | None, overrides_list: list[Any], prepend_hydra: bool, skip_missing: bool
) -> tuple[Hashable, Any]:
    """All overrides of config groups count; those of single values are the job's own."""
    from hydra._internal.defaults_list import Overrides

    values = Overrides(repo=repo, overrides_list=overrides_list).config_overrides
    known = {id(override) for override in values}
    choices = tuple(override.input_line for override in overrides_list if id(override) not in known)
    return (_places(repo), config_name, choices, prepend_hydra, skip_missing), values


def _with_values(defaults_list: Any, values: Any) -> Any:
    return replace(defaults_list, config_overrides=values)


def _config_key(defaults: list[Any], repo: Any) -> tuple[Hashable, Any]:
    return (_places(repo), tuple(tuple(vars(default).items()) for default in defaults)), None


def _source_key(**fields: Any) -> tuple[Hashable, Any]:
    return tuple(fields.items()), None


def _as_node(source: Any, **fields: Any) -> Any:
    """A place that configs come from, as the node that it becomes in each job's config."""
    from omegaconf import OmegaConf

    return OmegaConf.structured(source(**fields))


def _copied(config: Any, _: Any) -> Any:
    return copy.deepcopy(config)


def _places(repo: Any) -> Hashable:
    """Where config files come from, which an override of `hydra.searchpath` changes."""
    return tuple((source.scheme(), source.path) for source in repo.get_sources())
