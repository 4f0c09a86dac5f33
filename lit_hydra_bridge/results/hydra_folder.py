"""What Hydra leaves in a run's folder: `.hydra/overrides.yaml`, `.hydra/hydra.yaml`, `.hydra/config.yaml`."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lit_hydra_bridge.errors import CheckpointError, ResultsError
from lit_hydra_bridge.files import DamagedFileError, damaged, opened, read_text
from lit_hydra_bridge.run_file import RUN_FILE
from lit_hydra_bridge.sweep.ranking import sweeper_direction

if TYPE_CHECKING:
    from omegaconf import DictConfig

HYDRA: Final = ".hydra"
MULTIRUN: Final = "multirun.yaml"
_HEAD: Final = 1 << 20
_NUMBER: Final = re.compile(rb"^  job:\n(?:    .*\n)*?    num: ([0-9]{1,9})$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class HydraNode:
    """What the `hydra` node of a config says, as far as it was saved."""

    node: dict[str, Any]

    def get(self, key: str) -> Any:
        """Return a value by its dotted name; None where there is none."""
        found: Any = self.node
        for name in key.split("."):
            found = found.get(name) if isinstance(found, dict) else None
        return found

    @property
    def launcher(self) -> str:
        """The launcher's name, as it is chosen: basic, joblib, submitit_slurm, lit_local and so on."""
        choices = self.get("runtime.choices")
        name = choices.get("hydra/launcher") if isinstance(choices, dict) else None
        return name if isinstance(name, str) else ""

    @property
    def direction(self) -> str | None:
        """minimize or maximize: what the sweeper does; None where it doesn't say."""
        return sweeper_direction(self.get)

    @property
    def has_flat_folders(self) -> bool:
        """Tell whether every job's folder is right in the sweep's."""
        subdir = str(self.get("sweep.subdir") or "").replace(" ", "")
        return subdir in ("${hydra.job.num}", "${hydra:job.num}", "${hydra.job.id}", "${hydra:job.id}")

    @property
    def number(self) -> int | None:
        """The job's."""
        number = self.get("job.num")
        return number if isinstance(number, int) and not isinstance(number, bool) else None


def read_hydra_node(run: str | os.PathLike[str]) -> HydraNode:
    """Return what a run's `.hydra/hydra.yaml` says; nothing where there is none.

    Raises:
        ResultsError: it is there and can't be read.
    """
    return _node_of(os.path.join(run, HYDRA, "hydra.yaml"))


def read_number(run: str | os.PathLike[str]) -> int | None:
    """Return the job's number, as its `.hydra/hydra.yaml` says it; None where it does not.

    Raises:
        ResultsError: the file is there and can't be read.
    """
    with suppress(OSError), opened(os.path.join(run, HYDRA, "hydra.yaml")) as file:
        found = _NUMBER.search(file.read(_HEAD))
        if found:  # parsing all of it takes a hundred times as long
            return int(found[1])
    return read_hydra_node(run).number


def read_multirun(sweep: str | os.PathLike[str]) -> HydraNode:
    """Return what a sweep's `multirun.yaml` says of Hydra; nothing where there is none.

    Raises:
        ResultsError: it is there and can't be read.
    """
    return _node_of(os.path.join(sweep, MULTIRUN))


def read_overrides(run: str | os.PathLike[str]) -> tuple[str, ...]:
    """Return the overrides in a run's `.hydra/overrides.yaml`; none where it is not there.

    Raises:
        ResultsError: it is there and can't be read.
    """
    path = os.path.join(run, HYDRA, "overrides.yaml")
    data = _yaml(path)
    if data is None:
        return ()
    if not isinstance(data, list):
        raise ResultsError(f"{path}: it can't be read (a list of overrides was expected)")
    return tuple(str(item) for item in data)


def _node_of(path: str) -> HydraNode:
    data = _yaml(path)
    node = data.get("hydra") if isinstance(data, dict) else None
    if data is not None and not isinstance(node, dict):
        raise ResultsError(f"{path}: it can't be read (a mapping with the key 'hydra' was expected)")
    return HydraNode(node=node or {})


def _yaml(path: str) -> Any:
    from lit_hydra_bridge.reload.yaml_text import MOST_BYTES, load_yaml

    try:
        text = read_text(path, MOST_BYTES)
        return None if text is None else load_yaml(text)
    except DamagedFileError as error:
        raise ResultsError(str(error)) from None
    except ValueError as error:
        raise ResultsError(str(damaged(path, error))) from None


def saved_config(folder: Path, checkpoint: Path | None, resolve: bool) -> DictConfig:
    """Return the config of a run; see `JobRow.config`.

    Raises:
        ResultsError: there is none.
    """
    from lit_hydra_bridge.reload.config import load_config

    for path in (checkpoint, folder / RUN_FILE):
        if path is not None:
            with suppress(CheckpointError):  # without a record, or gone by now
                return load_config(path, resolve=resolve)
    return _config_of_hydra(folder / HYDRA / "config.yaml", resolve)


def _config_of_hydra(path: Path, resolve: bool) -> DictConfig:
    from omegaconf import OmegaConf

    from lit_hydra_bridge.reload.config import config_from
    from lit_hydra_bridge.reload.yaml_text import MOST_BYTES, bounded_resolving

    try:
        text = read_text(path, MOST_BYTES)
        if text is None:
            raise ResultsError(f"{path.parent.parent}: neither a checkpoint's record nor {path} is there")
        config = config_from(text)
        if resolve:
            with bounded_resolving():
                OmegaConf.resolve(config)
    except (DamagedFileError, ResultsError) as error:
        raise ResultsError(str(error)) from None
    except Exception as error:  # omegaconf's, or a resolver's own
        raise ResultsError(str(damaged(path, error))) from None
    return config
