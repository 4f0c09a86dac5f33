"""A job's overrides -> its config, as it was when the sweep was launched.

Config files are read once: what a file said when a job of the sweep first needed it is what it says for all of them.
Hydra's own sweeper composes every job of a batch before it launches the first, so that is before any job runs.
"""

from __future__ import annotations

import copy
import os
import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from lit_hydra_bridge.hydra_text import escape_interpolations
from lit_hydra_bridge.sweep.alike import AlikeConfigs
from lit_hydra_bridge.sweep.common_parts import CommonParts
from lit_hydra_bridge.sweep.quick_configs import quick_configs
from lit_hydra_bridge.sweep.sameness import config_id

_MOST_KEPT: Final = 512
"""Packed configs of some 15 KiB each."""


class FrozenRepository:
    """In front of Hydra's config repository: gives each config as it was first read.

    Hydra copies its repository for every composition, and points the copy at other sources where `hydra.searchpath`
    says so. What was read is shared by all copies, and kept apart by source.
    """

    def __init__(self, inner: Any, read: dict[Any, Any] | None = None) -> None:
        self._inner = inner
        self._read: dict[Any, Any] = {} if read is None else read

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_inner"], name)

    def __deepcopy__(self, memo: Any) -> FrozenRepository:
        # The copy is pointed at other sources, and then has a list of them of its own; sources never change.
        inner = copy.copy(self._inner)
        inner.sources = list(self._inner.get_sources())
        return FrozenRepository(inner, self._read)

    def __reduce__(self) -> Any:
        return _unfrozen, (self._inner,)

    def load_config(self, config_path: str) -> Any:
        """Hydra's method; None where there is no such config."""
        return self._once("load_config", config_path)

    def group_exists(self, config_path: str) -> Any:
        return self._once("group_exists", config_path)

    def config_exists(self, config_path: str) -> Any:
        return self._once("config_exists", config_path)

    def _once(self, method: str, path: str) -> Any:
        key = (method, path, tuple((source.scheme(), source.path) for source in self._inner.get_sources()))
        if key not in self._read:
            self._read[key] = getattr(self._inner, method)(path)
        found = self._read[key]
        # Composing changes what it was given.
        return copy.deepcopy(found) if method == "load_config" else found


def _unfrozen(inner: Any) -> Any:
    return inner


class FrozenConfigs:
    """Composes the configs of a sweep's jobs, from config files that are each read once.

    Hydra's sweeper composes every job of a batch to check it, and its launcher composes it again. What Hydra has
    composed for the sweeper is kept, packed, until it is asked for: to unpack takes a fraction of the time.

    Args:
        loader: Hydra's config loader, which the sweeper uses as well.
    """

    def __init__(self, loader: Any) -> None:
        self._begin(loader)
        repository = getattr(loader, "repository", None)
        if repository is not None and not isinstance(repository, FrozenRepository):
            loader.repository = FrozenRepository(repository)
        loader.load_sweep_config = self.load_sweep_config

    def _begin(self, loader: Any) -> None:
        self._loader = loader
        self._kept: dict[tuple[str, ...], bytes] = {}
        self._ids: dict[tuple[str, ...], str] = {}
        self._common = CommonParts(loader)
        self._alike = AlikeConfigs(loader, self._composed_by_hydra)

    def __getstate__(self) -> Any:
        return self._loader

    def __setstate__(self, loader: Any) -> None:
        self._begin(loader)

    def load_sweep_config(self, master_config: Any, sweep_overrides: Sequence[str]) -> Any:
        """In the place of the loader's own method."""
        config, is_quick = self._composed(master_config, sweep_overrides)
        if not is_quick and len(self._kept) < _MOST_KEPT:
            with suppress(Exception):  # a class that has no name to be found by
                self._kept[tuple(sweep_overrides)] = pickle.dumps(config)
        return config

    def job_config(self, master: Any, overrides: Sequence[str], number: int) -> Any:
        """Return the config of one job.

        Args:
            master: the multirun's config.
            overrides: the job's.
            number: the job's.
        """
        from omegaconf import OmegaConf, open_dict

        packed = self._kept.pop(tuple(overrides), None)
        if packed is not None:
            config = pickle.loads(packed)
            OmegaConf.copy_cache(from_config=master, to_config=config)
        else:
            config, _ = self._composed(master, overrides)
        with open_dict(config.hydra.job):  # all of the config would forget its flags
            config.hydra.job.id = str(number)
            config.hydra.job.num = number
        return config

    def config_id(self, master: Any, overrides: Sequence[str]) -> str:
        """Return what tells a job's config from others; see `sameness.config_id`."""
        if tuple(overrides) not in self._ids:
            self._composed(master, overrides)
        return self._ids[tuple(overrides)]

    def _composed(self, master: Any, overrides: Sequence[str]) -> tuple[Any, bool]:
        with quick_configs():
            config, is_quick = self._alike.composed(master, list(overrides))
        if tuple(overrides) not in self._ids:
            self._ids[tuple(overrides)] = config_id(config)
        return config, is_quick

    def _composed_by_hydra(self, master: Any, overrides: list[str]) -> Any:
        with self._common.in_use():
            return type(self._loader).load_sweep_config(self._loader, master, overrides)


def job_place(config: Any) -> tuple[Path, Path]:
    """Return the folder of a job's sweep and its own, where Hydra's basic launcher would have them."""
    from omegaconf import OmegaConf

    with quick_configs(), _as_hydra_config(config):
        names = [str(OmegaConf.select(config, f"hydra.sweep.{name}")) for name in ("dir", "subdir")]
    return Path(os.path.abspath(names[0])), Path(os.path.abspath(os.path.join(*names)))


def set_job_dir(config: Any, folder: Path) -> None:
    """Make the job's own folder its `hydra.run.dir`: Lightning passes that on to the ranks that it starts."""
    from omegaconf import open_dict

    with open_dict(config.hydra.run):
        config.hydra.run.dir = escape_interpolations(str(folder))


def set_subdir(config: Any, sweep: Path, folder: Path) -> None:
    """Say where a job's folder is, if that is not where its config has put it."""
    from omegaconf import open_dict

    with open_dict(config.hydra.sweep):
        config.hydra.sweep.subdir = escape_interpolations(os.path.relpath(folder, sweep))


def saved_config(job: Path) -> Any:
    """Return the config that a job has saved, with Hydra's own node; None where it has not."""
    from omegaconf import OmegaConf, open_dict

    try:
        config = OmegaConf.load(job / ".hydra" / "config.yaml")
        with open_dict(config):
            config.hydra = OmegaConf.load(job / ".hydra" / "hydra.yaml").hydra
    except Exception:  # not there, or damaged
        return None
    return config


@contextmanager
def _as_hydra_config(config: Any) -> Iterator[None]:
    """While the block runs, `${hydra:...}` is this job's node."""
    from hydra.core.hydra_config import HydraConfig

    holder = HydraConfig.instance()
    before, holder.cfg = holder.cfg, config
    try:
        yield
    finally:
        holder.cfg = before
