"""Jobs that differ in single values alone: Hydra composes a few of a kind, and the others are copies with their values.

Most sweeps are over a learning rate or a seed: from job to job only the value changes, and with it the overrides and
the name that is made from them. That is not assumed but tried. What Hydra composes for a job with another value of a
key is compared, node by node, with what is made from the kind's first job; where they are the same, later jobs with
other values of that key are made so. Any other job is left to Hydra, and so is a value that can't be set, as Hydra says
best what is wrong with it.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from lit_hydra_bridge.hydra_seams import private

_MOST_KINDS: Final = 64
"""Configs of some 100 KiB each."""
_SINGLE: Final = (bool, int, float, str, type(None))


@dataclass(frozen=True)
class _Job:
    """What its overrides say."""

    kind: Hashable
    """All that its config depends on, but for the values."""
    values: dict[str, Any]
    """By key; what may differ between jobs of the kind."""
    task: list[Any]
    """Hydra's overrides of the task's config, as they were given."""


@dataclass
class _Kind:
    """What is known of jobs of a kind."""

    values: dict[str, Any]
    config: Any
    """Both of the first job."""
    tried: set[str] = field(default_factory=set)
    """Keys with other values of which a job's config was made as Hydra has composed it."""
    is_alike: bool = True
    """Whether that was so whenever it was tried."""

    def changed(self, job: _Job) -> set[str]:
        """Return the keys that have other values than in the first job."""
        # Compared as they are written: 1, 1.0 and true are equal otherwise, and nan is not.
        return {key for key, value in job.values.items() if repr(value) != repr(self.values[key])}


class AlikeConfigs:
    """Composes jobs' configs.

    Args:
        loader: Hydra's config loader, whose config files must not change.
        compose: Hydra's own way, from the multirun's config and a job's overrides.
    """

    def __init__(self, loader: Any, compose: Callable[[Any, list[str]], Any]) -> None:
        self._loader, self._compose = loader, compose
        self._kinds: dict[Hashable, _Kind] = {}
        self._repository: Any = None

    def composed(self, master: Any, overrides: list[str]) -> tuple[Any, bool]:
        """Return a job's config, and whether it was made from another one's, which is quick.

        Args:
            master: the multirun's config.
            overrides: the job's.

        Raises:
            Exception: Hydra's, where it can't be composed.
        """
        job = None
        with suppress(Exception):  # it can't be read, or this Hydra works otherwise
            job = self._read(master, overrides)
        if job is None or not job.values:
            return self._compose(master, overrides), False
        kind = self._kinds.get(job.kind)
        if kind is not None and kind.is_alike and kind.changed(job) <= kind.tried:
            with suppress(Exception):  # a value that can't be set
                return _made(kind, job, master), True
        config = self._compose(master, overrides)
        if kind is None:
            self._keep(job, config)
        elif kind.is_alike:
            _try(kind, job, master, config)
        return config, False

    def _keep(self, job: _Job, config: Any) -> None:
        while len(self._kinds) >= _MOST_KINDS:
            del self._kinds[next(iter(self._kinds))]
        self._kinds[job.kind] = _Kind(job.values, copy.deepcopy(config))

    def _read(self, master: Any, overrides: list[str]) -> _Job:
        """Read a job's overrides as Hydra does.

        Raises:
            Exception: any, where they can't be read, or this Hydra works otherwise.
        """
        from hydra._internal.defaults_list import Overrides
        from hydra.core.override_parser.overrides_parser import OverridesParser
        from omegaconf import OmegaConf

        config_name = master.hydra.job.config_name
        given: Any = OmegaConf.to_container(master.hydra.overrides.hydra)
        if self._repository is None:
            self._repository = self._loader._parse_overrides_and_create_caching_repo(config_name, given)[1]
        parsed = OverridesParser.create().parse_overrides([*given, *overrides])
        # A choice of a config group means much more than its value.
        of_values = Overrides(repo=self._repository, overrides_list=parsed).config_overrides
        paths = [each.key_or_group.replace("[", ".") for each in of_values]
        free = {
            id(each): each
            for each, path in zip(of_values, paths, strict=True)
            if type(each.value()) in _SINGLE and sum(_overlap(path, other) for other in paths) == 1
        }
        parts = ((each.type, each.key_or_group) if id(each) in free else each.input_line for each in parsed)
        return _Job(
            kind=(config_name, os.getcwd(), *parts),
            values={each.key_or_group: each.value() for each in free.values()},
            task=[each for each in parsed if not each.is_hydra_override()],
        )


def _overlap(one: str, other: str) -> bool:
    """Tell whether two overrides change the same node, or one a part of the other's."""
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")


def _made(kind: _Kind, job: _Job, master: Any) -> Any:
    """Return a job's config, made from the first one of its kind.

    Raises:
        Exception: omegaconf's, for a value that can't be set.
    """
    from omegaconf import OmegaConf, open_dict

    config = copy.deepcopy(kind.config)
    for key in kind.changed(job):
        OmegaConf.update(config, key, job.values[key], merge=True)
    given, its = config.hydra.overrides.task, config.hydra.job
    for index, override in enumerate(job.task):
        if given[index] != override.input_line:
            given[index] = override.input_line
    if its.env_copy:
        with open_dict(its):
            for name in its.env_copy:
                its.env_set[name] = os.environ[name]
    make_name = private("hydra._internal.config_loader_impl", "get_overrides_dirname")
    if make_name is not None:
        form = its.config.override_dirname
        its.override_dirname = make_name(
            overrides=job.task, kv_sep=form.kv_sep, item_sep=form.item_sep, exclude_keys=form.exclude_keys
        )
    OmegaConf.copy_cache(from_config=master, to_config=config)
    return config


def _try(kind: _Kind, job: _Job, master: Any, config: Any) -> None:
    """Compare what would have been made with what Hydra has composed."""
    try:
        kind.is_alike = _is_same(_made(kind, job, master), config)
    except Exception:
        kind.is_alike = False
    kind.tried |= kind.changed(job)


def _is_same(one: Any, other: Any) -> bool:
    """Tell whether two nodes are equal to the last child: values, types, flags, and what resolvers have answered."""
    from omegaconf import Node

    if type(one) is not type(other) or one._metadata != other._metadata:
        return False
    mine, its = (node.__dict__["_content" if "_content" in node.__dict__ else "_val"] for node in (one, other))
    if type(mine) is not type(its):
        return False
    if isinstance(mine, dict):
        return list(mine) == list(its) and all(_is_same(mine[key], its[key]) for key in mine)
    if isinstance(mine, list):
        return len(mine) == len(its) and all(map(_is_same, mine, its))
    return _is_same(mine, its) if isinstance(mine, Node) else mine is its or bool(mine == its)
